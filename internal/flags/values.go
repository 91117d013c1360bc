package flags

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// Values returns the mappers of flags: decimal numbers, durations with a unit, paths (type:"path"), and paths or names
// (type:"homepath").
func Values() []kong.Option {
	return []kong.Option{
		kong.KindMapper(reflect.Float64, kong.MapperFunc(plainFloat)),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(unitDuration)),
		kong.NamedMapper("path", kong.MapperFunc(absolutePath)),
		kong.NamedMapper("homepath", kong.MapperFunc(homePath)),
	}
}

// plainFloat parses decimal numbers of flags. kong would accept every literal of Go, such as 0x1p-2, but a ratio in a model's
// name must be decimal.
func plainFloat(ctx *kong.DecodeContext, target reflect.Value) error {
	token, err := ctx.Scan.PopValue("float")
	if err != nil {
		return err
	}
	text := fmt.Sprint(token.Value) // a YAML file gives numbers in this type
	number, err := strconv.ParseFloat(text, 64)
	if err != nil || strings.ContainsAny(text, "xX_") {
		return fmt.Errorf("expected a decimal number but got %q", text)
	}
	target.SetFloat(number)
	return nil
}

// unitDuration parses durations of flags, which need a unit.
func unitDuration(ctx *kong.DecodeContext, target reflect.Value) error {
	token, err := ctx.Scan.PopValue("duration")
	if err != nil {
		return err
	}
	text := fmt.Sprint(token.Value)
	duration, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("expected a duration with its unit, such as 200ms, 90s, 15m or 720h, but got %q", text)
	}
	target.SetInt(int64(duration))
	return nil
}

// absolutePath parses paths of flags. '~' is the home folder, and '-' stays. An empty path stays empty; kong would use the
// current folder. A flag whose default is not empty refuses an empty path.
func absolutePath(ctx *kong.DecodeContext, target reflect.Value) error {
	token, err := ctx.Scan.PopValue("path")
	if err != nil {
		return err
	}
	path := fmt.Sprint(token.Value)
	switch {
	case path == "" && (ctx.Value.Required || ctx.Value.HasDefault && ctx.Value.Default != ""):
		return errors.New("the path is empty")
	case path != "" && path != "-":
		path = kong.ExpandPath(path)
	}
	target.SetString(path)
	return nil
}

// homePath parses a path or a name, such as a model's. It replaces '~' by the home folder, in case no shell did, and leaves
// everything else unchanged.
func homePath(ctx *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := ctx.Scan.PopValueInto("string", &text); err != nil {
		return err
	}
	if strings.HasPrefix(text, "~/") {
		text = kong.ExpandPath(text)
	}
	target.SetString(text)
	return nil
}
