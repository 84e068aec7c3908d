// Package lines makes the lines that the tests' services write, and finds out
// what became of them: each line can be told from its number, so that whoever
// reads them knows which are lost, doubled, torn, swapped or in the wrong place.
// It knows the format of the log files from its description, and nothing of
// how the daemon writes them, so that it can judge it.
package lines

import (
	"bytes"
	"fmt"
	"strconv"
)

// Script is what a service writes: the same to whoever has the same script.
type Script struct {
	Seed    uint64
	Longest int  // the most bytes of a line, without its end
	Short   bool // nearly all lines have one byte
	Whole   bool // all lines are long enough to tell their number
	Binary  bool // with every byte that there is, but for the end of a line
}

// Streams are the names of the streams within lines, and those of the log.
var Streams = map[byte]string{'o': "stdout", 'e': "stderr"}

// sync is how often a line says its number in full. In between there are lines
// that are too short to.
const sync = 64

// Append appends a line without its end. A line that is long enough tells its
// run, its stream and its number; of a shorter one there are the last digits of
// the number.
func (s Script) Append(b []byte, run string, stream byte, n int) []byte {
	begin := len(b)
	b = appendHead(b, run, stream, n)
	head := len(b) - begin
	random := mix(s.Seed ^ uint64(stream)<<56 ^ mix(uint64(n)))
	length := s.length(random, head, n)
	if length < head {
		digits := fmt.Sprintf("%0*d", length, n)
		return append(b[:begin], digits[len(digits)-length:]...)
	}
	filler := printable
	if s.Binary {
		filler = binary
	}
	filler = filler[random%(fillerSize/2):]
	for left := length - head; left > 0; {
		part := min(left, len(filler))
		b = append(b, filler[:part]...)
		left -= part
	}
	return b
}

func appendHead(b []byte, run string, stream byte, n int) []byte {
	b = append(b, run...)
	b = append(b, ' ', stream, ' ')
	b = strconv.AppendInt(b, int64(n), 10)
	return append(b, ' ')
}

// length spreads lengths as logs have them: mostly of a hundred bytes or two,
// few very short and very few very long ones.
func (s Script) length(random uint64, head, n int) int {
	more := int(random >> 32)
	longest := max(s.Longest, 1)
	if s.Whole {
		return max(head, (Script{Longest: longest}).length(random, head, n))
	}
	switch {
	case n%sync == 0:
		return head + more%32
	case s.Short:
		return 1
	case random%8 == 0:
		return 1 + more%min(20, longest)
	case random%4096 == 1:
		return 1 + more%longest
	case random%256 == 2:
		return 1 + more%min(4096, longest)
	default:
		return min(20+more%200, longest)
	}
}

// Number is the number that a line says it has, or -1.
func Number(line []byte) int {
	if _, _, n, ok := parseHead(line); ok {
		return n
	}
	return -1
}

// parseHead reads what a line says of itself.
func parseHead(line []byte) (run string, stream byte, n int, ok bool) {
	name, rest, ok1 := bytes.Cut(line, []byte{' '})
	letter, rest, ok2 := bytes.Cut(rest, []byte{' '})
	number, _, ok3 := bytes.Cut(rest, []byte{' '})
	n, err := strconv.Atoi(string(number))
	if !ok1 || !ok2 || !ok3 || err != nil || n < 0 || len(name) == 0 || len(letter) != 1 || Streams[letter[0]] == "" {
		return "", 0, 0, false
	}
	return string(name), letter[0], n, true
}

const fillerSize = 64 << 10

var (
	printable = filler(func(r byte) byte { return ' ' + r%('~'-' '+1) })
	binary    = filler(func(r byte) byte {
		if r == '\n' {
			return 0
		}
		return r
	})
)

func filler(of func(byte) byte) []byte {
	b := make([]byte, fillerSize)
	for i := range b {
		b[i] = of(byte(mix(uint64(i)) >> 24))
	}
	return b
}

// mix is the finalizer of splitmix64: one number in, a random one out.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
