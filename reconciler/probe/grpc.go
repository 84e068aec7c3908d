package probe

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"svc.d/spec"
)

// The numbers of grpc.health.v1.HealthCheckResponse.ServingStatus.
var servingStatus = map[uint64]string{0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}

const serving = 1

// cleartext speaks HTTP/2 without TLS, as the kubelet's gRPC probe does. A client of
// its own would add three megabytes to the program; one unary call of a message with
// one field is a page.
var cleartext = func() *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Transport{Protocols: protocols, DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeader}
}()

// check asks the standard health service.
func check(ctx context.Context, g *spec.GRPCAction) error {
	place := hostPort("", g.Port)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+place+"/grpc.health.v1.Health/Check", bytes.NewReader(healthRequest(g.Service)))
	if err != nil {
		return fmt.Errorf("cannot ask %s: %w", place, err)
	}
	r.Header.Set("Content-Type", "application/grpc")
	r.Header.Set("TE", "trailers")
	r.Header.Set("User-Agent", userAgent)
	answer, err := cleartext.RoundTrip(r)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return fmt.Errorf("cannot ask %s by gRPC: %w", place, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("cannot ask %s by gRPC: it answers with status %d", place, answer.StatusCode)
	}
	message, err := io.ReadAll(io.LimitReader(answer.Body, maxBody))
	if err != nil {
		return fmt.Errorf("cannot read the answer of %s: %w", place, err)
	}
	return verdict(answer, message, g.Service)
}

// verdict reads the status of the call, which an answer without a message has in its
// header, and then the message.
func verdict(answer *http.Response, message []byte, service string) error {
	code, text := answer.Trailer.Get("Grpc-Status"), answer.Trailer.Get("Grpc-Message")
	if code == "" {
		code, text = answer.Header.Get("Grpc-Status"), answer.Header.Get("Grpc-Message")
	}
	switch code {
	case "0":
	case "":
		return errors.New("the answer is not gRPC")
	case "12": // UNIMPLEMENTED
		return errors.New("this server does not implement the grpc health protocol (grpc.health.v1.Health)")
	case "5": // NOT_FOUND
		return fmt.Errorf("the health service does not know the service %q", service)
	default:
		if unescaped, err := url.PathUnescape(text); err == nil {
			text = unescaped
		}
		return &outputError{"gRPC probe failed with code " + code, printable([]byte(text))}
	}
	status, err := healthStatus(message)
	if err != nil {
		return err
	}
	if status != serving {
		return fmt.Errorf("service unhealthy (responded with %q)", servingStatus[status])
	}
	return nil
}

// healthRequest is a HealthCheckRequest, with gRPC's five bytes before it.
func healthRequest(service string) []byte {
	var message []byte
	if service != "" {
		message = append([]byte{1<<3 | 2}, binary.AppendUvarint(nil, uint64(len(service)))...)
		message = append(message, service...)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// healthStatus reads a HealthCheckResponse: one field, an enumeration.
func healthStatus(frame []byte) (uint64, error) {
	malformed := errors.New("the answer of the health service cannot be read")
	if len(frame) < 5 || frame[0] != 0 || int64(binary.BigEndian.Uint32(frame[1:])) != int64(len(frame)-5) {
		return 0, malformed
	}
	var status uint64
	for message := frame[5:]; len(message) > 0; {
		tag, n := binary.Uvarint(message)
		if n <= 0 || tag&7 != 0 {
			return 0, malformed // it has no other kind of field
		}
		value, m := binary.Uvarint(message[n:])
		if m <= 0 {
			return 0, malformed
		}
		if tag>>3 == 1 {
			status = value
		}
		message = message[n+m:]
	}
	return status, nil
}
