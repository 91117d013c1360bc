package hub

import (
	"fmt"
	"regexp"
	"strings"
)

// Prefix is how a model reference to a repository begins.
const Prefix = "hf:"

// Ref names a repository and the files to download from it.
type Ref struct {
	Owner, Name string
	Revision    string // branch, tag or commit; default "main"
	Select      string // a file name, or a type that file names end in such as "Q8_0"; if "", Fetch chooses
}

var (
	namePattern     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$`)
	revisionPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$`)
	pathPattern     = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._ +=@,()-]*(/[A-Za-z0-9_][A-Za-z0-9._ +=@,()-]*){0,7}$`)
)

// ParseRef parses "hf:owner/name", optionally followed by "@revision" and by ":file" or ":type".
func ParseRef(text string) (Ref, error) {
	rest, ok := strings.CutPrefix(text, Prefix)
	fail := func() (Ref, error) {
		return Ref{}, fmt.Errorf("model reference %.200q must be hf:owner/name, with optional @revision and :file or :type", text)
	}
	if !ok {
		return fail()
	}
	rest, selector, selected := strings.Cut(rest, ":")
	rest, revision, revised := strings.Cut(rest, "@")
	owner, name, slash := strings.Cut(rest, "/")
	ref := Ref{Owner: owner, Name: name, Revision: "main", Select: selector}
	if revised {
		ref.Revision = revision
	}
	if !slash || !safeName(owner) || !safeName(name) || !revisionPattern.MatchString(ref.Revision) || strings.Contains(ref.Revision, "..") ||
		(selected && !safePath(selector)) {
		return fail()
	}
	return ref, nil
}

// safeName reports whether the name of an owner or a repository can safely be part of a URL and of a file name.
func safeName(name string) bool {
	return namePattern.MatchString(name) && !strings.Contains(name, "..")
}

// safePath reports whether the name of a file in a repository is a plain relative path.
func safePath(path string) bool {
	return len(path) <= 255 && pathPattern.MatchString(path) && !strings.Contains(path, "..")
}

// String returns the reference in the form that ParseRef accepts.
func (r Ref) String() string {
	text := Prefix + r.Owner + "/" + r.Name + "@" + r.Revision
	if r.Select != "" {
		text += ":" + r.Select
	}
	return text
}
