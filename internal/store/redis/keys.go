package redis

import (
	"fmt"
	"strconv"
	"strings"

	"prunellm/internal/store"
)

// modelKey returns the common prefix of a model's keys, "prunellm:v1:{MODEL}". The braces make Redis Cluster keep all
// of them in one slot, so that a script may use several.
func modelKey(model string) string {
	return fmt.Sprintf("prunellm:v%d:{%s}", store.FormatVersion, model)
}

// indexKey returns the name of a model's index, a hash with the size and last use of each entry.
func indexKey(model string) string { return modelKey(model) + ":index" }

// channel returns the name of the channel that announces a model's new entries. A message is the entry's field.
func channel(model string) string { return modelKey(model) + ":published" }

// field returns the name of an entry within its model, "KIND:RECIPE:DETAIL".
func field(key store.Key) string { return strings.Join(key.Segments(), ":") }

func keyFromField(model, field string) (store.Key, error) {
	return store.KeyFromSegments(model, strings.Split(field, ":"))
}

// entryKey returns the name of the string with the header and, for small values, the value. Segments contain no colon,
// so no other entry's name begins with this name and a colon.
func entryKey(key store.Key) string { return modelKey(key.Model) + ":" + field(key) }

func leaseKey(key store.Key) string    { return entryKey(key) + ":lease" }
func fenceKey(key store.Key) string    { return entryKey(key) + ":fence" }
func progressKey(key store.Key) string { return entryKey(key) + ":progress" }

// chunkKeys returns the names of the chunks of one write.
func chunkKeys(key store.Key, header store.Header) []string {
	names := make([]string, header.Chunks)
	for i := range names {
		names[i] = entryKey(key) + ":chunk:" + header.ID + ":" + strconv.Itoa(i)
	}
	return names
}

// usage is the index value of an entry: "BYTES MILLISECONDS ID CHUNKS". ID and CHUNKS give the names of its chunks.
type usage struct {
	sizeBytes int64
	usedMilli int64 // Unix time by Redis's clock
	header    store.Header
}

// parseUsage parses an index value. It returns false for a value that is not valid.
func parseUsage(s string) (usage, bool) {
	parts := strings.Split(s, " ")
	if len(s) > 128 || len(parts) != 4 || strings.Trim(parts[2], "0123456789abcdef") != "" || len(parts[2]) != 32 {
		return usage{}, false
	}
	size, err1 := strconv.ParseInt(parts[0], 10, 64)
	used, err2 := strconv.ParseInt(parts[1], 10, 64)
	chunks, err3 := strconv.Atoi(parts[3])
	if err1 != nil || err2 != nil || err3 != nil || size < 0 || size > store.MaxValueBytes || chunks < 0 || chunks > maxIndexedChunks {
		return usage{}, false
	}
	return usage{sizeBytes: size, usedMilli: used, header: store.Header{ID: parts[2], Chunks: chunks}}, true
}

// maxIndexedChunks bounds the number of chunks that an index value can make this process delete. A header names at most
// as many.
const maxIndexedChunks = 1 << 12
