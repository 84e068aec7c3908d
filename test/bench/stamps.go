package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// stamp is what a service wrote when it began to run.
type stamp struct {
	at  int64 // CLOCK_MONOTONIC, nanoseconds
	pid int
	id  int
}

const stampSize = 16

// stamps is the file that all services of a round append to.
type stamps struct {
	path string
	read int64 // bytes that next has returned
}

func newStamps(path string) (*stamps, error) {
	return &stamps{path: path}, os.WriteFile(path, nil, 0o666)
}

// monotonic is the clock of the stamps. time.Now has it too, but does not show
// it.
func monotonic() int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err) // vdso: it cannot fail
	}
	return now.Nano()
}

// next waits until n more services have run, and returns their stamps. The file
// is looked at rarely: the time is in the stamps, and the machine is small.
func (s *stamps) next(n int, within time.Duration) ([]stamp, error) {
	pause := 500 * time.Microsecond
	if n > 10 {
		pause = 10 * time.Millisecond
	}
	for deadline := time.Now().Add(within); ; time.Sleep(pause) {
		info, err := os.Stat(s.path)
		if err != nil {
			return nil, err
		}
		if info.Size() >= s.read+int64(n)*stampSize {
			break
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("cannot see %d services run within %v: %d did", n, within, (info.Size()-s.read)/stampSize)
		}
	}
	file, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	raw := make([]byte, n*stampSize)
	if _, err := file.ReadAt(raw, s.read); err != nil {
		return nil, err
	}
	s.read += int64(len(raw))
	all := make([]stamp, n)
	for i := range all {
		r := raw[i*stampSize:]
		all[i] = stamp{
			at:  int64(binary.LittleEndian.Uint64(r)),
			pid: int(int32(binary.LittleEndian.Uint32(r[8:]))),
			id:  int(int32(binary.LittleEndian.Uint32(r[12:]))),
		}
	}
	return all, nil
}

// unread counts the stamps that nobody has asked for.
func (s *stamps) unread() (int, error) {
	info, err := os.Stat(s.path)
	if err != nil {
		return 0, err
	}
	return int((info.Size() - s.read) / stampSize), nil
}

func last(all []stamp) int64 {
	latest := all[0].at
	for _, s := range all {
		latest = max(latest, s.at)
	}
	return latest
}
