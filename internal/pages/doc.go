// Package pages tests the repository's Markdown pages. Links and anchors have targets, and every page is linked. Decision numbers
// are unique, and tables equal the code that they describe. The package has only tests.
package pages
