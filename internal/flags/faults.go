package flags

import (
	"errors"
	"fmt"
	"net"
	"strings"
)

// Faults returns the errors that are not nil.
func Faults(errs ...error) []error {
	var kept []error
	for _, err := range errs {
		if err != nil {
			kept = append(kept, err)
		}
	}
	return kept
}

// Join returns a one-line error with all faults, or nil if there are none.
func Join(faults []error) error {
	if len(faults) == 0 {
		return nil
	}
	lines := make([]string, len(faults))
	for i, fault := range faults {
		lines[i] = fault.Error()
	}
	return errors.New(strings.Join(lines, "; "))
}

// OneLine returns an error's message in one line.
func OneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

// CheckListen refuses an address that other machines can reach, unless the server requires keys or insecure is set.
func CheckListen(addr string, hasKeys, insecure bool) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("--addr is %q but must be host:port", addr)
	}
	if hasKeys || insecure || isLoopback(host) {
		return nil
	}
	return fmt.Errorf("--addr %s is reachable from other machines, and there is no --api-key-file: add one, or add --insecure to serve without keys", addr)
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
