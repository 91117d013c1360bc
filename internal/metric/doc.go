// Package metric is the one list of the server's own metrics. Code makes its collectors from the rows, the tables of
// docs/operate/metrics.md are written from them, and tests compare both with what a server registers.
//
// It counts nothing: whoever makes a collector updates it.
package metric
