package licenses

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/licensecheck"
)

// minimumCoverage is the share of a license file, in percent, that must be text of known licenses.
const minimumCoverage = 80

// permitted are the licenses that linked code may have. They only require that their text and notices are kept.
var permitted = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "ISC", "MIT", "Unlicense", "Zlib"}

// module is a Go module of which the binary links packages.
type module struct {
	path, dir string
	// folders are the folders of its linked packages, relative to dir, with slashes.
	folders []string
}

// linkedModules returns the modules that the program links, sorted by path, without its own.
func linkedModules(t *testing.T) []module {
	t.Helper()
	const format = "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Dir}}\t{{$.Dir}}{{end}}{{end}}"
	list := exec.Command("go", "list", "-deps", "-f", format, "prunellm/cmd/prunellm")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	byPath := map[string]*module{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		if len(fields) != 3 {
			continue // of the standard library or the program
		}
		m := byPath[fields[0]]
		if m == nil {
			m = &module{path: fields[0], dir: fields[1]}
			byPath[m.path] = m
		}
		folder, err := filepath.Rel(m.dir, fields[2])
		if err != nil {
			t.Fatal(err)
		}
		m.folders = append(m.folders, filepath.ToSlash(folder))
	}
	var modules []module
	for _, m := range byPath {
		modules = append(modules, *m)
	}
	slices.SortFunc(modules, func(a, b module) int { return strings.Compare(a.path, b.path) })
	if len(modules) < 20 {
		t.Fatalf("%d modules, want at least 20", len(modules))
	}
	return modules
}

// texts returns the module's license files, relative to its folder: those at its root, and those of folders with a linked
// package.
func (m module) texts(t *testing.T) []string {
	t.Helper()
	var folders []string
	for _, folder := range m.folders {
		for ; folder != "."; folder = path.Dir(folder) {
			folders = append(folders, folder)
		}
	}
	slices.Sort(folders)
	var files []string
	for _, folder := range append([]string{"."}, slices.Compact(folders)...) {
		for _, file := range filesWithPrefix(t, filepath.Join(m.dir, folder), "LICENSE", "LICENCE", "COPYING") {
			files = append(files, path.Join(folder, file))
		}
	}
	return files
}

// filesWithPrefix returns the names of the files in a folder that begin with one of prefixes, in upper or lower case.
func filesWithPrefix(t *testing.T, folder string, prefixes ...string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		has := func(prefix string) bool { return strings.HasPrefix(strings.ToUpper(entry.Name()), prefix) }
		if entry.Type().IsRegular() && slices.ContainsFunc(prefixes, has) {
			names = append(names, entry.Name())
		}
	}
	return names
}

// classify returns the sorted SPDX identifiers of the licenses in a text. It returns an error if less than minimumCoverage of the
// text belongs to known licenses.
func classify(text []byte) ([]string, error) {
	coverage := licensecheck.Scan(text)
	var found []string
	for _, match := range coverage.Match {
		found = append(found, match.ID)
	}
	slices.Sort(found)
	if coverage.Percent < minimumCoverage {
		return nil, fmt.Errorf("%.0f%% of the text belongs to known licenses %v, want at least %d%%", coverage.Percent, found, minimumCoverage)
	}
	return slices.Compact(found), nil
}

// part is a folder of a module that has license files, and their licenses, sorted.
type part struct {
	path     string // an import path
	licenses []string
}

// parts returns the module's folders that have license files, the root first. An unknown or forbidden license fails the test.
func (m module) parts(t *testing.T) (parts []part) {
	t.Helper()
	for _, name := range m.texts(t) {
		text, err := os.ReadFile(filepath.Join(m.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		found, err := classify(text)
		if err != nil {
			t.Errorf("module %s, file %s: %v", m.path, name, err)
		}
		for _, id := range found {
			if !slices.Contains(permitted, id) {
				t.Errorf("module %s, file %s: the license %s is not among %v", m.path, name, id, permitted)
			}
		}
		folder := path.Join(m.path, path.Dir(name))
		if n := len(parts); n > 0 && parts[n-1].path == folder {
			found = append(found, parts[n-1].licenses...)
			parts = parts[:n-1]
		}
		slices.Sort(found)
		parts = append(parts, part{folder, slices.Compact(found)})
	}
	if len(parts) == 0 || parts[0].path != m.path {
		t.Errorf("module %s has no license file", m.path)
	}
	return parts
}

func TestClassifyRefuses(t *testing.T) {
	for name, text := range map[string]string{"nothing": "", "own terms": "You may use this on Sundays."} {
		if found, err := classify([]byte(text)); err == nil {
			t.Errorf("%s counts as %v", name, found)
		}
	}
	text, err := os.ReadFile("../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	if found, err := classify(text); err != nil || !slices.Equal(found, []string{"Apache-2.0"}) {
		t.Errorf("LICENSE is %v, %v, want Apache-2.0", found, err)
	}
}
