package server

import (
	"slices"
	"strings"
)

// unknownRoute is the route of all unknown paths in logs and metrics.
const unknownRoute = "other"

// apiWords returns the words in paths of the APIs of other servers.
func apiWords() []string {
	return strings.Fields(`v1 v1beta v2 v3 api openai engines deployments organization
		chat completions completion messages count_tokens responses input_tokens input_items cancel conversations items
		models model embeddings embedding embed rerank score classify pooling moderations
		audio speech transcriptions translations images generations edits variations files content uploads parts batches
		fine_tuning jobs assistants threads runs steps vector_stores realtime sessions evals containers
		generate generate_stream tags show ps pull push create copy delete version blobs
		info health ready live ping status props slots infill lora-adapters load unload server_info version_info
		favicon.ico robots.txt .well-known docs swagger redoc`)
}

// unknownPath returns the form of an unknown path that the log may show. It keeps only words of known APIs and replaces
// every other segment with "*": a path may contain secrets.
func unknownPath(path string) string {
	const most = 8 // segments
	segments := strings.SplitN(strings.Trim(path, "/"), "/", most+1)
	segments = segments[:min(len(segments), most)]
	words := apiWords()
	for i, segment := range segments {
		segments[i] = "*"
		if at := slices.Index(words, segment); at >= 0 {
			segments[i] = words[at]
		}
	}
	return "/" + strings.Join(segments, "/")
}
