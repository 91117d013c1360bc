// Package pages holds the tests of the repository's Markdown pages: links and anchors lead somewhere, every page is linked,
// decision numbers are unique, and the import table equals depguard's rules. It has no code of its own.
package pages
