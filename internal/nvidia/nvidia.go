// Package nvidia lists the NVIDIA GPUs of a machine with nvidia-smi, which comes with the driver.
//
// It runs the driver's own program instead of linking its libraries. A driver that hangs or crashes then affects only a child
// process. internal/xla and infer/llamacpp compute on GPUs.
//
// # Errors
//
// A machine without a GPU or without nvidia-smi gives an empty list and no error. Invalid output of nvidia-smi is an
// error.
package nvidia

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// GPU is one card, as the driver reports it.
type GPU struct {
	Index      int    // the driver's own number
	UUID       string // "GPU-..."
	Name       string
	Capability string // compute capability, "9.0"
	Driver     string // version of the driver, "580.95.05"
	Total      int64  // bytes
	Free       int64  // bytes
}

// timeout bounds a call of nvidia-smi. Without its persistence daemon the driver takes seconds to wake a card.
const timeout = 20 * time.Second

// deviceFiles matches the driver's file of each card. Without such a file there is no need to start nvidia-smi.
const deviceFiles = "/dev/nvidia[0-9]*"

// Visible returns the GPUs that a process with this CUDA_VISIBLE_DEVICES may use, in its order. set reports whether the variable
// is set: an empty one hides all GPUs.
func Visible(ctx context.Context, value string, set bool) ([]GPU, error) {
	if files, _ := filepath.Glob(deviceFiles); len(files) == 0 {
		return nil, nil
	}
	all, err := query(ctx, "nvidia-smi")
	if err != nil || !set {
		return all, err
	}
	return choose(all, value), nil
}

// query runs the program that lists GPUs.
func query(ctx context.Context, program string) ([]GPU, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	command := exec.CommandContext(ctx, program, "--query-gpu=index,uuid,name,compute_cap,driver_version,memory.total,memory.free",
		"--format=csv,noheader,nounits")
	command.WaitDelay = time.Second
	out, err := command.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", program, err, firstLine(out))
	}
	return parse(out)
}

func parse(out []byte) ([]GPU, error) {
	reader := csv.NewReader(bytes.NewReader(out))
	reader.TrimLeadingSpace, reader.FieldsPerRecord = true, 7
	rows, err := reader.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("nvidia-smi: %w", err)
	}
	var gpus []GPU
	for _, row := range rows {
		index, err := strconv.Atoi(row[0])
		if err != nil || index < 0 {
			return nil, fmt.Errorf("nvidia-smi: gpu index %q is not a number", row[0])
		}
		gpu := GPU{Index: index, UUID: row[1], Name: row[2], Capability: row[3], Driver: row[4]}
		// A card that shares the machine's memory reports "[N/A]", which becomes 0 (unknown).
		gpu.Total, gpu.Free = mebibytes(row[5]), mebibytes(row[6])
		gpus = append(gpus, gpu)
	}
	return gpus, nil
}

func mebibytes(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > 1<<40 {
		return 0
	}
	return n << 20
}

// choose returns the GPUs that CUDA_VISIBLE_DEVICES lists, by index or by prefix of a UUID. Like CUDA, it stops at the first
// unknown one.
func choose(all []GPU, value string) []GPU {
	var chosen []GPU
	for name := range strings.SplitSeq(value, ",") {
		name = strings.TrimSpace(name)
		found := false
		for _, gpu := range all {
			if name == strconv.Itoa(gpu.Index) || (strings.HasPrefix(name, "GPU-") && strings.HasPrefix(gpu.UUID, name)) {
				chosen, found = append(chosen, gpu), true
				break
			}
		}
		if !found {
			break
		}
	}
	return chosen
}

// MinDriver is the first major version of the driver that runs CUDA 13, for which scripts/build/cuda builds.
const MinDriver = 580

// TooOld returns an error message if the driver is too old, or "".
func (g GPU) TooOld() string {
	major, _, _ := strings.Cut(g.Driver, ".")
	if n, err := strconv.Atoi(major); err != nil || n >= MinDriver {
		return ""
	}
	return fmt.Sprintf("driver %s of %s is too old for CUDA 13: install version %d or later", g.Driver, g.Name, MinDriver)
}

// WhyIdle returns the reason why llama.cpp does not use a GPU that the driver lists. attempt is the error of a backend that did
// not start, in brackets, or "".
func (g GPU) WhyIdle(attempt string) string {
	if reason := g.TooOld(); reason != "" {
		return reason
	}
	return "the backend for " + g.Name + " is missing or does not start" + attempt + ": run make cuda to build it"
}

func firstLine(out []byte) string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(out), []byte("\n"))
	return string(line[:min(len(line), 200)])
}
