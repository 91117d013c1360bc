// Package flags parses values of command-line flags, and a YAML file that sets flags. It uses kong and knows no flag of
// prunellm.
//
// # Errors
//
// A fault of the file names the file, the line and the key, and suggests the nearest known key.
package flags
