package logs

import (
	"bytes"
	"testing"
	"time"

	"svc.d/reconciler/logs/cri"
)

// FuzzSplit divides text into chunks and gives the splitter little room: whatever
// the sizes, the bytes that come out are those that went in.
func FuzzSplit(f *testing.F) {
	f.Add([]byte("one\ntwo\n\nthree"), uint16(3), uint16(0), false)
	f.Add(bytes.Repeat([]byte("x"), 3*cri.MaxText), uint16(5000), uint16(100), true)
	f.Add(append(bytes.Repeat([]byte("x"), cri.MaxText), '\n'), uint16(cri.MaxText), uint16(0), false)
	f.Fuzz(func(t *testing.T, text []byte, chunk, room uint16, flush bool) {
		now := time.Unix(0, 0)
		full := cri.AppendHeader(nil, now, cri.Stdout, false)
		partial := cri.AppendHeader(nil, now, cri.Stdout, true)
		dst := make([]byte, cri.HeaderSize+cri.MaxText+1+int(room))
		var got, held []byte
		lines := 0
		for n := 0; n < len(text) || len(held) > 0; {
			size := min(1+int(chunk), len(text)-n)
			src := append(bytes.Clone(held), text[n:n+size]...)
			n += size
			for last := n == len(text); ; {
				written, used, ended := split(dst, src, full, partial, flush || last)
				lines += ended
				got = append(got, unsplit(t, dst[:written])...)
				src = src[used:]
				if written == 0 {
					break
				}
			}
			if held = src; len(held) > cri.MaxText || n == len(text) && len(held) > 0 {
				t.Fatalf("%d bytes are left", len(held))
			}
		}
		if !bytes.Equal(got, text) {
			t.Errorf("got %q\nwant %q", got, text)
		}
		if want := bytes.Count(text, []byte{'\n'}); lines != want {
			t.Errorf("%d lines, want %d", lines, want)
		}
	})
}

// unsplit is the text of entries.
func unsplit(t *testing.T, entries []byte) (text []byte) {
	for entry := range bytes.Lines(entries) {
		l, ok := cri.Parse(entry)
		if !ok || len(l.Text) > cri.MaxText {
			t.Fatalf("not an entry of ours: %q", entry)
		}
		text = append(text, l.Text...)
		if !l.Partial {
			text = append(text, '\n')
		}
	}
	return text
}
