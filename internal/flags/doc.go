// Package flags reads what the command line's flags can be given: values of their types, and a YAML file that stands in for
// flags. It knows kong and no flag of prunellm.
//
// # Errors
//
// A fault of the file names the file, the line and the key, and suggests the nearest known key.
package flags
