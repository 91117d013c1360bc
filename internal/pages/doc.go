// Package pages tests the repository's Markdown pages: links and anchors have targets, every page is linked, decision numbers
// are unique, and tables equal the code that they describe. The package has only tests.
package pages
