package probe

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"svc.d/reconciler"
	"svc.d/spec"
)

// chunks is an answer with a body in chunks.
func chunks(body string) string {
	return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body
}

func TestAnswersOverHTTP(t *testing.T) {
	tests := map[string]struct{ answer, want string }{
		"a success":                            {ok("fine"), ""},
		"a success without a length":           {"HTTP/1.1 200 OK\r\n\r\nfine", ""},
		"a success in chunks":                  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n", ""},
		"no content":                           {"HTTP/1.1 204 No Content\r\n\r\n", ""},
		"not modified":                         {"HTTP/1.1 304 Not Modified\r\n\r\n", ""},
		"HTTP/1.0":                             {"HTTP/1.0 200 OK\r\n\r\n", ""},
		"no reason phrase":                     {"HTTP/1.1 200\r\n\r\n", ""},
		"bare newlines":                        {"HTTP/1.1 200 OK\nContent-Length: 0\n\n", ""},
		"an interim answer first":              {"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok(""), ""},
		"a failure with its body":              {"HTTP/1.1 503 No\r\nContent-Length: 21\r\n\r\nthe queue\r\nis\x1b[31m full", "HTTP probe failed with statuscode: 503: the queue; is[31m full"},
		"not found":                            {"HTTP/1.1 404 Not Found\r\n\r\n", "HTTP probe failed with statuscode: 404"},
		"below 200":                            {"HTTP/1.1 101 Switching\r\n\r\n", "101"},
		"nothing":                              {"", "the answer was cut off"},
		"a part of a status line":              {"HTTP/1", "the answer was cut off"},
		"a header without an end":              {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", "the answer was cut off"},
		"another protocol":                     {"SSH-2.0-OpenSSH_9.2\r\n", "the answer is not HTTP"},
		"a status that is none":                {"HTTP/1.1 2000 OK\r\n\r\n", "the answer is not HTTP"},
		"a status that is no number":           {"HTTP/1.1 abc OK\r\n\r\n", "the answer is not HTTP"},
		"a header that does not end":           {"HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 1<<20), "the answer is not HTTP"},
		"a body that is cut off":               {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "the answer was cut off"},
		"nothing of a body":                    {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", "the answer was cut off"},
		"a body of which enough is there":      {"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n" + strings.Repeat("x", maxBody), ""},
		"a length that is none":                {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "does not say where it ends"},
		"two lengths":                          {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nfine", "does not say where it ends"},
		"the same length twice":                {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nfine", ""},
		"another encoding":                     {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nfine", "does not say where it ends"},
		"chunks that HTTP/1.0 has not":         {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfine", ""},
		"no chunk":                             {chunks("0\r\n\r\n"), ""},
		"chunks with extensions and trailers":  {chunks("4;a=b\r\nfine\r\n00 \r\nA: b\r\n\r\n"), ""},
		"a chunk that looks like the last":     {chunks("5\r\n0\r\n\r\n"), "the answer was cut off"},
		"chunks of which enough is there":      {chunks("fffffff\r\n" + strings.Repeat("x", maxBody)), ""},
		"many chunks of which enough is there": {chunks(strings.Repeat("1\r\nx\r\n", maxBody)), ""},
		"a chunk that is cut off":              {chunks("5\r\nfine"), "the answer was cut off"},
		"chunks without the last":              {chunks("4\r\nfine\r\n"), "the answer was cut off"},
		"chunks without the empty line":        {chunks("4\r\nfine\r\n0\r\n"), "the answer was cut off"},
		"a chunk without a size":               {chunks("fine\r\n"), "its chunks are damaged"},
		"a chunk that is longer than its size": {chunks("3\r\nfine\r\n0\r\n\r\n"), "its chunks are damaged"},
		"a size without end":                   {chunks(strings.Repeat("0", 1<<20)), "it is too long"},
		"a failure that is cut off":            {"HTTP/1.1 503 No\r\nContent-Length: 100\r\n\r\nbusy", "HTTP probe failed with statuscode: 503: busy"},
		"a failure in chunks":                  {"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbu\r\n2\r\nsy\r\n0\r\n\r\n", "HTTP probe failed with statuscode: 503: busy"},
		"a redirect that is cut off":           {"HTTP/1.1 302 Found\r\nLocation: http://other.invalid/\r\nContent-Length: 9\r\n\r\n", "unexpected EOF"},
		"a redirect to another machine":        {"HTTP/1.1 302 Found\r\nLocation: http://other.invalid/\r\nContent-Length: 0\r\n\r\n", ""},
		"a redirect to itself":                 {"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n", "10 redirects"},
		"a redirect to nowhere":                {"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			matches(t, newRig(t).made(httpGet(raw(t, test.answer), "/")), test.want)
		})
	}
}

// TestARedirectIsInTheTimeOfItsProbe: each of the answers alone would be.
func TestARedirectIsInTheTimeOfItsProbe(t *testing.T) {
	port := listen(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		<-time.After(400 * time.Millisecond) // it is a slow server
		if r.URL.Path == "/" {
			_, _ = io.WriteString(c, "HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n")
		} else {
			_, _ = io.WriteString(c, ok(""))
		}
	})
	matches(t, newRig(t).made(httpGet(port, "/there")), "")
	matches(t, newRig(t).made(httpGet(port, "/")), "no answer within 1s")
}

func TestARequestIsAsItWasDeclared(t *testing.T) {
	requests := make(chan *http.Request, 1)
	port := listen(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
		r, _ := http.ReadRequest(bufio.NewReader(c))
		requests <- r
		_, _ = c.Write([]byte(ok("")))
	})
	probe := httpGet(port, "/ready?full=$(HOST)")
	probe.HTTPGet.Host = "$(HOST)"
	probe.HTTPGet.HTTPHeaders = []spec.HTTPHeader{{Name: "host", Value: "example.com"}, {Name: "X-A", Value: "b$$c"}, {Name: "Accept", Value: ""}}
	matches(t, newRig(t).made(probe), "")
	got := <-requests
	if got.Method != http.MethodGet || got.URL.String() != "/ready?full=127.0.0.1" || got.Host != "example.com" || got.Header.Get("X-A") != "b$c" ||
		got.Header.Get("User-Agent") != userAgent || got.Header.Values("Accept") != nil || !got.Close {
		t.Errorf("%+v", got)
	}
}

// TestServersThatDoWhatTheyShouldNot wants bounded time and memory.
func TestServersThatDoWhatTheyShouldNot(t *testing.T) {
	flood := func(header string, with []byte) func(c net.Conn) {
		return func(c net.Conn) {
			_, _ = io.WriteString(c, header)
			for {
				if _, err := c.Write(with); err != nil {
					return
				}
			}
		}
	}
	block := bytes.Repeat([]byte("x"), 64<<10)
	tests := map[string]struct {
		serve func(c net.Conn)
		want  string
	}{
		"accepts and says nothing": {func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, "no answer within 1s"},
		"a body without end":       {flood("HTTP/1.1 200 OK\r\n\r\n", block), ""},
		"ten gigabytes":            {flood("HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n", block), ""},
		"a header without end":     {flood("HTTP/1.1 200 OK\r\n", []byte("A: b\r\n")), "the answer is not HTTP"},
		"interim answers for ever": {flood("", bytes.Repeat([]byte("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"), 100)), "it is too long"},
		"a failure without end":    {flood("HTTP/1.1 500 No\r\n\r\n", block), "HTTP probe failed with statuscode: 500: xxx"},
		"byte after byte": {func(c net.Conn) {
			for _, b := range []byte(ok("fine")) {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
			}
			_, _ = io.Copy(io.Discard, c)
		}, ""},
		"stops in the middle": {func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Le")
			_, _ = io.Copy(io.Discard, c)
		}, "no answer within 1s"},
		"resets": {func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }, "cannot read the answer"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			port := listen(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					test.serve(c)
				}
			})
			r := newRig(t)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			matches(t, r.made(httpGet(port, "/")), test.want)
			runtime.ReadMemStats(&after)
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 8<<20 {
				t.Errorf("%d bytes were allocated", grown)
			}
		})
	}
}

func TestWhatIsExpandedCannotWriteARequest(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Environment = func(context.Context, reconciler.ProbeWork) ([]string, *reconciler.Failure) {
			return []string{"LINES=a\r\nX-Evil: 1", "ELSEWHERE=@example.invalid/"}, nil
		}
	})
	port := raw(t, ok(""))
	header := httpGet(port, "/")
	header.HTTPGet.HTTPHeaders = []spec.HTTPHeader{{Name: "X-A", Value: "$(LINES)"}}
	matches(t, r.made(header), "invalid header field value")
	matches(t, r.made(httpGet(port, "/$(LINES)")), "cannot ask for")
	matches(t, r.made(httpGet(port, "$(ELSEWHERE)")), "a path begins with /")
}

func TestHTTPS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.Error(w, "not here", http.StatusNotFound)
		}
	}))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	https := func(port, path string) *spec.Probe {
		p := httpGet(port, path)
		p.HTTPGet.Scheme = "HTTPS"
		return p
	}
	r := newRig(t)
	matches(t, r.made(https(port, "/")), "")
	matches(t, r.made(https(port, "/other")), "HTTP probe failed with statuscode: 404: not here")
	matches(t, r.made(https(raw(t, ok("")), "/")), "cannot ask")
	matches(t, r.made(httpGet(port, "/")), "400")
}

func TestOtherAddresses(t *testing.T) {
	port := listen(t, "tcp", "[::1]:0", func(c net.Conn) { _, _ = c.Write([]byte(ok(""))) })
	r := newRig(t)
	for _, host := range []string{"::1", "[::1]"} {
		p := httpGet(port, "/")
		p.HTTPGet.Host = host
		matches(t, r.made(p), "")
	}
	p := httpGet(raw(t, ok("")), "/")
	p.HTTPGet.Host = "localhost"
	matches(t, r.made(p), "")
	p = httpGet("80", "/")
	p.HTTPGet.Host = "nowhere.invalid"
	matches(t, r.made(p), "cannot ask nowhere.invalid:80")
}

func TestPortsThatAreNone(t *testing.T) {
	r := newRig(t)
	for port, want := range map[string]string{"$(EMPTY)": `cannot probe port ""`, "$(HOST)": "127.0.0.1", "$(NONE)": "$(NONE)", "7$(EMPTY)0000": "70000"} {
		matches(t, r.made(httpGet(port, "/")), want)
	}
}

func FuzzParseResponse(f *testing.F) {
	f.Add([]byte(ok("fine")), false)
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n0\r\n\r\n"), true)
	f.Add([]byte("HTTP/1.1 200"), true)
	f.Fuzz(func(t *testing.T, data []byte, eof bool) {
		r, done, err := parseResponse(data, eof)
		if eof && !done {
			t.Fatal("there is no more, and it waits for more")
		}
		if done && err == nil && (r.status < 101 || r.status > 999) {
			t.Fatalf("status %d", r.status)
		}
		// What is enough stays so when it comes in parts.
		if done && err == nil && !eof && len(data) > 0 {
			if _, _, err := parseResponse(data[:len(data)-1], false); err != nil {
				t.Fatalf("a part of it is refused: %v", err)
			}
		}
	})
}
