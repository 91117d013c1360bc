// Package hub downloads model repositories from a hub that speaks Hugging Face's HTTP API.
//
// It knows nothing of model formats beyond file names: Fetch brings a GGUF file, or the files of a safetensors folder.
//
// # Data flow
//
// Fetch asks for the repository's files at a revision, which gives a commit; chooses; and brings each file of that commit
// into dir/owner--name/commit/. A file that is cut off goes on where it stopped, in the same call or a later one, and gets
// its name only after its checksum was right: SHA-256 for large files, Git's blob hash for small ones, both from the hub.
// When the hub cannot be reached, what was brought earlier is used.
//
// # Trust
//
// The hub is trusted to say what a repository holds; its answers are bounded and checked before they are used as paths.
// Requests go to the hub's own host and to the hosts of an allow-list, by HTTPS wherever the hub is reached by HTTPS; a
// redirect to anywhere else fails. The token goes to the hub's own host alone and is never logged.
package hub

import "time"

// DefaultURL is the hub that is asked unless another one is named.
const DefaultURL = "https://huggingface.co"

// defaultHosts are where the default hub sends large files from; a name covers its subdomains.
var defaultHosts = [...]string{"huggingface.co", "hf.co"}

// Limits of what a hub may answer, and of patience with it.
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
)
