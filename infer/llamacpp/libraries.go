package llamacpp

/*
#cgo linux LDFLAGS: -ldl

#include <stddef.h>

extern void prunellm_adopt_library(const char * path);
*/
import "C"

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unsafe"

	"prunellm/internal/trust"
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
	folders, roots := []string{beside}, []string{beside}
	if libraryHome != "" {
		roots = append(roots, filepath.Join(libraryHome, "lib", "ollama"))
	}
	for _, folder := range roots {
		// The newest version of CUDA first: ggml takes the first backend of a name that loads.
		found, _ := filepath.Glob(filepath.Join(folder, "cuda_*"))
		slices.Sort(found)
		slices.Reverse(found)
		folders = append(folders, found...)
	}
	return folders
}

// ownVariable names one more backend, which ggml loads wherever it lies.
const ownVariable = "GGML_BACKEND_PATH"

// trustedFolders are the folders in which no other user can change a library. The error is about the others: their backends
// are not loaded, and no model is opened without them.
func trustedFolders(folders []string) (trusted []string, err error) {
	for _, folder := range folders {
		if folder == "" {
			continue // would be the current folder
		}
		_, fault := trust.Tree(folder)
		switch {
		case fault == nil:
			trusted = append(trusted, folder)
		case errors.Is(fault, fs.ErrNotExist): // nothing to load
		default:
			err = errors.Join(err, fmt.Errorf("folder of libraries: %w", fault))
		}
	}
	return trusted, err
}

// adoptLibraries says where backends are, and prepares what they have in common. The error is about libraries that are not
// loaded because other users can change them.
func adoptLibraries() error {
	folders, err := trustedFolders(libraryFolders())
	if own := os.Getenv(ownVariable); own != "" { //nolint:forbidigo // a variable of ggml's, and not ours
		if _, fault := trust.Resolve(own); fault != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", ownVariable, fault))
			os.Unsetenv(ownVariable) // unsetenv does not fail for a valid name
		}
	}
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
	return err
}
