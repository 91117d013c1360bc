package flags

import (
	"fmt"
	"strconv"
)

// AutoOr returns the number of the flag name, whose value is "auto" or a number from 0 to most. auto is the number for "auto".
func AutoOr(name, value string, auto, most int) (int, error) {
	if value == "auto" {
		return auto, nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 || n > most || strconv.Itoa(n) != value {
		return 0, fmt.Errorf("--%s is %q but must be 'auto' or a number from 0 to %d", name, value, most)
	}
	return n, nil
}
