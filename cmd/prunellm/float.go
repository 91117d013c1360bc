package main

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
)

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
