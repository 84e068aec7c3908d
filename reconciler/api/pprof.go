package api

import (
	"fmt"
	"net/http"
	"runtime"

	"svc.d/status"
)

// maxStacks is how large the text of all goroutines' stacks may become.
const maxStacks = 16 << 20

// profiles adds what go tool pprof reads: the text that runtime/pprof writes with
// debug=1, with the lines of code for people. It is written here because runtime/pprof
// would make the binary 205 kB larger, and net/http/pprof 500 kB.
func (s *Server) profiles(m *routes) {
	m.Handle("GET /debug/pprof/{profile}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.survive(w)
		failure := s.admit(r)
		if failure == nil && !s.config.Profiles {
			failure = status.NewFailure(status.FailureNotFound, "profiles are switched off: start the daemon with --pprof")
		}
		if failure != nil {
			writeFailure(w, failure)
			return
		}
		var body []byte
		kind := "text/plain; charset=utf-8"
		switch name := r.PathValue("profile"); name {
		case "heap", "allocs": // the same: the reader chooses
			body = memoryProfile()
		case "goroutine":
			if body = goroutineProfile(); r.URL.Query().Get("debug") != "" {
				body = stacks() // for people
			}
		case "profile":
			var err error
			kind = "application/octet-stream"
			if body, err = s.processorProfile(w, r); err != nil {
				writeFailure(w, failureOf(err))
				return
			}
		default:
			writeFailure(w, notFound("profiles", name))
			return
		}
		w.Header().Set("Content-Type", kind)
		w.Write(body)
	}))
}

// stacks is what a panic would print of all goroutines.
func stacks() []byte {
	for size := 64 << 10; ; size *= 2 {
		text := make([]byte, size)
		if n := runtime.Stack(text, true); n < size || size >= maxStacks {
			return text[:n]
		}
	}
}

// memoryProfile tells of each place that memory was allocated at, as far as it was
// sampled: what is in use there, and in brackets what was allocated in all.
func memoryProfile() []byte {
	var records []runtime.MemProfileRecord
	for n, ok := runtime.MemProfile(nil, true); !ok; {
		records = make([]runtime.MemProfileRecord, n+50)
		if n, ok = runtime.MemProfile(records, true); ok {
			records = records[:n]
		}
	}
	var total runtime.MemProfileRecord
	for i := range records {
		total.AllocObjects += records[i].AllocObjects
		total.AllocBytes += records[i].AllocBytes
		total.FreeObjects += records[i].FreeObjects
		total.FreeBytes += records[i].FreeBytes
	}
	// Readers halve the rate, and make up for the sampling.
	out := fmt.Appendf(memoryLine([]byte("heap profile: "), &total), " @ heap/%d\n", 2*runtime.MemProfileRate)
	for i := range records {
		out = stackLine(memoryLine(out, &records[i]), records[i].Stack())
	}
	return out
}

func memoryLine(out []byte, r *runtime.MemProfileRecord) []byte {
	return fmt.Appendf(out, "%d: %d [%d: %d]", r.InUseObjects(), r.InUseBytes(), r.AllocObjects, r.AllocBytes)
}

func goroutineProfile() []byte {
	var records []runtime.StackRecord
	for n, ok := runtime.GoroutineProfile(nil); !ok; {
		records = make([]runtime.StackRecord, n+10)
		if n, ok = runtime.GoroutineProfile(records); ok {
			records = records[:n]
		}
	}
	out := fmt.Appendf(nil, "goroutine profile: total %d\n", len(records))
	for i := range records {
		out = stackLine(append(out, '1'), records[i].Stack())
	}
	return out
}

// stackLine ends a sample: its addresses, and what they mean.
func stackLine(out []byte, stack []uintptr) []byte {
	out = append(out, " @"...)
	for _, pc := range stack {
		out = fmt.Appendf(out, " %#x", pc)
	}
	out = append(out, '\n')
	frames := runtime.CallersFrames(stack)
	for more := len(stack) > 0; more; {
		var f runtime.Frame
		f, more = frames.Next()
		out = fmt.Appendf(out, "#\t%#x\t%s\t%s:%d\n", f.PC, f.Function, f.File, f.Line)
	}
	return append(out, '\n')
}
