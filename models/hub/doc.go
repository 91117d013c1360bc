// Package hub downloads model repositories from a hub that speaks Hugging Face's HTTP API.
//
// Fetch downloads a GGUF file, or the files of a safetensors folder. It looks only at file names and parses no model.
//
// # Data flow
//
// Fetch requests the list of a repository's files at a revision, which resolves to a commit. It chooses files and
// downloads them to dir/owner--name/commit/. An interrupted download resumes in the same call or a later one. A file
// gets its name only once its checksum matches: the hub gives SHA-256 for large files and Git's blob hash for small
// ones. If the hub is unreachable, Fetch uses earlier downloads.
//
// # Trust
//
// Fetch trusts the hub about the contents of a repository, but bounds its responses and checks names before it uses
// them as paths. Requests go only to the hub's own host and to the hosts of an allow-list, by HTTPS if the hub's URL is
// HTTPS. A redirect to any other host fails. Fetch sends the token only to the hub's own host and never logs it.
package hub

import "time"

// DefaultURL is the URL of the default hub.
const DefaultURL = "https://huggingface.co"

// defaultHosts lists the hosts from which the default hub serves large files. A name covers its subdomains.
var defaultHosts = [...]string{"huggingface.co", "hf.co"}

// The limits of a hub's responses and of retries.
const (
	maxInfoBytes   = 32 << 20
	maxFiles       = 1 << 14 // of a repository
	maxFileBytes   = 1 << 42
	maxRedirects   = 5
	maxAttempts    = 6 // of one file, if no attempt makes progress
	headerTimeout  = 60 * time.Second
	stallTimeout   = 60 * time.Second // without receiving a byte
	firstBackoff   = 500 * time.Millisecond
	longestBackoff = 20 * time.Second
	// longestRetryAfter is the longest pause that the client makes if a hub asks for it. Hugging Face counts requests
	// in windows of five minutes.
	longestRetryAfter = 5 * time.Minute
)
