package openapi

import (
	"errors"
	"math"
	"strings"
	"testing"
)

func TestParseModelName(t *testing.T) {
	tests := map[string]ModelName{
		"tiny":          {Base: "tiny"},
		"tiny@auto":     {Base: "tiny", Auto: true},
		"tiny@0":        {Base: "tiny", Explicit: true},
		"tiny@0.0":      {Base: "tiny", Explicit: true},
		"tiny@0.20":     {Base: "tiny", Ratio: 0.2, Explicit: true},
		"a@b@0.95":      {Base: "a@b", Ratio: 0.95, Explicit: true},
		"hf:o/n@0.3":    {Base: "hf:o/n", Ratio: 0.3, Explicit: true},
		"tiny@0.200001": {Base: "tiny", Ratio: 0.200001, Explicit: true},
	}
	for text, want := range tests {
		got, err := ParseModelName(text)
		if err != nil || got != want {
			t.Errorf("ParseModelName(%q) = %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "@0.2", "tiny@", "@auto", "tiny@Auto", "tiny@NaN", "tiny@-1", "tiny@1", "tiny@1.0", "tiny@0.9999", "tiny@1e309", "tiny@0x1p-2", "ti\nny", "tiny@0.2\x00", "tiny@٠.٢", "tiny@-0", "tiny@0_1", string(make([]byte, 300))} {
		got, err := ParseModelName(text)
		var refused *Error
		if !errors.As(err, &refused) || *refused.Param != "model" {
			t.Errorf("ParseModelName(%q) = %+v, %v, want an *Error about model", text, got, err)
		}
	}
}

func TestCheckModelNames(t *testing.T) {
	for _, names := range [][]string{nil, {"a"}, {"gpt-4o", "org/model", "llama3:latest", "Größe 1"}, {strings.Repeat("x", 244)}} {
		if err := CheckModelNames(names); err != nil {
			t.Errorf("CheckModelNames(%q) = %v", names, err)
		}
	}
	many := make([]string, MaxModelNames+1)
	for i := range many {
		many[i] = strings.Repeat("x", i+1)
	}
	for _, names := range [][]string{{""}, {"a", "a"}, {"default"}, {"a@0.2"}, {"a@auto"}, {"a@b"}, {"@"}, {"a\nb"}, {strings.Repeat("x", 245)}, many} {
		if err := CheckModelNames(names); err == nil {
			t.Errorf("CheckModelNames(%q) has no fault", names)
		}
	}
}

func FuzzParseModelName(f *testing.F) {
	for _, seed := range []string{"tiny", "tiny@0.2", "@", "a@1e5", "a@0.999999999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name, err := ParseModelName(text)
		if err != nil {
			return
		}
		if !(name.Ratio >= 0 && name.Ratio <= MaxRatio) || math.Signbit(name.Ratio) || name.Base == "" {
			t.Fatalf("ParseModelName(%q) = %+v", text, name)
		}
		again, err := ParseModelName(name.String())
		if err != nil || again != name {
			t.Errorf("%q reads as %+v, its name %q as %+v, %v", text, name, name.String(), again, err)
		}
	})
}
