// Package pages tests that the commands of the pages work, and that dashboards and alerts use metrics that the server exports. It
// contains only tests.
package pages
