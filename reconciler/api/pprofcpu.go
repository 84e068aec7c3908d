//go:build pprof

package api

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"runtime/pprof"
	"strconv"
	"time"

	"svc.d/status"
)

const maxProfileSeconds = 300

// processorProfile is what the processor did in the next seconds. It is cut short when
// the server closes: the profiler's timer would outlive an exec.
func (s *Server) processorProfile(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	n, err := 30, error(nil)
	if text := r.URL.Query().Get("seconds"); text != "" {
		n, err = strconv.Atoi(text)
	}
	if err != nil || n < 1 || n > maxProfileSeconds {
		return nil, badRequest(fmt.Sprintf("parameter \"seconds\" must be a number from 1 to %d", maxProfileSeconds))
	}
	length := time.Duration(n) * time.Second
	if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(length + requestTimeout)); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), length)
	defer cancel()
	if ending, ok := r.Context().Value(endingKey{}).(context.Context); ok {
		defer context.AfterFunc(ending, cancel)()
	}
	var out bytes.Buffer
	if err := pprof.StartCPUProfile(&out); err != nil {
		return nil, status.NewFailure(status.FailureConflict, err.Error())
	}
	<-ctx.Done()
	pprof.StopCPUProfile()
	return out.Bytes(), nil
}
