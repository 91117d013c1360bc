// Package calibration provides the token sequences for scores, for the refit of down_proj and for recovery training.
//
// A source is a row in source.go (the dense model itself, or the general text of package corpus), a file of text, or a
// mixture of these. The package knows how to obtain tokens and nothing of what is computed on them. It reaches inference through infer.Decoder, so it builds without cgo.
//
// # Data flow
//
// Find turns the value of --calibration into a Reference: an identity, which is part of every key of what is computed on
// the text, and the path of a file or the list of a mixture where there is one. Reference.Open binds it to a dense model. Source.Sequences then
// returns int32[sequences][Want.Length]. HoldOut splits them into sequences to compute on and sequences to measure on.
//
// # Concurrency
//
// A Source may be used from one goroutine at a time. It writes its sequences side by side and waits for all of them.
//
// A Source may be used from one goroutine at a time. It writes its sequences in parallel and waits for all of them.
//
// An error about unreadable text names the file and the line. A text that is too short wraps ErrTooShort; a file that
// changed since Find wraps ErrTextChanged. Every call returns ctx's error soon after ctx ends.
package calibration
