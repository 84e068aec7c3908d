package probe

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"svc.d/spec"
)

// healthServer speaks HTTP/2 without TLS and answers as the function says.
func healthServer(t *testing.T, answer func(w http.ResponseWriter, request string)) (port string) {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.URL.Path != "/grpc.health.v1.Health/Check" || r.Header.Get("Content-Type") != "application/grpc" {
			t.Errorf("%+v, %v", r, err)
		}
		w.Header().Set("Content-Type", "application/grpc")
		answer(w, string(body))
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	_, port, _ = net.SplitHostPort(server.Listener.Addr().String())
	return port
}

// unary answers with a message and a status in the trailer.
func unary(message, code, text string) func(w http.ResponseWriter, request string) {
	return func(w http.ResponseWriter, _ string) {
		w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
		_, _ = io.WriteString(w, message)
		w.Header().Set("Grpc-Status", code)
		w.Header().Set("Grpc-Message", text)
	}
}

// trailersOnly answers with a status alone.
func trailersOnly(code, text string) func(w http.ResponseWriter, request string) {
	return func(w http.ResponseWriter, _ string) {
		w.Header().Set("Grpc-Status", code)
		w.Header().Set("Grpc-Message", text)
	}
}

func TestGRPC(t *testing.T) {
	tests := map[string]struct {
		service string
		answer  func(w http.ResponseWriter, request string)
		want    string
	}{
		"serving":             {"", unary("\x00\x00\x00\x00\x02\x08\x01", "0", ""), ""},
		"not serving":         {"", unary("\x00\x00\x00\x00\x02\x08\x02", "0", ""), `service unhealthy (responded with "NOT_SERVING")`},
		"unknown":             {"", unary("\x00\x00\x00\x00\x00", "0", ""), `"UNKNOWN"`},
		"no such service":     {"db", trailersOnly("5", ""), `does not know the service "db"`},
		"not implemented":     {"", trailersOnly("12", "unknown service"), "does not implement the grpc health protocol"},
		"another error":       {"", trailersOnly("14", "no%20backend"), "gRPC probe failed with code 14: no backend"},
		"no gRPC":             {"", func(http.ResponseWriter, string) {}, "the answer is not gRPC"},
		"a damaged message":   {"", unary("\x00\x00\x00\x00\x09\x08", "0", ""), "cannot be read"},
		"a compressed one":    {"", unary("\x01\x00\x00\x00\x02\x08\x01", "0", ""), "cannot be read"},
		"an endless one":      {"", unary("\x00\x7f\xff\xff\xff"+strings.Repeat("x", 100<<10), "0", ""), "not gRPC"},
		"not found over HTTP": {"", func(w http.ResponseWriter, _ string) { w.WriteHeader(http.StatusNotFound) }, "status 404"},
		"the name is asked for": {"db", func(w http.ResponseWriter, request string) {
			if request != "\x00\x00\x00\x00\x04\x0a\x02db" {
				t.Errorf("request %q", request)
			}
			unary("\x00\x00\x00\x00\x02\x08\x01", "0", "")(w, request)
		}, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			port := healthServer(t, test.answer)
			matches(t, newRig(t).made(&spec.Probe{GRPC: &spec.GRPCAction{Port: spec.Port(port), Service: test.service}}), test.want)
		})
	}
	t.Run("a server of another protocol", func(t *testing.T) {
		matches(t, newRig(t).made(&spec.Probe{GRPC: &spec.GRPCAction{Port: spec.Port(raw(t, ok("")))}}), "cannot")
	})
	t.Run("a server that says nothing", func(t *testing.T) {
		mute := listen(t, "tcp", "127.0.0.1:0", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
		matches(t, newRig(t).made(&spec.Probe{GRPC: &spec.GRPCAction{Port: spec.Port(mute)}}), "no answer within 1s")
	})
}
