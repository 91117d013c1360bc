// Package metric has the only list of the server's own metrics. Code creates its collectors from the rows, and a test writes
// the tables of docs/operate/metrics.md from them. Tests compare both with the metrics that a server registers.
//
// The package counts nothing; the code that creates a collector updates it.
package metric
