package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
)

// heldFile is the file in the exchange folder that tells a job how long it has been stopped (see Pauser).
const heldFile = "held"

// Parent runs jobs in child processes, one per order. Its methods may be called from several goroutines.
type Parent struct {
	Command
	Scratch    string      // folder for the exchange folders
	Background func() bool // reports whether the server may answer requests at the same time; nil means never
	Pauser     *Pauser     // stops the child while requests run; may be nil
	Unhurried  bool        // nothing waits for the result, so the child may be stopped as long as requests run
}

// Do runs a job in a child and returns the result's payload and values. If progress is not nil, Do calls it for each
// report, always from the same goroutine. When ctx ends, Do kills the child and returns ctx's error.
func (p Parent) Do(ctx context.Context, kind Kind, payload any, values Values, progress func(json.RawMessage)) (json.RawMessage, Values, error) {
	encoded, err := json.Marshal(payload)
	if err != nil {
		return nil, nil, fmt.Errorf("encode payload of a %s job: %w", kind, err)
	}
	scratch, err := filepath.Abs(p.Scratch)
	if err != nil {
		return nil, nil, err
	}
	folder, release, err := NewExchange(scratch)
	if err != nil {
		return nil, nil, err
	}
	defer release()
	order := Order{Kind: kind, Payload: encoded, Folder: folder, Background: p.Background != nil && p.Background()}
	if order.Values, err = values.write(folder); err != nil {
		return nil, nil, fmt.Errorf("write values of a %s job: %w", kind, err)
	}
	command := p.Command
	command.Args = append(slices.Clone(p.Args), string(kind)) // shows the kind in process lists
	if p.Pauser != nil {
		hold, release := p.Pauser.use(filepath.Join(folder, heldFile), p.Unhurried)
		defer release()
		command.hold = hold
	}
	result, err := command.run(ctx, order, progress)
	if err != nil {
		return nil, nil, err
	}
	left, err := readValues(folder, result.Values)
	if err != nil {
		return nil, nil, fmt.Errorf("read values of a %s job: %w", kind, err)
	}
	return result.Payload, left, nil
}
