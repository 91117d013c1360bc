package chat

import "testing"

func TestPrefixed(t *testing.T) {
	got := prefixed("root ::= \"root\\\"\" [a-z\\]root] sub{1,2} # root\nsub ::= (root | \"\")* .", "p-")
	want := "p-root ::= \"root\\\"\" [a-z\\]root] p-sub{1,2} # root\np-sub ::= (p-root | \"\")* .\n"
	if got != want {
		t.Errorf("prefixed() = %q, want %q", got, want)
	}
}
