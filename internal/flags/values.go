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

// Values are the mappers of flags: decimal numbers, durations with a unit, and paths (type:"path"), or what is a path or a
// name (type:"homepath").
func Values() []kong.Option {
	return []kong.Option{
		kong.KindMapper(reflect.Float64, kong.MapperFunc(plainFloat)),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(unitDuration)),
		kong.NamedMapper("path", kong.MapperFunc(absolutePath)),
		kong.NamedMapper("homepath", kong.MapperFunc(homePath)),
	}
}

// plainFloat reads the numbers of flags: decimal ones alone. kong takes what Go's literals may be, 0x1p-2 and 0x_1p0 too,
// which a ratio in a model's name may not be.
func plainFloat(ctx *kong.DecodeContext, target reflect.Value) error {
	token, err := ctx.Scan.PopValue("float")
	if err != nil {
		return err
	}
	text := fmt.Sprint(token.Value) // a YAML file gives numbers as such
	number, err := strconv.ParseFloat(text, 64)
	if err != nil || strings.ContainsAny(text, "xX_") {
		return fmt.Errorf("expected a decimal number but got %q", text)
	}
	target.SetFloat(number)
	return nil
}

// unitDuration reads the durations of flags, which need a unit.
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

// absolutePath reads paths of flags: '~' is the home folder, and '-' stays. Nothing stays nothing, which kong would make
// the current folder; a flag that cannot do without a path refuses it, unless nothing is its default.
func absolutePath(ctx *kong.DecodeContext, target reflect.Value) error {
	token, err := ctx.Scan.PopValue("path")
	if err != nil {
		return err
	}
	path := fmt.Sprint(token.Value)
	switch {
	case path == "" && (ctx.Value.Required || ctx.Value.HasDefault && ctx.Value.Default != ""):
		return errors.New(`want a path but got ""`)
	case path != "" && path != "-":
		path = kong.ExpandPath(path)
	}
	target.SetString(path)
	return nil
}

// homePath reads what is a path or a name, such as a model's: '~' is the home folder here too, where no shell has replaced
// it, and all else stays as it is.
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
