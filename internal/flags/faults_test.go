package flags

import (
	"errors"
	"io"
	"os"
	"testing"

	"github.com/alecthomas/kong"
)

func TestJoin(t *testing.T) {
	if err := Join(Faults(nil, nil)); err != nil {
		t.Errorf("Join of no faults = %v", err)
	}
	if err := Join(Faults(errors.New("a"), nil, errors.New("b"))); err == nil || err.Error() != "a; b" {
		t.Errorf("Join = %v, want a; b", err)
	}
	if got := OneLine(errors.Join(errors.New("a"), errors.New("b\r\nc"))); got != "a; b; c" {
		t.Errorf("OneLine = %q, want a; b; c", got)
	}
}

func TestCheckListen(t *testing.T) {
	for _, c := range []struct {
		addr           string
		keys, insecure bool
		valid          bool
	}{
		{addr: "127.0.0.1:1", valid: true}, {addr: "LocalHost:1", valid: true}, {addr: "[::1]:1", valid: true}, {addr: "0.0.0.0:1"}, {addr: ":1"},
		{addr: "host.example:1"}, {addr: "0.0.0.0:1", keys: true, valid: true}, {addr: ":1", insecure: true, valid: true}, {addr: "127.0.0.1", insecure: true},
	} {
		if err := CheckListen(c.addr, c.keys, c.insecure); (err == nil) != c.valid {
			t.Errorf("CheckListen(%q, %v, %v) = %v, want valid %v", c.addr, c.keys, c.insecure, err, c.valid)
		}
	}
}

func TestParseArgs(t *testing.T) {
	var cli struct {
		Name string `default:"none"`
	}
	parser, err := kong.New(&cli, Exit(), kong.Writers(io.Discard, io.Discard), kong.DefaultEnvars("FLAGS_TEST"))
	if err != nil {
		t.Fatal(err)
	}
	if _, exited, err := ParseArgs(parser, []string{"--help"}); exited == nil || *exited != 0 || err != nil {
		t.Errorf("--help exits with %v, %v, want 0", exited, err)
	}
	t.Setenv("FLAGS_TEST_NAME", "")
	if _, exited, err := ParseArgs(parser, nil); exited != nil || err != nil || cli.Name != "none" {
		t.Errorf("an empty variable gives %q, %v, %v, want the default", cli.Name, exited, err)
	}
	if _, set := os.LookupEnv("FLAGS_TEST_NAME"); set {
		t.Error("the empty variable is still set")
	}
	if _, exited, err := ParseArgs(parser, []string{"--unknown"}); exited != nil || err == nil {
		t.Errorf("an unknown flag gives %v, %v, want an error", exited, err)
	}
}
