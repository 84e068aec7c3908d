//go:build !pprof

package api

import (
	"net/http"

	"svc.d/status"
)

// processorProfile needs runtime/pprof, which is 78 kB.
func (s *Server) processorProfile(http.ResponseWriter, *http.Request) ([]byte, error) {
	return nil, status.NewFailure(status.FailureNotFound, "this program was built without the profiler of the processor: build it with -tags pprof")
}
