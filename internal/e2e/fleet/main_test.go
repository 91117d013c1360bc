package fleet

import (
	"flag"
	"log"
	"os"
	"testing"
)

// TestMain lets more tests run at the same time than there are processors, because these tests mostly wait: for a lease to expire,
// or for a replica to try Redis again.
func TestMain(m *testing.M) {
	flag.Parse()
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == "test.parallel" })
	if !set {
		if err := flag.Set("test.parallel", "6"); err != nil {
			log.Fatal(err)
		}
	}
	os.Exit(m.Run())
}
