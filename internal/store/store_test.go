package store

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

var testModel = strings.Repeat("0123456789abcdef", 4)

func TestKeyString(t *testing.T) {
	for _, key := range []Key{
		{testModel, KindScores, "r1", ""},
		{testModel, KindPlan, "0a9f", "0.2-global"},
		{testModel, KindDown, "r1", "0.2-global_q8_0"},
		{testModel, "x", strings.Repeat("r", maxRecipeBytes), strings.Repeat("d", maxDetailBytes)},
	} {
		if err := key.Validate(); err != nil {
			t.Errorf("Validate(%v) = %v", key, err)
		}
		if got, err := ParseKey(key.String()); err != nil || got != key {
			t.Errorf("ParseKey(%q) = %v, %v, want %v", key.String(), got, err, key)
		}
	}
	if got, want := (Key{testModel, KindScores, "r1", ""}).String(), "v1/"+testModel+"/scores/r1/-"; got != want {
		t.Errorf("String = %q, want %q", got, want)
	}
}

func TestParseKeyRefuses(t *testing.T) {
	good := Key{testModel, KindPlan, "r1", "0.2"}.String()
	for _, s := range []string{
		"", "v1", good + "/", good + "/x", strings.Replace(good, "v1", "v2", 1), strings.Replace(good, "plan", "Plan", 1),
		strings.Replace(good, "0.2", "", 1), strings.Replace(good, "0.2", "..", 1), strings.Replace(good, "0.2", "--", 1), strings.Replace(good, "0", "g", 1),
		strings.Replace(good, "r1", "-", 1), strings.Replace(good, "r1", "ä", 1), strings.Repeat("a/", 1<<16),
	} {
		if key, err := ParseKey(s); err == nil {
			t.Errorf("ParseKey(%.80q) = %v", s, key)
		} else if len(err.Error()) > 400 {
			t.Errorf("ParseKey(%.80q) gives an error of %d bytes", s, len(err.Error()))
		}
	}
}

// TestCorruptIsNotFound checks that callers who only need to know whether to compute need only check for ErrNotFound.
func TestCorruptIsNotFound(t *testing.T) {
	if !errors.Is(ErrCorrupt, ErrNotFound) || errors.Is(ErrNotFound, ErrCorrupt) {
		t.Error("ErrCorrupt must be an ErrNotFound and not the other way round")
	}
}

func TestHeaderFits(t *testing.T) {
	key := Key{testModel, Kind(strings.Repeat("k", maxKindBytes)), strings.Repeat("r", maxRecipeBytes), strings.Repeat("d", maxDetailBytes)}
	header := NewHeader(key, []byte("x"), 1)
	header.Size, header.ChunkBytes, header.Chunks = MaxValueBytes, MaxValueBytes, 1
	line, err := header.Encode()
	if err != nil || len(line) > MaxHeaderBytes {
		t.Fatalf("the longest header has %d bytes, %v, want at most %d", len(line), err, MaxHeaderBytes)
	}
	if got, length, err := DecodeHeader(line, key, MaxValueBytes); err != nil || got != header || length != len(line) {
		t.Fatalf("DecodeHeader = %+v, %d, %v", got, length, err)
	}
}

func TestHeaderChunks(t *testing.T) {
	key := Key{testModel, KindDown, "r1", "0.2"}
	for _, tt := range []struct {
		size, chunkBytes int
		want             []int64
	}{
		{0, 10, nil}, {1, 10, []int64{1}}, {10, 10, []int64{10}}, {11, 10, []int64{10, 1}}, {30, 10, []int64{10, 10, 10}}, {5, 0, nil},
	} {
		header := NewHeader(key, make([]byte, tt.size), int64(tt.chunkBytes))
		var got []int64
		for i := range header.Chunks {
			got = append(got, header.ChunkSize(i))
		}
		if fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("%d bytes in chunks of %d: %v, want %v", tt.size, tt.chunkBytes, got, tt.want)
		}
	}
	if _, err := NewHeader(key, make([]byte, maxChunks+1), 1).Encode(); err == nil {
		t.Error("a header with too many chunks is encoded")
	}
}

// TestHeaderIDs checks that two writes of the same value have different ids, so that their chunks differ.
func TestHeaderIDs(t *testing.T) {
	key := Key{testModel, KindDown, "r1", "0.2"}
	if a, b := NewHeader(key, nil, 0), NewHeader(key, nil, 0); a.ID == b.ID || a.SHA256 != b.SHA256 {
		t.Errorf("ids %s and %s, sha256 %s and %s", a.ID, b.ID, a.SHA256, b.SHA256)
	}
}

// FuzzDecodeEntry decodes arbitrary bytes, as from cache files and Redis entries. It must not panic or allocate more
// than the size of the input, and it must accept only what Encode would write.
func FuzzDecodeEntry(f *testing.F) {
	key := Key{testModel, KindPlan, "r1", "0.2"}
	add := func(header Header, value string) {
		line, err := header.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(append(line, value...))
	}
	header := NewHeader(key, []byte("value"), 0)
	add(header, "value")
	add(header, "valuf")
	add(NewHeader(key, nil, 0), "")
	add(NewHeader(key, []byte("value"), 2), "")
	huge := header
	huge.Size = MaxValueBytes
	add(huge, "value")
	f.Add([]byte("{}\n"))
	f.Add([]byte(`{"version":1,"version":1}` + "\n"))
	f.Add([]byte(strings.Repeat("[", 2000)))
	f.Fuzz(func(t *testing.T, data []byte) {
		if header, length, err := DecodeHeader(data, key, MaxValueBytes); err == nil {
			line, err := header.Encode()
			if err != nil || !bytes.Equal(line, data[:length]) {
				t.Fatalf("DecodeHeader accepts %q, but Encode writes %q, %v", data[:length], line, err)
			}
			var sum int64
			for i := range header.Chunks {
				if size := header.ChunkSize(i); size <= 0 || size > header.ChunkBytes {
					t.Fatalf("chunk %d of %+v has %d bytes", i, header, size)
				} else {
					sum += size
				}
			}
			if header.Chunks > 0 && sum != header.Size {
				t.Fatalf("chunks of %+v hold %d bytes", header, sum)
			}
		}
		value, err := DecodeEntry(bytes.NewReader(data), int64(len(data)), key, MaxValueBytes)
		if err == nil && len(value) > len(data) {
			t.Fatalf("%d bytes out of %d", len(value), len(data))
		}
	})
}

func FuzzParseKey(f *testing.F) {
	f.Add(Key{testModel, KindPlan, "r1", "0.2"}.String())
	f.Add("v1/../../../etc/passwd")
	f.Fuzz(func(t *testing.T, s string) {
		if key, err := ParseKey(s); err == nil && key.String() != s {
			t.Errorf("ParseKey(%q).String() = %q", s, key.String())
		}
	})
}
