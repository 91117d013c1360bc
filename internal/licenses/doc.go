// Package licenses tests the works that the product links and ships: each has a known license that permits it, and NOTICE lists
// it. The package has only tests.
package licenses
