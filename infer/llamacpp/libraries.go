package llamacpp

/*
#cgo linux LDFLAGS: -ldl

#include <stddef.h>

extern void prunellm_adopt_library(const char * path);
*/
import "C"

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unsafe"
)

// Backends that are loaded from files bring a copy of ggml's base with them, with a log and a way to end the process of its own.
// adoptLibraries opens that copy before the backends ask for it, and routes both to us.

// libraryVariable tells ggml where to look for backends. Only folders below one named lib/ollama are looked at.
const libraryVariable = "OLLAMA_LIBRARY_PATH"

// libraryHome is a folder with lib/ollama in it, beside that of the binary; see SetLibraryHome.
var libraryHome string

// SetLibraryHome names a folder whose lib/ollama/cuda_* hold backends for GPUs, as make cuda builds them. It counts until the first
// model is opened.
func SetLibraryHome(folder string) { libraryHome = folder }

// libraryFolders are where ggml is to look: what the user says, or the folder beside the binary's and those for GPUs below it and
// below libraryHome.
func libraryFolders() []string {
	if value, set := os.LookupEnv(libraryVariable); set {
		return filepath.SplitList(value)
	}
	self, err := os.Executable()
	if err != nil {
		return nil
	}
	beside := filepath.Join(filepath.Dir(self), "..", "lib", "ollama")
	folders := []string{beside}
	for _, folder := range []string{beside, filepath.Join(libraryHome, "lib", "ollama")} {
		// The newest version of CUDA first: ggml takes the first backend of a name that loads.
		found, _ := filepath.Glob(filepath.Join(folder, "cuda_*"))
		slices.Sort(found)
		slices.Reverse(found)
		folders = append(folders, found...)
	}
	return folders
}

// adoptLibraries says where backends are, and prepares what they have in common.
func adoptLibraries() {
	folders := libraryFolders()
	os.Setenv(libraryVariable, strings.Join(folders, string(filepath.ListSeparator))) // setenv does not fail for a valid name
	for _, folder := range folders {
		// Linux knows a library by this name once it is open: the first counts, for all folders.
		found, _ := filepath.Glob(filepath.Join(folder, "libggml-base.so.*"))
		slices.Sort(found)
		if len(found) == 0 {
			continue
		}
		path, err := filepath.Abs(found[0])
		if err != nil {
			continue
		}
		bytes := append([]byte(path), 0)
		C.prunellm_adopt_library((*C.char)(unsafe.Pointer(&bytes[0])))
	}
}
