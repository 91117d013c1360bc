package redis

import (
	"strings"
	"testing"
)

// A raw special character in a password ends some part of the URL early. The error must say how to write the character
// and must not contain the password. No part of a password may be taken as a host or silently dropped.
func TestRawSpecialCharactersInAPassword(t *testing.T) {
	const hint = "percent-encoded: / as %2F, # as %23"
	for _, password := range []string{"se/cret", "se#cret", "se?cret", "se%cret", "12#secret", "12/secret", "12?secret", "[secret", "se cret", "se\\cret", "%zzsecret"} {
		for _, url := range []string{
			"redis://:" + password + "@127.0.0.1:6379/0", "rediss://user:" + password + "@127.0.0.1", "unix://:" + password + "@/run/redis.sock",
			"redis-sentinel://:" + password + "@a:1,b:2/master", "redis-cluster://:" + password + "@a:1,b:2",
		} {
			o, err := parseURL(url)
			if err == nil && o.Password == password { // some parsers accept the character
				continue
			}
			if err == nil || !strings.Contains(err.Error(), hint) || strings.Contains(err.Error(), "cret") {
				t.Errorf("parse %q: %t, %v; want an error with the hint and without the password", url, o != nil, err)
			}
		}
	}
	for _, url := range []string{"unix://:se%2Fcret@/run/a@b.sock?db=1", "redis://:se%2Fcret@127.0.0.1:6379/0", "redis-cluster://:se%2Fcret@a:1,b:2", "redis-sentinel://:se%2Fcret@a:1/master/0"} {
		if o, err := parseURL(url); err != nil || o.Password != "se/cret" {
			t.Errorf("parse %q: %+v, %v; want the password se/cret", url, o, err)
		}
	}
	for _, url := range []string{"redis://127.0.0.1:x", "redis-cluster://a:1/2"} {
		if _, err := parseURL(url); err == nil || strings.Contains(err.Error(), hint) {
			t.Errorf("parse %q: %v; want an error without a hint about passwords", url, err)
		}
	}
}
