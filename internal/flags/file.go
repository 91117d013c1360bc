package flags

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"gopkg.in/yaml.v3"

	"prunellm/internal/trust"
)

// Limits of a configuration file and of messages about it.
const (
	MaxBytes    = 256 << 10
	maxKeyBytes = 64 // bytes of an unknown key that messages show and suggestions compare
)

// File is the flag for a YAML file that sets flags. A flag's key is its name without the leading dashes, with '-' or '_'
// between words. Keys at the top apply to every command that has such a flag. Keys below a command's name apply only to that
// command and override those at the top. An unknown key is an error, so that a misspelt one is not silently ignored.
type File string

// BeforeResolve is kong's hook for flags that affect other flags' values.
func (File) BeforeResolve(ctx *kong.Context, trace *kong.Path) error {
	path := string(ctx.FlagValue(trace.Flag).(File))
	if path == "" {
		return nil
	}
	data, err := Read(path)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	c, err := Parse(data, ctx.Model)
	if err != nil {
		return fmt.Errorf("--config: %q: %w", path, err)
	}
	c.path = path
	ctx.AddResolver(c)
	return nil
}

// Read reads a file that no other user can change, or a pipe such as a shell's <(command).
func Read(path string) ([]byte, error) {
	if _, err := trust.Resolve(path); err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, MaxBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("%q has more than %d bytes", path, MaxBytes)
	}
	return data, nil
}

// Settings holds a file's values by flag. It implements kong.Resolver.
type Settings struct {
	path     string
	flat     map[string]setting            // for all commands
	sections map[string]map[string]setting // by command
}

// setting is a flag's value in a file.
type setting struct {
	key   Key
	value *yaml.Node // a scalar, or a list of scalars
}

// Key is the meaning of a key in a file.
type Key struct {
	flag    string
	negated bool // as with --no-FLAG
}

// Parse reads a file for this program. It refuses YAML aliases, because a few bytes of them can expand to any amount of text.
func Parse(data []byte, app *kong.Application) (*Settings, error) {
	c := &Settings{sections: map[string]map[string]setting{}}
	root, err := parseDocument(data)
	if root == nil || err != nil {
		return c, err
	}
	global := Keys(app.Flags)
	all, commands := maps.Clone(global), map[string]map[string]Key{}
	for _, node := range app.Children {
		if !node.Hidden {
			own := Keys(node.Flags)
			maps.Copy(all, own)
			maps.Copy(own, global)
			commands[node.Name] = own
		}
	}
	pairs, err := pairsOf(root)
	if err != nil {
		return nil, err
	}
	var flat []pair
	for _, p := range pairs {
		own, isCommand := commands[p.name]
		switch {
		case !isCommand:
			flat = append(flat, p)
		case isNull(p.value): // all keys of the section are commented out
		default:
			section, err := pairsOf(p.value)
			if err == nil {
				c.sections[p.name], err = settings(section, own, nil)
			}
			if err != nil {
				return nil, fmt.Errorf("section %q, %w", p.name, err)
			}
		}
	}
	c.flat, err = settings(flat, all, slices.Collect(maps.Keys(commands)))
	return c, err
}

// parseDocument returns the only document of a file, or nil if the file is empty.
func parseDocument(data []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, more yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := decoder.Decode(&more); err == nil {
		return nil, errors.New("more than one YAML document; only one is allowed")
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(document.Content) == 0 || isNull(document.Content[0]) {
		return nil, nil
	}
	return document.Content[0], nil
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null" }

// Keys returns the keys of the flags that a file may set.
func Keys(flags []*kong.Flag) map[string]Key {
	keys := map[string]Key{}
	for _, flag := range flags {
		if flag.Hidden || flag.Name == "help" || flag.Name == "version" || flag.Target.Type() == reflect.TypeFor[File]() {
			continue
		}
		keys[flag.Name] = Key{flag: flag.Name}
		if flag.Tag.Negatable != "" {
			keys["no-"+flag.Name] = Key{flag: flag.Name, negated: true}
		}
	}
	return keys
}

// pair is a key of a mapping, with '-' between words, and its value.
type pair struct {
	name  string
	line  int
	value *yaml.Node
}

// pairsOf returns a mapping's pairs.
func pairsOf(mapping *yaml.Node) ([]pair, error) {
	if mapping.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: %s instead of lines 'flag: value'", mapping.Line, nodeKind(mapping))
	}
	var pairs []pair
	seen := map[string]bool{}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		key, value := mapping.Content[i], mapping.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			return nil, fmt.Errorf("line %d: %s in place of a key", key.Line, nodeKind(key))
		}
		name := strings.ReplaceAll(key.Value, "_", "-")
		if seen[name] {
			return nil, fmt.Errorf("line %d: key %.*q appears twice", key.Line, maxKeyBytes, name)
		}
		seen[name] = true
		pairs = append(pairs, pair{name: name, line: key.Line, value: value})
	}
	return pairs, nil
}

// settings finds the flags of keys. further has other names that it may suggest for a misspelt key.
func settings(pairs []pair, keys map[string]Key, further []string) (map[string]setting, error) {
	found := map[string]setting{}
	for _, p := range pairs {
		key, ok := keys[p.name]
		if !ok {
			names := append(slices.Collect(maps.Keys(keys)), further...)
			return nil, fmt.Errorf("line %d: unknown key %.*q%s", p.line, maxKeyBytes, p.name, suggestion(p.name, names))
		}
		if _, twice := found[key.flag]; twice {
			return nil, fmt.Errorf("line %d: key %q and its opposite are both set", p.line, p.name)
		}
		if err := checkValue(p.value); err != nil {
			return nil, fmt.Errorf("line %d: key %q has %w", p.line, p.name, err)
		}
		found[key.flag] = setting{key: key, value: p.value}
	}
	return found, nil
}

// checkValue accepts a scalar or a list of scalars. The error describes any other value.
func checkValue(value *yaml.Node) error {
	if value.Kind != yaml.SequenceNode {
		return checkScalar(value)
	}
	for _, element := range value.Content {
		if err := checkScalar(element); err != nil {
			return fmt.Errorf("a list with %w", err)
		}
	}
	return nil
}

func checkScalar(value *yaml.Node) error {
	if value.Kind != yaml.ScalarNode {
		return fmt.Errorf("%s instead of a value", nodeKind(value))
	}
	switch tag := value.ShortTag(); tag {
	case "!!str", "!!int", "!!float", "!!bool", "!!timestamp":
		return nil
	case "!!null":
		return errors.New("no value: give one, or leave the key out")
	default:
		return fmt.Errorf("a value of type %.*q instead of text, a number, true or false", maxKeyBytes, tag)
	}
}

// nodeKind returns the kind of a value in words for messages.
func nodeKind(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a group of keys"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	default:
		return "a single value"
	}
}

// suggestion returns a question with the known key that is nearest to a misspelt one, or "" if none is near.
func suggestion(name string, known []string) string {
	if len(name) > maxKeyBytes {
		return ""
	}
	best, least := "", 1+len(name)/3
	for _, k := range slices.Sorted(slices.Values(known)) {
		if d := editDistance(name, k); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(": did you mean %q?", best)
}

// editDistance returns the number of bytes to insert, delete or change to turn a into b (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1) // from the prefix of a so far to each prefix of b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// Validate implements kong.Resolver. The keys are checked when the file is read.
func (*Settings) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver. It returns nothing for a flag whose variable is set, because kong itself would let
// the file override the variable.
func (c *Settings) Resolve(ctx *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range flag.Envs {
		if _, set := os.LookupEnv(name); set {
			return nil, nil
		}
	}
	found, ok := c.flat[flag.Name]
	if command := ctx.Selected(); command != nil {
		if own, set := c.sections[command.Name][flag.Name]; set {
			found, ok = own, true
		}
	}
	if !ok {
		return nil, nil
	}
	value, err := found.of(flag)
	if err != nil {
		return nil, fmt.Errorf("%q, line %d: %w", c.path, found.value.Line, err)
	}
	return value, nil
}

// of returns the value in the form that kong accepts for this flag: as on the command line, so that no number changes by a
// conversion.
func (s setting) of(flag *kong.Flag) (any, error) {
	var value any = s.value.Value
	scalars := []*yaml.Node{s.value}
	if s.value.Kind == yaml.SequenceNode {
		if !flag.IsSlice() {
			return nil, errors.New("a list instead of one value")
		}
		scalars = s.value.Content
		value = listValue(scalars, flag)
	}
	for _, scalar := range scalars {
		if scalar.ShortTag() == "!!bool" && !flag.IsBool() {
			return nil, fmt.Errorf("%s is not a valid value: quote it to use it as text", scalar.Value)
		}
	}
	target := reflect.New(flag.Target.Type()).Elem() // decoded first for an error with the line
	err := flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: kong.Scan().PushTyped(value, kong.FlagValueToken)}, target)
	if err != nil {
		return nil, err
	}
	if s.key.negated {
		return !target.Bool(), nil
	}
	return value, nil
}

// listValue joins the elements of a list as on the command line. Text elements stay separate, whatever they contain.
func listValue(scalars []*yaml.Node, flag *kong.Flag) any {
	var texts []string
	elements := []any{}
	for _, scalar := range scalars {
		texts, elements = append(texts, scalar.Value), append(elements, scalar.Value)
	}
	if flag.Target.Type().Elem().Kind() == reflect.String {
		return elements
	}
	return kong.JoinEscaped(texts, flag.Tag.Sep)
}
