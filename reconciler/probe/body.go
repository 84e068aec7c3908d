package probe

import (
	"bytes"
	"errors"
	"math"
	"strconv"
)

// errBody is of a body of which nobody can tell where it ends.
var errBody = errors.New("the answer does not say where it ends")

// readBody reads what has come of a body, as far as it is wanted, by RFC 9112, 6.3; eof
// says that there is no more. done is false when more of it must come.
func readBody(line, fields, rest []byte, status int, eof bool) (body []byte, done bool, err error) {
	body = rest[:min(len(rest), maxBody)]
	if status == 204 || status == 304 || status == 101 {
		return body, true, nil
	}
	length, chunked, err := framing(fields, !bytes.HasPrefix(line, []byte("HTTP/1.0")))
	switch {
	case err != nil:
		return body, true, err
	case chunked:
		body, done, err = readChunks(rest)
	case length >= 0:
		done = len(body) >= int(min(length, maxBody))
	default:
		return body, eof || len(body) >= maxBody, nil
	}
	if eof && !done && err == nil {
		return body, true, errCutOff
	}
	return body, done, err
}

// framing says how the fields of a header mark the end of the body: by its length, which
// is -1 when they do not tell it, or by its chunks, as HTTP/1.0 does not know them.
func framing(fields []byte, chunks bool) (length int64, chunked bool, err error) {
	length = -1
	for line := range bytes.Lines(fields) {
		name, value, found := bytes.Cut(line, []byte(":"))
		if !found {
			continue
		}
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			n, err := strconv.ParseUint(string(value), 10, 63)
			if err != nil || length >= 0 && length != int64(n) {
				return -1, false, errBody
			}
			length = int64(n)
		case chunks && bytes.EqualFold(name, []byte("Transfer-Encoding")):
			if chunked || !bytes.EqualFold(value, []byte("chunked")) {
				return -1, false, errBody
			}
			chunked = true
		}
	}
	return length, chunked, nil
}

// errChunk is of a body in chunks that are none.
var errChunk = errors.New("its chunks are damaged")

// readChunks reads a body in chunks, with what follows the last of them.
func readChunks(data []byte) (body []byte, done bool, err error) {
	for len(body) < maxBody {
		line, rest, whole := bytes.Cut(data, []byte("\r\n"))
		if !whole {
			return body, false, nil
		}
		digits, _, _ := bytes.Cut(line, []byte(";"))
		size, err := strconv.ParseUint(string(bytes.TrimRight(digits, " \t")), 16, 63)
		if err != nil || bytes.IndexByte(line, '\n') >= 0 {
			return body, true, errChunk
		}
		if size == 0 {
			_, _, done = cutHeader(append([]byte("\n"), rest...)) // trailers, and an empty line
			return body, done, nil
		}
		want := int(min(size, math.MaxInt32))
		body = append(body, rest[:min(want, len(rest))]...)
		if len(rest) < want+2 {
			break // less than all of it
		}
		if rest[want] != '\r' || rest[want+1] != '\n' {
			return body, true, errChunk
		}
		data = rest[want+2:]
	}
	return body[:min(len(body), maxBody)], len(body) >= maxBody, nil
}
