// Package hub downloads model repositories from a hub that speaks Hugging Face's HTTP API.
//
// It knows no model formats beyond file names: Fetch downloads a GGUF file, or the files of a safetensors folder.
//
// # Data flow
//
// Fetch requests the repository's files at a revision, which resolves to a commit; chooses; and downloads each file of
// that commit to dir/owner--name/commit/. An interrupted download resumes, in the same call or a later one. A file gets
// its name only after its checksum matched: SHA-256 for large files, Git's blob hash for small ones, both from the hub.
// If the hub is unreachable, Fetch uses earlier downloads.
//
// # Trust
//
// The hub is trusted about the contents of a repository; Fetch bounds and checks its responses before it uses them as
// paths. Requests go to the hub's own host and to the hosts of an allow-list, by HTTPS if the hub's URL is HTTPS; a
// redirect to any other host fails. The token goes to the hub's own host alone and is never logged.
package hub

import "time"

// DefaultURL is the default hub.
const DefaultURL = "https://huggingface.co"

// defaultHosts are the hosts from which the default hub sends large files; a name covers its subdomains.
var defaultHosts = [...]string{"huggingface.co", "hf.co"}

// Limits of a hub's responses, and of retries.
const (
	maxInfoBytes   = 32 << 20
	maxFiles       = 1 << 14 // of a repository
	maxFileBytes   = 1 << 42
	maxRedirects   = 5
	maxAttempts    = 6 // of one file without a byte of progress between them
	headerTimeout  = 60 * time.Second
	stallTimeout   = 60 * time.Second // without a byte
	firstBackoff   = 500 * time.Millisecond
	longestBackoff = 20 * time.Second
	// longestRetryAfter is the longest pause that a hub may ask for. Hugging Face counts requests in windows of five minutes.
	longestRetryAfter = 5 * time.Minute
)
