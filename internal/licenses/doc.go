// Package licenses holds the tests of what the product links and ships: each work has a known license that permits it, and NOTICE names
// each. It has no code of its own.
package licenses
