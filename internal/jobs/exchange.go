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

// lockSuffix ends the name of the lock beside an exchange folder.
const lockSuffix = ".lock"

// NewExchange creates a folder below scratch, through which a parent and its child exchange large values, and removes
// the folders of killed processes. A folder is in use while the lock beside it is held, and no lock outlives its
// process. release removes the folder.
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

// errSwept reports that another process swept between the creation and the locking of a lock file.
var errSwept = errors.New("its lock was taken")

// exchangeAttempts bounds how often errSwept may occur in a row.
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
		_ = os.RemoveAll(folder) // the next job removes leftovers
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

// sweepExchanges removes the folders whose processes have ended.
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
