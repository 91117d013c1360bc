//go:build !unix

package trust

import "os"

// newWalk follows links and trusts every path.
func newWalk() *walk {
	return &walk{lstat: func(path string) (node, error) {
		info, err := os.Lstat(path)
		if err != nil {
			return node{}, err
		}
		return node{path: path, mode: info.Mode()}, nil
	}, user: user{alone: func(uint32) bool { return true }}}
}
