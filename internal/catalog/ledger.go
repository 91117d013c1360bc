package catalog

import "maps"

// ledger records which variants this process has made or found. Use newLedger.
type ledger struct {
	startup float64
	digests map[float64]string // of the files, by ratio
}

func newLedger(startup float64) ledger {
	return ledger{startup: startup, digests: map[float64]string{}}
}

// note records the file of a ratio.
func (l ledger) note(ratio float64, digest string) { l.digests[ratio] = digest }

// digest returns the digest of a ratio's file, or "" if it is unknown.
func (l ledger) digest(ratio float64) string { return l.digests[ratio] }

// free reports whether a ratio is exempt from the limit on made variants, because it is the dense or the startup
// variant or was made before.
func (l ledger) free(ratio float64) bool {
	return ratio == 0 || ratio == l.startup || l.digests[ratio] != ""
}

// extra returns how many files were made in addition to those of the dense and the startup variant.
func (l ledger) extra() int {
	distinct := map[string]bool{}
	for ratio, digest := range l.digests {
		if ratio != 0 && ratio != l.startup {
			distinct[digest] = true
		}
	}
	return len(distinct)
}

// forget drops a ratio.
func (l ledger) forget(ratio float64) { delete(l.digests, ratio) }

// forgetFile drops every ratio whose file has the digest.
func (l ledger) forgetFile(digest string) {
	maps.DeleteFunc(l.digests, func(_ float64, d string) bool { return d == digest })
}
