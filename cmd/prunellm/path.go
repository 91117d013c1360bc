package main

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
)

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
