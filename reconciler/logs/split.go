package logs

import (
	"bytes"

	"svc.d/reconciler/logs/cri"
)

// split writes as many whole entries for src as fit into dst. It is pure.
//
// full and partial are the headers, of cri.HeaderSize bytes. What has no newline
// yet is left for the next time, unless it is longer than an entry may be or
// flush asks for it. used is how much of src the entries hold, and lines how
// many of them end a line.
func split(dst, src, full, partial []byte, flush bool) (written, used, lines int) {
	for used < len(src) {
		rest := src[used:]
		end := bytes.IndexByte(rest[:min(len(rest), cri.MaxText+1)], '\n')
		header, size, skip := full, end, 1
		switch {
		case end >= 0:
		case len(rest) > cri.MaxText:
			header, size, skip = partial, cri.MaxText, 0
		case flush:
			header, size, skip = partial, len(rest), 0
		default:
			return written, used, lines
		}
		entry := cri.HeaderSize + size + 1
		if entry > len(dst)-written {
			return written, used, lines
		}
		to := dst[written : written+entry]
		copy(to, header)
		copy(to[cri.HeaderSize:], rest[:size])
		to[entry-1] = '\n'
		written += entry
		used += size + skip
		lines += skip
	}
	return written, used, lines
}
