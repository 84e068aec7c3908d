package cri

import (
	"strconv"
	"strings"
	"time"
)

// File is what the name of a log file tells. Those of one service are in one
// folder that has its name.
type File struct {
	Ordinal int32
	// Rotated is when the file was moved out of the way; zero while it is
	// written to.
	Rotated time.Time
	// Compressed says that it is a gzip file.
	Compressed bool
}

// rotatedStamp sorts as the times do. It is UTC.
const rotatedStamp = "20060102-150405.000000000"

// Name returns the file's name: "0.log", "0.log.20260102-150405.000000000" or
// the same with ".gz".
func (f File) Name() string {
	name := strconv.Itoa(int(f.Ordinal)) + ".log"
	if !f.Rotated.IsZero() {
		name += "." + f.Rotated.UTC().Format(rotatedStamp)
	}
	if f.Compressed {
		name += ".gz"
	}
	return name
}

// ParseName is the inverse of Name. It knows none but the names that it gives.
func ParseName(name string) (File, bool) {
	ordinal, rest, ok := strings.Cut(name, ".log")
	n, err := strconv.ParseInt(ordinal, 10, 32)
	if !ok || err != nil {
		return File{}, false
	}
	f := File{Ordinal: int32(n)}
	rest, f.Compressed = strings.CutSuffix(rest, ".gz")
	if stamp, rotated := strings.CutPrefix(rest, "."); rotated {
		if f.Rotated, err = time.Parse(rotatedStamp, stamp); err != nil {
			return File{}, false
		}
	}
	return f, f.Name() == name
}
