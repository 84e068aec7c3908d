package host

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"svc.d/reconciler"
)

const (
	// maxNotifyMessage is how long a message may be, as for systemd; a longer one
	// does not count at all.
	maxNotifyMessage = 4096
	// maxNotifyStatus is how many bytes of a status are kept.
	maxNotifyStatus = 256
	// maxStoredName is how long the name of a stored descriptor may be (FDNAME=).
	maxStoredName = 255
	// defaultStoredName is the name of those that are given none.
	defaultStoredName = "stored"
)

// notifyMessage is one message of sd_notify(3).
type notifyMessage struct {
	notice reconciler.Notice
	// mainPid is what MAINPID= says; 0 is nothing.
	mainPid int32
	// The descriptors that came with it are to be stored, or those of that name
	// are to be removed.
	store, remove bool
	name          string // of the descriptors; empty is none, or none that may be
	noPoll        bool
}

// says reports whether there is anything in it for the loop.
func (m *notifyMessage) says() bool { return m.notice != reconciler.Notice{} || m.mainPid != 0 }

// parseNotifyMessage reads a message. Lines that are not known, or damaged, do not
// count; of two that contradict each other the later one does.
func parseNotifyMessage(data []byte) (m notifyMessage) {
	if len(data) > maxNotifyMessage {
		return m
	}
	data = bytes.TrimRight(data, "\x00")
	n := &m.notice
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		name, value, ok := strings.Cut(string(line), "=")
		if !ok {
			continue
		}
		switch name {
		case "READY":
			n.Ready = n.Ready || value == "1"
		case "RELOADING":
			n.Reloading = n.Reloading || value == "1"
		case "STOPPING":
			n.Stopping = n.Stopping || value == "1"
		case "STATUS":
			if text, ok := statusText(value); ok {
				n.Status, n.HasStatus = text, true
			}
		case "WATCHDOG":
			n.Watchdog = n.Watchdog || value == "1"
			n.WatchdogTrigger = n.WatchdogTrigger || value == "trigger"
		case "WATCHDOG_USEC":
			if d, ok := microseconds(value); ok {
				n.WatchdogEvery = d
			}
		case "EXTEND_TIMEOUT_USEC":
			if d, ok := microseconds(value); ok {
				n.Extend = d
			}
		case "MAINPID":
			if pid, err := strconv.ParseInt(value, 10, 32); err == nil && pid > 0 {
				m.mainPid = int32(pid)
			}
		case "FDSTORE":
			m.store = m.store || value == "1"
		case "FDSTOREREMOVE":
			m.remove = m.remove || value == "1"
		case "FDNAME":
			if validStoredName(value) {
				m.name = value
			}
		case "FDPOLL":
			m.noPoll = m.noPoll || value == "0"
		}
	}
	return m
}

// statusText is a status for people: one line that no terminal takes for a
// command.
func statusText(value string) (string, bool) {
	if !utf8.ValidString(value) {
		return "", false
	}
	text := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, value)
	for len(text) > maxNotifyStatus {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text, true
}

// microseconds is a time; one that is too long to count is the longest.
func microseconds(value string) (time.Duration, bool) {
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil {
		return 0, false
	}
	if n > math.MaxInt64/uint64(time.Microsecond) {
		return math.MaxInt64, true
	}
	return time.Duration(n) * time.Microsecond, true
}

// validStoredName says whether systemd would take the name, too: the names are
// handed on in one variable with colons between them.
func validStoredName(name string) bool {
	if name == "" || len(name) > maxStoredName {
		return false
	}
	for n := range len(name) {
		if c := name[n]; c < ' ' || c >= 127 || c == ':' {
			return false
		}
	}
	return true
}
