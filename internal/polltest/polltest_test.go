package polltest

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, done := time.Now(), time.Now().Add(time.Second)
		Within(t, time.Minute, func() error {
			if time.Now().Before(done) {
				return errors.New("not yet")
			}
			return nil
		})
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("Within returns after %v, want 1s", waited)
		}
	})
}

func TestDuring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, looks := time.Now(), 0
		for range During(time.Minute) {
			looks++
		}
		if lasted := time.Since(began); lasted != time.Minute || looks != 21 {
			t.Errorf("During runs the body %d times in %v, want 21 times in 1m0s", looks, lasted)
		}
	})
}
