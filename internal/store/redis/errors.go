package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"prunellm/internal/store"
)

// refusals lists parts of errors from a server that works and can be read, but refuses a command. The last two come
// from scripts whose user lacks a permission; which one depends on the version of Redis.
var refusals = []string{"OOM ", "MISCONF ", "READONLY ", "NOREPLICAS ", "NOPERM ", "ACL failure in script", "The user executing the script can't "}

// wrap adds the operation to an error. It keeps errors of the caller's own context recognizable. All other errors
// except refusals become store.ErrUnavailable. The client's errors name hosts but never credentials.
func (s *Store) wrap(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	var answer redis.Error
	if errors.As(err, &answer) {
		for _, refusal := range refusals {
			if strings.Contains(err.Error(), refusal) {
				return fmt.Errorf("%s: %w", what, err)
			}
		}
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, errTimeout) {
		return fmt.Errorf("%s: %w", what, cause)
	}
	if errors.Is(context.Cause(ctx), errTimeout) {
		return fmt.Errorf("%s: %w: %w", what, store.ErrUnavailable, errTimeout)
	}
	return fmt.Errorf("%s: %w: %w", what, store.ErrUnavailable, err)
}

// errTimeout is the cause of a context that this package's timeout ended and not the caller.
var errTimeout = errors.New("no response in time")

// wrongType reports whether a command failed because its key has the wrong type.
func wrongType(err error) bool { return redis.HasErrorPrefix(err, "WRONGTYPE") }
