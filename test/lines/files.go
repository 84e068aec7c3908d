package lines

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Seen is what there was to be read.
type Seen struct {
	Files, Compressed int
	Lines             int
	Bytes             int64 // of text, with an end for each line
}

// Files lists the log files of a replica, the oldest first. It must not be
// writing any more.
func Files(folder string, ordinal int) ([]string, error) {
	active := filepath.Join(folder, fmt.Sprintf("%d.log", ordinal))
	rotated, err := filepath.Glob(active + ".[0-9]*")
	if err != nil {
		return nil, err
	}
	// What is being made has a name that no reader takes for a log's.
	rotated = slices.DeleteFunc(rotated, func(name string) bool {
		return strings.Trim(strings.TrimSuffix(name[len(active):], ".gz"), ".-0123456789") != ""
	})
	slices.Sort(rotated) // the names hold the times
	for i, name := range rotated {
		if i > 0 && name == rotated[i-1]+".gz" {
			return nil, fmt.Errorf("%s is there a second time, compressed", rotated[i-1])
		}
	}
	if _, err := os.Stat(active); err == nil {
		rotated = append(rotated, active)
	}
	return rotated, nil
}

// Read gives the lines of a replica to whoever asked, in the order of the files,
// joined where they were divided. What a stream has begun and not ended is given
// last. It returns an error, after all was read, when what it read is no log.
func Read(folder string, ordinal int, line func(stream string, text []byte)) (Seen, error) {
	begun := map[string][]byte{}
	lines, size := 0, int64(0)
	seen, err := Entries(folder, ordinal, func(stream string, partial bool, text []byte) {
		size += int64(len(text))
		switch {
		case partial:
			begun[stream] = append(begun[stream], text...)
			return
		case len(begun[stream]) > 0:
			line(stream, append(begun[stream], text...))
			begun[stream] = begun[stream][:0]
		default:
			line(stream, text)
		}
		lines++
		size++
	})
	for stream, text := range begun {
		if len(text) > 0 {
			line(stream, text)
		}
	}
	seen.Lines, seen.Bytes = lines, size
	return seen, err
}

// Entries gives the entries of a replica: a line that was divided in its parts.
func Entries(folder string, ordinal int, entry func(stream string, partial bool, text []byte)) (Seen, error) {
	var seen Seen
	names, err := Files(folder, ordinal)
	if err != nil {
		return seen, err
	}
	var faults []error
	for _, name := range names {
		seen.Files++
		if strings.HasSuffix(name, ".gz") {
			seen.Compressed++
		}
		if err := readFile(name, entry); err != nil {
			faults = append(faults, err)
		}
	}
	return seen, errors.Join(faults...)
}

// readFile reads one file, entry by entry:
//
//	2026-01-02T15:04:05.000000000Z stdout F text
func readFile(name string, give func(stream string, partial bool, text []byte)) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	var from io.Reader = file
	if strings.HasSuffix(name, ".gz") {
		if from, err = gzip.NewReader(file); err != nil {
			return fmt.Errorf("cannot read %s: %w", name, err)
		}
	}
	reader := bufio.NewReaderSize(from, 256<<10)
	var faults []error
	for number := 1; ; number++ {
		entry, err := reader.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(entry) == 0 {
			return errors.Join(faults...)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return errors.Join(append(faults, fmt.Errorf("cannot read %s: %w", name, err))...)
		}
		stream, tag, text, ok := parseEntry(entry)
		if ok {
			give(stream, tag == "P", text)
		} else if len(faults) < 10 {
			faults = append(faults, fmt.Errorf("%s:%d is no entry: %s", name, number, excerpt(entry)))
		}
	}
}

// stampLayout is what a time looks like, a 0 for each digit.
const stampLayout = "0000-00-00T00:00:00.000000000Z"

func parseEntry(entry []byte) (stream, tag string, text []byte, ok bool) {
	whole, ended := bytes.CutSuffix(entry, []byte{'\n'})
	if !ended || len(whole) < len(stampLayout)+len(" stdout F ") {
		return "", "", nil, false
	}
	for i, c := range whole[:len(stampLayout)] {
		if isDigit := c >= '0' && c <= '9'; isDigit != (stampLayout[i] == '0') || !isDigit && c != stampLayout[i] {
			return "", "", nil, false
		}
	}
	rest := whole[len(stampLayout):]
	for _, head := range []string{" stdout F ", " stdout P ", " stderr F ", " stderr P "} {
		if text, ok := bytes.CutPrefix(rest, []byte(head)); ok {
			return head[1:7], head[8:9], text, true
		}
	}
	return "", "", nil, false
}

// excerpt is a line for people.
func excerpt(line []byte) string {
	const most = 60
	if len(line) <= most {
		return fmt.Sprintf("%q", line)
	}
	return fmt.Sprintf("%q... (%d bytes)", line[:most], len(line))
}
