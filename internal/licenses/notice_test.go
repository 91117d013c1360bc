package licenses

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite NOTICE's list of modules and their notices")

const (
	root   = "../.."
	notice = root + "/NOTICE"
)

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// section splits NOTICE at the markers of one section. It returns the text before its lines, its lines, and the text after
// them.
func section(t *testing.T, text, name string) (before, lines, after string) {
	t.Helper()
	marker := regexp.MustCompile(`(?s)^(.*<!-- begin ` + name + `:[^\n]*-->\n)(.*)(<!-- end ` + name + ` -->\n.*)$`)
	match := marker.FindStringSubmatch(text)
	if match == nil {
		t.Fatalf("NOTICE has no section %q", name)
	}
	return match[1], match[2], match[3]
}

// TestModules compares NOTICE's list of modules, licenses and required notices with the modules that the binary links.
func TestModules(t *testing.T) {
	var list, notices strings.Builder
	for _, m := range linkedModules(t) {
		for _, p := range m.parts(t) {
			fmt.Fprintf(&list, "%s | %s\n", p.path, strings.Join(p.licenses, " AND "))
		}
		for _, name := range filesWithPrefix(t, m.dir, "NOTICE") {
			fmt.Fprintf(&notices, "\n%s:\n\n%s\n", m.path, strings.TrimSpace(read(t, filepath.Join(m.dir, name))))
		}
	}
	text := read(t, notice)
	want := text
	for name, lines := range map[string]string{"modules": list.String(), "notices": notices.String()} {
		before, _, after := section(t, want, name)
		want = before + lines + after
	}
	if text == want {
		return
	}
	if !*update {
		t.Fatal("NOTICE differs from the modules that the binary links: run go test ./internal/licenses -update, and read the change")
	}
	if err := os.WriteFile(notice, []byte(want), 0o644); err != nil { //nolint:gosec // a document
		t.Fatal(err)
	}
}

// work is a line of NOTICE about a work that is not a Go module.
type work struct{ name, license, where string }

func works(t *testing.T) (all []work) {
	t.Helper()
	text := read(t, notice)
	for _, name := range []string{"works", "fetched"} {
		_, lines, _ := section(t, text, name)
		for line := range strings.Lines(lines) {
			cells := strings.Split(strings.TrimSpace(line), " | ")
			if len(cells) != 3 {
				t.Fatalf("NOTICE: %q is not a work, a license and a place", line)
			}
			all = append(all, work{cells[0], cells[1], cells[2]})
		}
	}
	return all
}

// wantWork checks that NOTICE has a work at a place and, unless license is "", its license.
func wantWork(t *testing.T, all []work, place, license string) {
	t.Helper()
	at := slices.IndexFunc(all, func(w work) bool { return strings.Contains(w.where, place) })
	if at < 0 {
		t.Errorf("NOTICE has no line about %s", place)
	} else if license != "" && all[at].license != license {
		t.Errorf("NOTICE has the license %[2]s for %[1]s, its file has %[3]s", place, all[at].license, license)
	}
}

var (
	spdx          = regexp.MustCompile(`SPDX-License-Identifier: ([A-Za-z0-9.+-]+)`)
	debianHeaders = regexp.MustCompile(`=(lib\w+-dev|nlohmann-\w+-dev)\b`)
	wheel         = regexp.MustCompile(`(?m)^([a-z0-9-]+)==`)
	foreign       = regexp.MustCompile(`(?m)Copyright \(c\)|Licensed to the Apache Software Foundation|^--- a/ml/backend/ggml`)
)

// TestWorks checks that NOTICE lists everything that setup installs or fetches to build and run, and all files of others in the
// repository. Each of these files must have an SPDX header.
func TestWorks(t *testing.T) {
	all := works(t)
	for _, match := range debianHeaders.FindAllStringSubmatch(read(t, root+"/scripts/setup/install"), -1) {
		wantWork(t, all, match[1], "")
	}
	for _, pins := range []string{"setup/requirements.txt", "build/requirements-cuda.txt", "build/requirements-cuda-xla.txt"} {
		for _, match := range wheel.FindAllStringSubmatch(read(t, root+"/scripts/"+pins), -1) {
			name := match[1]
			if rest, ok := strings.CutPrefix(name, "nvidia-"); ok && rest != "nccl-cu13" {
				name = "nvidia-*"
			}
			wantWork(t, all, name, "")
		}
	}
	headers := 0
	for _, name := range foreignFiles(t) {
		match := spdx.FindStringSubmatch(read(t, filepath.Join(root, name)))
		if match == nil {
			t.Errorf("%s is the work of others and has no SPDX header", name)
			continue
		}
		headers++
		place := name
		if !slices.ContainsFunc(all, func(w work) bool { return strings.Contains(w.where, name) }) {
			place = filepath.ToSlash(filepath.Dir(strings.Replace(name, "/unproven/", "/", 1)))
		}
		wantWork(t, all, place, match[1])
	}
	if headers < 3 {
		t.Errorf("found %d files of others, want at least 3", headers)
	}
}

// foreignFiles returns the files of the repository, relative to root, whose text identifies them as the work of others.
func foreignFiles(t *testing.T) (names []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && slices.Contains([]string{".git", "bin", "dist", "shared"}, name) {
			return fs.SkipDir
		}
		switch filepath.Ext(name) {
		case ".js", ".css", ".html", ".c", ".cpp", ".h", ".cu", ".patch", ".py", ".go":
			if strings.HasPrefix(name, "internal/licenses/") {
				return nil
			}
			head := read(t, filepath.Join(root, name))
			if foreign.MatchString(head[:min(len(head), 2000)]) {
				names = append(names, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
