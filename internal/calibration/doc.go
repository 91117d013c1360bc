// Package calibration provides the token sequences for scores, for the refit of down_proj and for recovery training.
//
// A source is one of the rows in source.go (the dense model itself, or the general text of package corpus), a text file,
// or a mixture of these. The package obtains tokens and does not know what is computed on them. It uses inference through
// infer.Decoder, so it builds without cgo.
//
// # Data flow
//
// Find converts the value of --calibration to a Reference. A Reference has an identity, which is part of the key of
// every value computed on the text. It also has the path of a file or the list of a mixture, if there is one.
// Reference.Open returns the source for a dense model. Source.Sequences returns int32[sequences][Want.Length]. HoldOut
// splits them into sequences to compute on and sequences to measure on.
//
// # Concurrency
//
// A Source must be used by one goroutine at a time. It writes its sequences in parallel and waits for all of them.
//
// # Errors
//
// An error about unreadable text names the file and the line. The error for a text that is too short wraps ErrTooShort,
// and the error for a file that has changed since Find wraps ErrTextChanged. Every call returns ctx's error soon after ctx
// ends.
package calibration
