package disk

import (
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// usedFile is a file with the properties that decide on eviction: its size and its last use.
type usedFile struct {
	name      string
	sizeBytes int64
	used      time.Time
}

// enforceLimit evicts the least recently used entries until the limit holds. It never evicts keep.
func (s *Store) enforceLimit(keep string) {
	s.evict.Lock()
	defer s.evict.Unlock()
	files := usedFiles(s.root, func(name string) bool { return strings.Contains(name, "/") })
	for _, file := range chooseEvicted(files, s.options.LimitBytes, keep) {
		if err := s.root.Remove(file.name); err != nil {
			s.options.Log.Warn("cache entry not evicted", "store", storeName, "file", file.name, "error", err)
			continue
		}
		s.options.Log.Info("cache entry evicted", "store", storeName, "file", file.name, "size_bytes", file.sizeBytes)
	}
}

// usedFiles lists the regular files below root whose slash-separated names accept allows. It skips files that vanish or
// cannot be read.
func usedFiles(root *os.Root, accept func(name string) bool) []usedFile {
	var files []usedFile
	// WalkDir returns no error, because the walk function returns only nil or SkipDir.
	_ = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			if entry != nil && entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() || !accept(name) {
			return nil
		}
		if info, err := entry.Info(); err == nil {
			files = append(files, usedFile{name: name, sizeBytes: info.Size(), used: info.ModTime()})
		}
		return nil
	})
	return files
}

// chooseEvicted returns the least recently used files whose removal brings the total size to at most limitBytes. Ties
// are broken by name. It never selects keep.
func chooseEvicted(files []usedFile, limitBytes int64, keep string) []usedFile {
	slices.SortFunc(files, func(a, b usedFile) int {
		if c := a.used.Compare(b.used); c != 0 {
			return c
		}
		return strings.Compare(a.name, b.name)
	})
	var total int64
	for _, file := range files {
		total += file.sizeBytes
	}
	var evicted []usedFile
	for _, file := range files {
		if total <= limitBytes {
			break
		}
		if file.name == keep {
			continue
		}
		total -= file.sizeBytes
		evicted = append(evicted, file)
	}
	return evicted
}
