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

// Backends that ggml loads from files come with a copy of ggml's base, which has its own log and abort callback.
// adoptLibraries opens that copy before the backends load it, and redirects both to this package.

// libraryVariable tells ggml where to find backends. It searches only folders below one named lib/ollama.
const libraryVariable = "OLLAMA_LIBRARY_PATH"

// libraryHome is a folder with lib/ollama, in addition to that of the binary; see SetLibraryHome.
var libraryHome string

// SetLibraryHome sets a folder whose lib/ollama/cuda_* contain GPU backends, as make cuda builds them. It has no effect after
// the first model is opened.
func SetLibraryHome(folder string) { libraryHome = folder }

// libraryFolders returns the folders in which ggml searches for backends: the user's, or lib/ollama of the binary with the GPU
// folders in it and in that of libraryHome.
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

// ownVariable is the environment variable with one more backend, which ggml loads from any folder.
const ownVariable = "GGML_BACKEND_PATH"

// trustedFolders returns the folders in which no other user can change a library. The error names the other folders: their
// backends are not loaded, and Open returns this error.
func trustedFolders(folders []string) (trusted []string, err error) {
	for _, folder := range folders {
		if folder == "" {
			continue // "" would be the current folder
		}
		_, fault := trust.Tree(folder)
		switch {
		case fault == nil:
			trusted = append(trusted, folder)
		case errors.Is(fault, fs.ErrNotExist): // no backends in it
		default:
			err = errors.Join(err, fmt.Errorf("folder of libraries: %w", fault))
		}
	}
	return trusted, err
}

// adoptLibraries tells ggml the folders of backends, and adopts their copies of ggml's base. The error names libraries
// that are not loaded because other users can change them.
func adoptLibraries() error {
	folders, err := trustedFolders(libraryFolders())
	if own := os.Getenv(ownVariable); own != "" { //nolint:forbidigo // a variable of ggml, not of prunellm
		if _, fault := trust.Resolve(own); fault != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", ownVariable, fault))
			os.Unsetenv(ownVariable) // unsetenv does not fail for a valid name
		}
	}
	os.Setenv(libraryVariable, strings.Join(folders, string(filepath.ListSeparator))) // setenv does not fail for a valid name
	for _, folder := range folders {
		// Linux identifies an open library by this name, so the first one is used for all folders.
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
