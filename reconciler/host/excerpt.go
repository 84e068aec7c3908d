package host

import "strings"

// excerpt keeps the beginning and the end of what is written to it.
type excerpt struct {
	half       int // bytes of each
	head, tail []byte
	dropped    bool
}

func newExcerpt(limit int) *excerpt { return &excerpt{half: max(1, limit/2)} }

func (e *excerpt) write(p []byte) {
	n := min(len(p), e.half-len(e.head))
	e.head = append(e.head, p[:n]...)
	p = p[n:]
	if over := len(p) - e.half; over > 0 {
		p, e.tail, e.dropped = p[over:], e.tail[:0], true
	}
	if over := len(e.tail) + len(p) - e.half; over > 0 {
		e.tail, e.dropped = append(e.tail[:0], e.tail[over:]...), true
	}
	e.tail = append(e.tail, p...)
}

// bytes is what was kept, with an ellipsis for what was not.
func (e *excerpt) bytes() []byte {
	out := append([]byte(nil), e.head...)
	if e.dropped {
		out = append(out, " ... "...)
	}
	return append(out, e.tail...)
}

// line is what was kept as one line, for a message.
func (e *excerpt) line() string {
	return strings.ToValidUTF8(strings.Join(strings.Fields(string(e.bytes())), " "), "?")
}
