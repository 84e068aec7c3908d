package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"svc.d/spec"
)

// hostPort joins where a probe goes.
func hostPort(host string, port spec.Port) string {
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), string(port))
}

// client asks as the kubelet does: no proxy, no connection is kept, no certificate is
// verified, redirects are followed on the same host only.
var client = &http.Client{
	Transport: &http.Transport{
		DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // a probe asks whether it answers, as in Kubernetes
	},
	CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if r.URL.Hostname() != via[0].URL.Hostname() {
			return http.ErrUseLastResponse
		}
		if len(via) >= 10 {
			return errors.New("stopped after 10 redirects")
		}
		return nil
	},
}

// get asks by HTTP or HTTPS with net/http.
func get(ctx context.Context, h *spec.HTTPGetAction) error {
	if !strings.HasPrefix(h.Path, "/") {
		return fmt.Errorf("cannot ask for %q: a path begins with /", h.Path)
	}
	target, err := url.Parse(strings.ToLower(h.Scheme) + "://" + hostPort(h.Host, h.Port) + h.Path)
	if err != nil {
		return fmt.Errorf("cannot ask for %q: %w", h.Path, err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return fmt.Errorf("cannot ask %s: %w", target.Host, err)
	}
	r.Header.Set("User-Agent", userAgent)
	r.Header.Set("Accept", "*/*")
	for _, header := range h.HTTPHeaders {
		r.Header.Set(header.Name, header.Value)
		if strings.EqualFold(header.Name, "Host") {
			r.Host = header.Value
		}
	}
	answer, err := client.Do(r)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // without the URL, which may hold a secret
		}
		return fmt.Errorf("cannot ask %s: %w", target.Host, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxBody))
	if answer.StatusCode < 200 || answer.StatusCode >= 400 {
		return badStatus(answer.StatusCode, body)
	}
	if err != nil {
		return fmt.Errorf("cannot read the answer of %s: %w", target.Host, err)
	}
	return nil
}

// connect connects by TCP.
func connect(ctx context.Context, s *spec.TCPSocketAction) error {
	connection, err := new(net.Dialer).DialContext(ctx, "tcp", hostPort(s.Host, s.Port))
	if err != nil {
		return fmt.Errorf("cannot connect to %s: %w", hostPort(s.Host, s.Port), err)
	}
	return connection.Close()
}
