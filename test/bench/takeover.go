package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// reexecs has the daemon execute itself anew and returns the gaps: from when the
// old image ceased to take in what happens to when the new one is about to.
func (d *daemon) reexecs(count int) ([]int64, error) {
	var gaps []int64
	for range count {
		read, err := d.logSize()
		if err != nil {
			return nil, err
		}
		if err := d.command.Process.Signal(syscall.SIGHUP); err != nil {
			return nil, err
		}
		line, _, err := d.logged(read, "Took over from the image before")
		if err != nil {
			return nil, err
		}
		gap, err := time.ParseDuration(line.Gap)
		if err != nil {
			return nil, fmt.Errorf("cannot read the gap: %w", err)
		}
		gaps = append(gaps, int64(gap))
		settle()
	}
	return gaps, d.nothingElse()
}

// crash kills the daemon as kill -9 does, starts another in its place, and
// returns how long that took from its exec until it had adopted all services.
func (d *daemon) crash(services int) (int64, error) {
	if err := d.command.Process.Kill(); err != nil {
		return 0, err
	}
	_ = d.command.Wait() // killed
	read, err := d.logSize()
	if err != nil {
		return 0, err
	}
	if err := d.launch(); err != nil {
		return 0, err
	}
	line, at, err := d.logged(read, "Started daemon")
	if err != nil {
		return 0, err
	}
	if line.Adopted != services {
		return 0, fmt.Errorf("%d services were adopted of %d:\n%s", line.Adopted, services, d.complaints())
	}
	return at - d.began, d.nothingElse()
}

// logLine is what is read of the daemon's log.
type logLine struct {
	Msg     string
	Gap     string
	Adopted int
}

func (d *daemon) logPath() string { return filepath.Join(d.folder, "daemon.log") }

func (d *daemon) logSize() (int64, error) {
	info, err := os.Stat(d.logPath())
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// logged waits for a line with that message after the first bytes of the log, and
// returns it and when it was seen.
func (d *daemon) logged(after int64, message string) (logLine, int64, error) {
	notify, err := notifier(d.logPath())
	if err != nil {
		return logLine{}, 0, err
	}
	defer syscall.Close(notify)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		text, err := os.ReadFile(d.logPath())
		at := monotonic()
		if err != nil {
			return logLine{}, 0, err
		}
		for line := range bytes.Lines(text[min(int(after), len(text)):]) {
			var l logLine
			if json.Unmarshal(line, &l) == nil && l.Msg == message {
				return l, at, nil
			}
		}
		if err := written(notify); err != nil {
			return logLine{}, 0, err
		}
	}
	return logLine{}, 0, fmt.Errorf("cannot see %q in the log:\n%s", message, d.complaints())
}
