package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"prunellm/internal/flags"
)

// parsed parses a command line together with a configuration file of that text.
func parsed(t *testing.T, file string, args ...string) (*commandLine, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "prunellm.yaml")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	return parsedArgs(t, append(args, "--config", path)...)
}

func parsedArgs(t *testing.T, args ...string) (*commandLine, error) {
	t.Helper()
	var cli commandLine
	parser, err := newParser(&cli, "/home", kong.Writers(io.Discard, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = flags.ParseArgs(parser, args)
	return &cli, err
}

func TestConfigValues(t *testing.T) {
	eval := []string{"eval", "--text", "t"}
	atHome := kong.ExpandPath("~/x")
	tests := map[string]struct {
		file string
		args []string
		get  func(c *commandLine) any
		want any
	}{
		"flat":                  {"ratio: 0", []string{"serve"}, func(c *commandLine) any { return c.Serve.Ratio }, 0.0},
		"section":               {"serve:\n  ratio: 0.5", []string{"serve"}, func(c *commandLine) any { return c.Serve.Ratio }, 0.5},
		"section above flat":    {"serve: {ratio: 0.5}\nratio: 0.1", []string{"serve"}, func(c *commandLine) any { return c.Serve.Ratio }, 0.5},
		"another's section":     {"prune: {ratio: 0.5}\nratio: 0.1", []string{"serve"}, func(c *commandLine) any { return c.Serve.Ratio }, 0.1},
		"another's key":         {"window: 8\nratio: 0.1", []string{"serve"}, func(c *commandLine) any { return c.Serve.Ratio }, 0.1},
		"command line":          {"ratio: 0.1", []string{"serve", "--ratio", "0.3"}, func(c *commandLine) any { return c.Serve.Ratio }, 0.3},
		"required":              {"prune: {ratio: 0.5}\noutput: /o.gguf", []string{"prune"}, func(c *commandLine) any { return c.Prune.Output }, "/o.gguf"},
		"global":                {"log-level: debug", []string{"serve"}, func(c *commandLine) any { return c.LogLevel }, "debug"},
		"global in a section":   {"serve: {log_level: debug}", []string{"serve"}, func(c *commandLine) any { return c.LogLevel }, "debug"},
		"dashes":                {"api-key-file: /keys", []string{"serve"}, func(c *commandLine) any { return c.Serve.APIKeyFile }, "/keys"},
		"underscores":           {"api_key_file: /keys", []string{"serve"}, func(c *commandLine) any { return c.Serve.APIKeyFile }, "/keys"},
		"prefixed":              {"recover-minutes: 3", []string{"serve"}, func(c *commandLine) any { return c.Serve.Recover.Minutes }, 3.0},
		"list":                  {"ratios: [0, 0.25]", eval, func(c *commandLine) any { return c.Eval.Ratios }, []float64{0, 0.25}},
		"list of text":          {"url: ['http://a/v1?a,b', http://b/v1]", []string{"bench"}, func(c *commandLine) any { return c.Bench.URL }, []string{"http://a/v1?a,b", "http://b/v1"}},
		"list on one line":      {"ratios: 0,0.25", eval, func(c *commandLine) any { return c.Eval.Ratios }, []float64{0, 0.25}},
		"one of a list":         {"ratios: 0.25", eval, func(c *commandLine) any { return c.Eval.Ratios }, []float64{0.25}},
		"true":                  {"quick: true", []string{"serve"}, func(c *commandLine) any { return c.Serve.Quick }, true},
		"false":                 {"reconstruct: false", []string{"serve"}, func(c *commandLine) any { return c.Serve.Reconstruct }, false},
		"no":                    {"no-reconstruct: true", []string{"serve"}, func(c *commandLine) any { return c.Serve.Reconstruct }, false},
		"not no":                {"no_reconstruct: false", []string{"serve"}, func(c *commandLine) any { return c.Serve.Reconstruct }, true},
		"no of an enum":         {"mixed-precision: no", []string{"serve"}, func(c *commandLine) any { return c.Serve.MixedPrecision }, "no"},
		"largest number":        {"seed: 18446744073709551615", []string{"serve"}, func(c *commandLine) any { return c.Serve.Seed }, uint64(1<<64 - 1)},
		"number as text":        {"gpu-layers: 12", []string{"serve"}, func(c *commandLine) any { return c.Serve.GPULayers }, "12"},
		"duration":              {"redis-ttl: 2h", []string{"serve"}, func(c *commandLine) any { return c.Serve.RedisTTL }, 2 * time.Hour},
		"no duration":           {"redis-ttl: 0", []string{"serve"}, func(c *commandLine) any { return c.Serve.RedisTTL }, time.Duration(0)},
		"model at home":         {"model: ~/x", []string{"serve"}, func(c *commandLine) any { return c.Serve.Model }, atHome},
		"model's name":          {"model: hf:a/~b", []string{"serve"}, func(c *commandLine) any { return c.Serve.Model }, "hf:a/~b"},
		"text at home":          {"calibration: ~/x", []string{"serve"}, func(c *commandLine) any { return c.Serve.Calibration }, atHome},
		"report at home":        {"html: ~/x", []string{"bench"}, func(c *commandLine) any { return c.Bench.HTML }, atHome},
		"figures at home":       {"json: ~/x", []string{"bench"}, func(c *commandLine) any { return c.Bench.JSON }, atHome},
		"figures on output":     {"json: '-'", []string{"bench"}, func(c *commandLine) any { return c.Bench.JSON }, "-"},
		"anchor":                {"ratio: &r 0.1", []string{"serve"}, func(c *commandLine) any { return c.Serve.Ratio }, 0.1},
		"nothing":               {"", []string{"serve"}, func(c *commandLine) any { return c.Serve.Ratio }, 0.2},
		"comments":              {"# ratio: 0\n", []string{"serve"}, func(c *commandLine) any { return c.Serve.Ratio }, 0.2},
		"document without keys": {"---\n", []string{"serve"}, func(c *commandLine) any { return c.Serve.Ratio }, 0.2},
		"section of comments":   {"serve:\n  # ratio: 0\nalpha: 0.5", []string{"serve"}, func(c *commandLine) any { return c.Serve.Alpha }, 0.5},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cli, err := parsed(t, test.file, test.args...)
			if err != nil {
				t.Fatal(err)
			}
			if got := test.get(cli); fmt.Sprintf("%T %v", got, got) != fmt.Sprintf("%T %v", test.want, test.want) {
				t.Errorf("%q gives %v, want %v", test.file, got, test.want)
			}
		})
	}
}

// Every fault names the file, and the line and the key if they are known.
func TestConfigFaults(t *testing.T) {
	for name, test := range map[string]struct {
		file string
		want []string
	}{
		"misspelt":           {"addr: x\nration: 0", []string{"line 2", `"ration"`, `did you mean "ratio"`}},
		"misspelt command":   {"serv: {ratio: 0}", []string{`"serv"`, `did you mean "serve"`}},
		"unknown":            {"bogus: 1", []string{`unknown key "bogus"`}},
		"in a section":       {"prune:\n  alpha: 1\n  bogus: 2", []string{"line 3", `section "prune"`, `"bogus"`}},
		"another command's":  {"serve: {ratios: [0]}", []string{`section "serve"`, `"ratios"`, `did you mean "ratio"`}},
		"section is a value": {"prune: 3", []string{`section "prune"`, "a single value"}},
		"section is a list":  {"prune: [a]", []string{`section "prune"`, "a list"}},
		"joined":             {"prune-alpha: 1", []string{`"prune-alpha"`}},
		"hidden command":     {"worker: {}", []string{`"worker"`}},
		"another file":       {"config: other.yaml", []string{`unknown key "config"`}},
		"help":               {"help: true", []string{`unknown key "help"`}},
		"long key":           {strings.Repeat("k", 900) + ": 1", []string{"unknown key"}},
		"number as a key":    {"1: 2", []string{`unknown key "1"`}},
		"list as a key":      {"[a]: 2", []string{"a list in place of a key"}},
		"merge":              {"<<: {ratio: 0}", []string{`"<<"`}},
		"twice":              {"ratio: 0\nratio: 1", []string{"line 2", `"ratio" appears twice`}},
		"twice, spelt apart": {"api-key-file: a\napi_key_file: b", []string{`"api-key-file" appears twice`}},
		"opposites":          {"reconstruct: true\nno-reconstruct: true", []string{`"no-reconstruct" and its opposite`}},
		"group":              {"ratio: {a: 1}", []string{`"ratio"`, "a group of keys"}},
		"list of lists":      {"ratios: [[0]]", []string{`"ratios"`, "a list"}},
		"empty":              {"api-key-file:", []string{`"api-key-file"`, "no value"}},
		"alias":              {"ratio: &r 0\nalpha: *r", []string{`"alpha"`, "an alias"}},
		"tag":                {"ratio: !!binary MA==", []string{`"ratio"`, "!!binary"}},
		"list for one":       {"ratio: [0]", []string{"--ratio", "line 1", "a list"}},
		"text for a number":  {"ratio: x", []string{"--ratio", "line 1", `"x"`}},
		"fraction":           {"seed: 1.7", []string{"--seed", `"1.7"`}},
		"fraction of a list": {"calibration-tokens: 300.9", []string{"--calibration-tokens", `"300.9"`}},
		"no unit":            {"redis-ttl: 10", []string{"--redis-ttl", "unit", `"10"`}},
		"true for text":      {"model: true", []string{"--model", "true"}},
		"text for a choice":  {"quick: maybe", []string{"--quick", "maybe"}},
		"list":               {"- ratio", []string{"line 1", "a list"}},
		"text":               {"ratio", []string{"line 1", "a single value"}},
		"bad YAML":           {"ratio: [0", []string{"yaml: line"}},
		"two documents":      {"ratio: 0\n---\nratio: 1", []string{"more than one"}},
		"too large":          {"#" + strings.Repeat(" ", flags.MaxBytes), []string{"bytes"}},
		"deep":               {strings.Repeat("[", flags.MaxBytes/2), []string{"yaml"}},
		"not UTF-8":          {"ratio: \xff", []string{"yaml"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parsed(t, test.file, "serve")
			if err == nil {
				t.Fatalf("%.80q is accepted", test.file)
			}
			line := flags.OneLine(err)
			for _, want := range append(test.want, "prunellm.yaml") {
				if !strings.Contains(line, want) {
					t.Errorf("%.80q gives %q, want %q in it", test.file, line, want)
				}
			}
			if len(line) > 400 {
				t.Errorf("%.80q gives %d bytes: %q", test.file, len(line), line)
			}
		})
	}
	if _, err := parsedArgs(t, "serve", "--config", "/nowhere.yaml"); err == nil || !strings.Contains(err.Error(), "/nowhere.yaml") {
		t.Errorf("a missing file gives %v", err)
	}
}

// Nested aliases must not expand: parsing takes time and memory in proportion to the file's size.
func TestConfigAliases(t *testing.T) {
	file := "ratios: &a0 [0]\n"
	for i := range 30 {
		file += fmt.Sprintf("k%d: &a%d [%s]\n", i, i+1, strings.Repeat(fmt.Sprintf("*a%d, ", i), 20))
	}
	if _, err := parsed(t, file, "serve"); err == nil || !strings.Contains(err.Error(), `"k0"`) {
		t.Errorf("aliases give %v", err)
	}
}

// The command line overrides the variable, and the variable overrides the file. An empty variable overrides nothing.
func TestConfigOrder(t *testing.T) {
	ratio := func(want float64, args ...string) {
		t.Helper()
		if cli, err := parsed(t, "ratio: 0.1\nserve: {alpha: 0.1}", append([]string{"serve"}, args...)...); err != nil || cli.Serve.Ratio != want {
			t.Errorf("ratio is %v, %v, want %v", cli.Serve.Ratio, err, want)
		}
	}
	ratio(0.1)
	t.Setenv("PRUNELLM_RATIO", "0.3")
	ratio(0.3)
	ratio(0.4, "--ratio", "0.4")
	t.Setenv("PRUNELLM_RATIO", "")
	ratio(0.1)
}

// An empty variable counts as unset.
func TestEmptyVariables(t *testing.T) {
	var cli commandLine
	parser, err := newParser(&cli, "/home")
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range slices.Concat(parser.Model.Children, []*kong.Node{parser.Model.Node}) {
		for _, flag := range node.Flags {
			for _, name := range flag.Envs {
				t.Setenv(name, "")
			}
		}
	}
	got, err := parsedArgs(t, "serve")
	if err != nil {
		t.Fatal(err)
	}
	s := got.Serve
	if s.APIKeyFile+s.TLSCert+s.TLSKey+s.RedisCA+string(got.Config) != "" || s.CacheDir != "/home/cache" || s.Ratio != 0.2 || s.RedisTTL != 720*time.Hour {
		t.Errorf("serve has %+v", s)
	}
}

func TestPathsAndDurations(t *testing.T) {
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	cli, err := parsedArgs(t, "serve", "--api-key-file", "keys", "--redis-ca", "", "--slo-itl", "200ms")
	if err != nil || cli.Serve.APIKeyFile != filepath.Join(folder, "keys") || cli.Serve.RedisCA != "" || cli.Serve.SLOITL != 200*time.Millisecond {
		t.Errorf("serve has %+v, %v", cli.Serve, err)
	}
	for _, test := range []struct{ want, args string }{
		{"--output: the path is empty", "prune --ratio 0.2 --output="},
		{"--output: the path is empty", "calibrate --output="},
		{"--tokens: the path is empty", "score -o x --tokens="},
		{"--cache-dir: the path is empty", "serve --cache-dir="},
		{"--redis-ttl: expected a duration with its unit", "serve --redis-ttl 10"},
		{"--timeout: expected a duration with its unit", "bench --timeout x"},
		{"--redis-ttl is 1s", "bench --redis-ttl 1s"},
		{"--redis-max-bytes is -1", "recover --ratio 0.2 --redis-max-bytes=-1"},
	} {
		if _, err := parsedArgs(t, strings.Fields(test.args)...); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s gives %v, want %q", test.args, err, test.want)
		}
	}
}

// No top-level key of a file names both a command and a flag.
func TestConfigKeysAreDistinct(t *testing.T) {
	var cli commandLine
	parser, err := newParser(&cli, "/home")
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range parser.Model.Children {
		for _, set := range append([]*kong.Node{parser.Model.Node}, parser.Model.Children...) {
			if _, ok := flags.Keys(set.Flags)[node.Name]; ok {
				t.Errorf("%q is a command, and a flag of %q", node.Name, set.Name)
			}
		}
	}
}

// The parser accepts every file or returns an error of one line.
func FuzzParseConfig(f *testing.F) {
	for _, file := range []string{"ratio: 0\nserve: {alpha: 1}", "ratios: [0, 0.2]", "a: &a [*a]", "? [b]\n: c", "--- !!map {no-reconstruct: yes}", "<<: *x", "\xff\xfea\x00"} {
		f.Add([]byte(file))
	}
	var cli commandLine
	parser, err := newParser(&cli, "/home")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := flags.Parse(data, parser.Model)
		if err != nil {
			if strings.Contains(flags.OneLine(err), "\n") {
				t.Errorf("%q gives lines %q", data, flags.OneLine(err))
			}
			return
		}
		for _, flag := range parser.Model.Flags {
			if _, err := c.Resolve(&kong.Context{}, nil, flag); err != nil && err.Error() == "" {
				t.Errorf("%q gives an empty error", data)
			}
		}
	})
}
