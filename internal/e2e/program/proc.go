package program

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ChildOf returns a child of a process, or 0 if it has none.
func ChildOf(parent int) int { return ChildWith(parent, "") }

// ChildWith returns a child of a process with the given argument, or any child for "". It returns 0 if there is none.
func ChildWith(parent int, argument string) int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		fields := statFields(path)
		if len(fields) < 2 || fields[1] != strconv.Itoa(parent) {
			continue
		}
		folder := filepath.Dir(path)
		arguments, _ := os.ReadFile(filepath.Join(folder, "cmdline"))
		if argument == "" || slices.Contains(strings.Split(string(arguments), "\x00"), argument) {
			pid, _ := strconv.Atoi(filepath.Base(folder))
			return pid
		}
	}
	return 0
}

// State returns the state of a process's first thread in the kernel's letters (R, S, T and so on), or "" if the process has
// ended.
func State(pid int) string { return statField(pid, 0) }

// Nice returns the niceness of a process's first thread, "-20" to "19", or "" if the process has ended.
func Nice(pid int) string { return statField(pid, 16) }

func statField(pid, i int) string {
	if fields := statFields("/proc/" + strconv.Itoa(pid) + "/stat"); len(fields) > i {
		return fields[i]
	}
	return ""
}

// Running reports whether a process exists and is not a zombie.
func Running(pid int) bool {
	s := State(pid)
	return s != "" && s != "Z" && s != "X"
}

// statFields returns the fields of a stat file after the command's name: state, parent and so on.
func statFields(path string) []string {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	text := string(data)
	return strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
}
