package jobs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"

	"prunellm/internal/trust"
)

// lockSuffix is how the name of an exchange folder's lock file ends.
const lockSuffix = ".lock"

// NewExchange creates a folder in scratch through which a parent and its child exchange large values. release removes
// the folder. NewExchange also removes the folders of killed processes. A folder is in use while its lock file is
// locked, and the system releases a lock when its process ends.
func NewExchange(scratch string) (folder string, release func(), err error) {
	if _, err := trust.MakeTree(scratch); err != nil {
		return "", nil, fmt.Errorf("make exchange folder: %w", err)
	}
	sweepExchanges(scratch)
	for range exchangeAttempts {
		if folder, release, err = lockedExchange(scratch); !errors.Is(err, errSwept) {
			break
		}
	}
	return folder, release, err
}

// errSwept means that another process removed a lock file after it was created and before it was locked.
var errSwept = errors.New("its lock was taken")

// exchangeAttempts bounds the attempts if errSwept occurs repeatedly.
const exchangeAttempts = 10

// lockedExchange creates one folder and holds its lock.
func lockedExchange(scratch string) (folder string, release func(), err error) {
	file, err := os.CreateTemp(scratch, "job-*"+lockSuffix)
	if err != nil {
		return "", nil, fmt.Errorf("make exchange folder: %w", err)
	}
	defer file.Close()
	lock := flock.New(file.Name())
	held, lockErr := lock.TryLock()
	folder = strings.TrimSuffix(file.Name(), lockSuffix)
	release = func() {
		_ = os.RemoveAll(folder) // if this fails, the next job removes the folder
		_ = os.Remove(lock.Path())
		_ = lock.Close()
	}
	if lockErr == nil && !held {
		lockErr = errSwept
	}
	if err := errors.Join(lockErr, os.Mkdir(folder, 0o700)); err != nil {
		release()
		return "", nil, fmt.Errorf("make exchange folder: %w", err)
	}
	return folder, release, nil
}

// sweepExchanges removes the exchange folders whose processes have ended.
func sweepExchanges(scratch string) {
	locks, _ := filepath.Glob(filepath.Join(scratch, "job-*"+lockSuffix)) // the pattern is valid
	for _, path := range locks {
		lock := flock.New(path)
		if held, err := lock.TryLock(); err == nil && held {
			_ = os.RemoveAll(strings.TrimSuffix(path, lockSuffix))
			_ = os.Remove(path)
		}
		_ = lock.Close()
	}
}
