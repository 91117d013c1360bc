package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
)

// heldFile tells a job how long it has been stopped (see Pauser). It is in the exchange folder.
const heldFile = "held"

// Parent runs jobs in child processes, one per order. Its methods may be called from several goroutines.
type Parent struct {
	Command
	Scratch    string      // folder of the exchange folders
	Background func() bool // reports whether requests may be answered meanwhile; nil: never
	Pauser     *Pauser     // has the child give way to requests; nil: it never does
	Unhurried  bool        // nothing waits for the result: the child stands for as long as requests run
}

// Do runs a job in a child. It returns the result's payload and values. progress, if not nil, is called for each report
// from one goroutine. When ctx ends, Do kills the child and returns ctx's error.
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
		return nil, nil, fmt.Errorf("order a %s job: %w", kind, err)
	}
	command := p.Command
	command.Args = append(slices.Clone(p.Args), string(kind)) // shown in lists of processes
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
		return nil, nil, fmt.Errorf("take over a %s job: %w", kind, err)
	}
	return result.Payload, left, nil
}
