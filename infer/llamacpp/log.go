package llamacpp

/*
#include <stdint.h>
*/
import "C"

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"unsafe"
)

// llama.cpp has one log callback for the process, without a context, so all its lines arrive here. They go to the logger of
// the latest Open at debug level. The first error line is kept to explain a failed call.
var backendLog struct {
	mu         sync.Mutex
	log        *slog.Logger
	partial    strings.Builder
	firstError string
}

// Levels of ggml_log_level.
const (
	levelWarn  = 3
	levelError = 4
)

const maxLogLine = 1 << 12 // bytes kept of one line

//export prunellmLlamaLog
func prunellmLlamaLog(level C.int, text *C.char, _ unsafe.Pointer) {
	backendLog.mu.Lock()
	log := backendLog.log
	wanted := log != nil && log.Enabled(context.Background(), slog.LevelDebug)
	if !wanted && level < levelWarn {
		backendLog.mu.Unlock()
		return
	}
	line := C.GoString(text)
	if level == levelError {
		if kept := strings.TrimSpace(line); kept != "" && backendLog.firstError == "" {
			backendLog.firstError = kept[:min(len(kept), maxLogLine)]
		}
	}
	var whole string
	if wanted && backendLog.partial.Len()+len(line) <= maxLogLine {
		backendLog.partial.WriteString(line)
		if strings.HasSuffix(line, "\n") {
			whole = strings.TrimSpace(backendLog.partial.String())
			backendLog.partial.Reset()
		}
	} else {
		backendLog.partial.Reset()
	}
	backendLog.mu.Unlock()
	if whole != "" {
		log.Debug("llama.cpp", "text", whole)
	}
}

func setLogger(log *slog.Logger) {
	backendLog.mu.Lock()
	defer backendLog.mu.Unlock()
	backendLog.log = log
	backendLog.firstError = ""
}

// takeError returns the first error line that llama.cpp wrote since the last call, in brackets for the end of an error
// message. The first line names the cause, later ones its consequences.
func takeError() string {
	backendLog.mu.Lock()
	defer backendLog.mu.Unlock()
	line := backendLog.firstError
	backendLog.firstError = ""
	if line == "" {
		return ""
	}
	return " (" + line + ")"
}
