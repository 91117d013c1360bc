package disk_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"prunellm/internal/store"
	"prunellm/internal/store/disk"
)

// Put stores a value, and Get reads it back. Get does not find a value that was never stored.
func Example() {
	dir, err := os.MkdirTemp("", "cache")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	entries, err := disk.Open(dir, disk.Options{Log: slog.Default()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer entries.Close()

	ctx := context.Background()
	key := store.Key{Model: strings.Repeat("ab", 32), Kind: store.KindPlan, Recipe: "4f2a", Detail: "0.2-global"}
	if err := entries.Put(ctx, key, []byte("a plan")); err != nil {
		fmt.Println(err)
		return
	}
	value, err := entries.Get(ctx, key)
	fmt.Printf("%s %v\n", value, err)
	key.Detail = "0.4-global"
	_, err = entries.Get(ctx, key)
	fmt.Println(errors.Is(err, store.ErrNotFound))
	// Output:
	// a plan <nil>
	// true
}
