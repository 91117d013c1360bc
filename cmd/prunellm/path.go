package main

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/alecthomas/kong"
)

// absolutePath reads paths of flags: '~' is the home folder, and '-' stays. Nothing stays nothing, which kong would make
// the current folder; a flag that cannot do without a path refuses it.
func absolutePath(ctx *kong.DecodeContext, target reflect.Value) error {
	token, err := ctx.Scan.PopValue("path")
	if err != nil {
		return err
	}
	path := fmt.Sprint(token.Value)
	switch {
	case path == "" && (ctx.Value.Required || ctx.Value.HasDefault):
		return errors.New(`want a path but got ""`)
	case path != "" && path != "-":
		path = kong.ExpandPath(path)
	}
	target.SetString(path)
	return nil
}
