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

var (
	// errMalformed is of an answer that is none of HTTP/1.
	errMalformed = errors.New("the answer is not HTTP")
	errCutOff    = errors.New("the answer was cut off")
)

// parseResponse reads what has come of an answer so far; eof says that there is no
// more. done is false when more of it must come. Nothing is kept of data but by the
// result.
//
// As for the kubelet, an answer whose body ends before it should, or is damaged in its
// first maxBody bytes, is none. But a status that tells of a failure, or leads
// elsewhere, says enough.
func parseResponse(data []byte, eof bool) (r response, done bool, err error) {
	for {
		header, rest, whole := cutHeader(data)
		if !whole {
			switch {
			case !bytes.HasPrefix(data, []byte("HTTP/1.")[:min(len(data), 7)]), len(data) > maxHeader:
				return r, true, errMalformed
			case eof:
				return r, true, errCutOff
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
		r.body, done, err = readBody(line, fields, rest, r.status, eof)
		if r.status < 200 || r.status >= 300 {
			err = nil
		}
		return r, done, err
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
