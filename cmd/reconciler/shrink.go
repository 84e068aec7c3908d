package main

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// startGarbage is GOGC until the start is over: a collection stops the world,
// and waits for each fork to do so.
const startGarbage = 400

// The start, of a thousand services too, is over when the daemon has rested for
// this long: it has had less than restingTime of a processor meanwhile. One that
// is never at rest has as many as startRounds of it.
const (
	shrinkAfter = 3 * time.Second
	restingTime = 100 * time.Millisecond
	startRounds = 20
)

// spendFreely lets the start take memory that a daemon at rest does not need, and
// gives it back afterwards.
func spendFreely() (stop func() bool) {
	usual := debug.SetGCPercent(startGarbage)
	before, rounds := processorTime(), 0
	var timer *time.Timer
	var begun sync.Mutex // until timer is set
	begun.Lock()
	defer begun.Unlock()
	timer = time.AfterFunc(shrinkAfter, func() {
		begun.Lock()
		defer begun.Unlock()
		spent := processorTime()
		if rounds++; spent-before > restingTime && rounds < startRounds {
			before = spent
			timer.Reset(shrinkAfter)
			return
		}
		debug.SetGCPercent(usual)
		debug.FreeOSMemory()
		dropText()
	})
	return timer.Stop
}

// processorTime is what this process has had of the processors.
func processorTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// dropText lets go of our program's code and constants as far as they are resident:
// most of what ran at the start (flags, parsers) does not run again. They stay in the
// page cache, and what is needed is mapped again when it is used.
func dropText() {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(maps)) {
		// address range, permissions, offset, device, inode, path
		fields := strings.Fields(line)
		if len(fields) < 6 || fields[1] != "r-xp" && fields[1] != "r--p" || !strings.HasSuffix(strings.TrimSuffix(line, "\n"), program) {
			continue
		}
		from, to, _ := strings.Cut(fields[0], "-")
		begin, err1 := strconv.ParseUint(from, 16, 64)
		end, err2 := strconv.ParseUint(to, 16, 64)
		if err1 == nil && err2 == nil && begin < end {
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, uintptr(begin), uintptr(end-begin), unix.MADV_DONTNEED)
		}
	}
}
