package probe

import (
	"bytes"
	"errors"
	"strconv"
)

const (
	// maxHeader bounds the header of an answer, maxBody what is read of its body, as
	// the kubelet does.
	maxHeader = 64 << 10
	maxBody   = 10 << 10
)

// response is what is known of an answer over HTTP/1.
type response struct {
	status int
	body   []byte // as far as it is there, at most maxBody
}

// errMalformed is of an answer that is none of HTTP/1.
var errMalformed = errors.New("the answer is not HTTP")

// parseResponse reads what has come of an answer so far; eof says that there is no
// more. done is false when more of it must come. Nothing is kept of data but by the
// result.
func parseResponse(data []byte, eof bool) (r response, done bool, err error) {
	for {
		header, rest, whole := cutHeader(data)
		if !whole {
			switch {
			case !bytes.HasPrefix(data, []byte("HTTP/1.")[:min(len(data), 7)]), len(data) > maxHeader:
				return r, true, errMalformed
			case eof:
				return r, true, errors.New("the answer was cut off")
			}
			return r, false, nil
		}
		line, fields, _ := bytes.Cut(header, []byte("\n"))
		if r.status, err = statusOf(line); err != nil {
			return r, true, err
		}
		if r.status < 200 && r.status != 101 {
			data = rest // an interim answer
			continue
		}
		r.body = rest[:min(len(rest), maxBody)]
		return r, eof || bodyEnds(r.status, fields, rest), nil
	}
}

// cutHeader cuts off what stands before the empty line. Lines may end without CR, as
// net/http lets them.
func cutHeader(data []byte) (header, rest []byte, whole bool) {
	for from := 0; ; {
		at := bytes.IndexByte(data[from:], '\n')
		if at < 0 {
			return nil, nil, false
		}
		from += at + 1
		switch {
		case bytes.HasPrefix(data[from:], []byte("\n")):
			return data[:from], data[from+1:], true
		case bytes.HasPrefix(data[from:], []byte("\r\n")):
			return data[:from], data[from+2:], true
		}
	}
}

// statusOf reads "HTTP/1.1 200 OK".
func statusOf(line []byte) (int, error) {
	line = bytes.TrimSuffix(line, []byte("\r"))
	version, rest, found := bytes.Cut(line, []byte(" "))
	if !found || len(version) != len("HTTP/1.1") || !bytes.HasPrefix(version, []byte("HTTP/1.")) {
		return 0, errMalformed
	}
	code, _, _ := bytes.Cut(rest, []byte(" "))
	status, err := strconv.ParseUint(string(code), 10, 16)
	if err != nil || len(code) != 3 || status < 100 {
		return 0, errMalformed
	}
	return int(status), nil
}

// bodyEnds reports whether the body is there as far as it is wanted, by RFC 9112, 6.3.
func bodyEnds(status int, fields, body []byte) bool {
	if len(body) >= maxBody || status == 204 || status == 304 || status == 101 {
		return true
	}
	length, chunked := int64(-1), false
	for line := range bytes.Lines(fields) {
		name, value, found := bytes.Cut(line, []byte(":"))
		if !found {
			continue
		}
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if n, err := strconv.ParseInt(string(value), 10, 64); err == nil && n >= 0 {
				length = n
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = true
		}
	}
	if chunked {
		return bytes.HasSuffix(body, []byte("0\r\n\r\n"))
	}
	return length >= 0 && int64(len(body)) >= length
}
