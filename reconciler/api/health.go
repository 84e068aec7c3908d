package api

import (
	"context"
	"net/http"
)

// health adds the answers to probes: the process answers (livez), so does the loop
// (healthz), and it does its work (readyz).
func (s *Server) health(m *routes) {
	for _, name := range []string{"livez", "healthz", "readyz"} {
		m.Handle("GET /"+name, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer s.survive(w)
			if failure := s.admit(r); failure != nil {
				writeFailure(w, failure)
				return
			}
			text, well := s.examine(r.Context(), name)
			switch {
			case !well:
				write(w, http.StatusServiceUnavailable, text+name+" check failed\n")
			case r.URL.Query().Has("verbose"):
				write(w, http.StatusOK, text+name+" check passed\n")
			default:
				write(w, http.StatusOK, "ok\n")
			}
		}))
	}
}

// examine tells of each check in a line, as Kubernetes words it.
func (s *Server) examine(ctx context.Context, name string) (text string, well bool) {
	well = true
	check := func(what, trouble string) {
		if trouble == "" {
			text += "[+]" + what + " ok\n"
			return
		}
		well = false
		text += "[-]" + what + " failed: " + trouble + "\n"
	}
	check("ping", "")
	if name == "livez" { // must not wait for the loop
		return text, well
	}
	ctx, cancel := context.WithTimeout(ctx, engineTimeout)
	defer cancel()
	// No service can have this name, so the answer is small.
	snapshot, err := s.config.Engine.Snapshot(ctx, noService)
	if err != nil {
		check("engine", failureOf(err).Message)
		return text, well
	}
	check("engine", "")
	if name == "healthz" {
		return text, well
	}
	unread, stopping := "", ""
	if snapshot.Set == nil {
		unread = "the directory has not been read yet"
	}
	if !snapshot.Stopping.IsZero() {
		stopping = "the daemon is shutting down"
	}
	check("directory", unread)
	check("shutdown", stopping)
	return text, well
}
