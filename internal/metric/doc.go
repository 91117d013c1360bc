// Package metric is the only list of the server's own metrics. Code makes its collectors from the rows, a test writes
// the tables of docs/operate/metrics.md from them, and tests compare both with the metrics that a server registers.
//
// It counts nothing; the code that makes a collector updates it.
package metric
