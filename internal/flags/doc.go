// Package flags parses values of command-line flags, and a YAML file that sets flags. It uses kong and does not depend on
// prunellm's own flags.
//
// # Errors
//
// An error in the file names the file, the line and the key, and suggests the nearest known key.
package flags
