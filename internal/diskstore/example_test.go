package diskstore_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"prunellm/internal/diskstore"
	"prunellm/internal/variant"
)

// A value is put and read back; one that was never put is not found.
func Example() {
	dir, err := os.MkdirTemp("", "cache")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	store, err := diskstore.Open(dir, diskstore.Options{Log: slog.Default()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()

	ctx := context.Background()
	key := variant.Key{Model: strings.Repeat("ab", 32), Kind: variant.KindPlan, Recipe: "4f2a", Detail: "0.2-global"}
	if err := store.Put(ctx, key, []byte("a plan")); err != nil {
		fmt.Println(err)
		return
	}
	value, err := store.Get(ctx, key)
	fmt.Printf("%s %v\n", value, err)
	key.Detail = "0.4-global"
	_, err = store.Get(ctx, key)
	fmt.Println(errors.Is(err, variant.ErrNotFound))
	// Output:
	// a plan <nil>
	// true
}
