package main

import "testing"

func TestPlainFloat(t *testing.T) {
	for text, want := range map[string]bool{
		"0.2": true, ".25": true, "2e-1": true, "0x1p-2": false, "0X1P-2": false, "0x_1p-2": false, "": false, "1e309": false, "0,2": false,
	} {
		var cli commandLine
		parser, err := newParser(&cli, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse([]string{"prune", "--ratio=" + text, "-o", "o.gguf"}); (err == nil) != want {
			t.Errorf("--ratio=%q gives %v", text, err)
		}
		if _, err := parser.Parse([]string{"eval", "--ratios=0," + text, "--text", "t.txt"}); (err == nil) != want && text != "" && text != "0,2" {
			t.Errorf("--ratios=0,%q gives %v", text, err)
		}
	}
}
