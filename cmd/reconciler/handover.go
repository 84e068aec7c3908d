package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/reconciler/events"
	"svc.d/reconciler/host"
	"svc.d/spec"
)

const (
	// handoverEnv names the descriptor of a handover in the environment of the
	// process image that takes over.
	handoverEnv = "RECONCILER_HANDOVER"
	// handoverVersion is of what is handed over. What is added to it must be
	// such that an image which passes it over does no harm. `reconciler check`
	// tells an older image which version its successor reads.
	handoverVersion = 1
	handoverSeals   = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
)

// handover is what one process image tells its successor: the descriptors that
// stay open over exec(2), and what is worth knowing. All that is known of
// services is in the records.
type handover struct {
	Version int            `json:"version"`
	Lock    int            `json:"lock"`
	Socket  int            `json:"socket"`
	Tree    int            `json:"tree,omitempty"`
	Pidfds  map[string]int `json:"pidfds"`            // by replica
	Outputs map[string]int `json:"outputs,omitempty"` // FIFOs by name
	Shelved []int          `json:"shelved,omitempty"` // see shelf
	Notify  int            `json:"notify,omitempty"`  // the socket on which services tell of themselves
	// Stored is what services have given us to keep, by replica. It is not on the
	// shelf: only an image that goes on with this process has it.
	Stored map[string][]host.StoredFD `json:"stored,omitempty"`
	Early  map[string][][]byte        `json:"early,omitempty"` // what services have said and nobody was told
	// Environment is what services have read from the files of envFrom, by replica.
	// It is in memory alone: there may be secrets in it.
	Environment map[string][][]byte `json:"environment,omitempty"`
	Events      []events.Kept       `json:"events,omitempty"`

	Why     string       `json:"why"`
	Program fileIdentity `json:"program"` // what was meant to be executed
	Began   int64        `json:"began"`   // CLOCK_MONOTONIC when the loop ceased to take anything in
	Panics  []int64      `json:"panics,omitempty"`
	Nohup   bool         `json:"nohup,omitempty"` // a closed terminal means nothing

	Configuration json.RawMessage `json:"configuration,omitempty"` // to be in force
	Source        spec.Source     `json:"source"`
}

// fileIdentity tells whether a file is still the same one.
type fileIdentity struct {
	Path    string `json:"path"`
	Device  uint64 `json:"device"`
	Inode   uint64 `json:"inode"`
	Size    int64  `json:"size"`
	Changed int64  `json:"changed"` // ctime, ns
}

func identify(path string) (fileIdentity, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return fileIdentity{Path: path}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return fileIdentity{Path: path, Device: uint64(st.Dev), Inode: st.Ino, Size: st.Size, Changed: st.Ctim.Nano()}, nil
}

// monotonic is CLOCK_MONOTONIC, which goes on over exec(2).
func monotonic() int64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return 0
	}
	return ts.Nano()
}

// monotonicAt is what monotonic said at that time.
func monotonicAt(t time.Time) int64 { return monotonic() - int64(time.Since(t)) }

// recent are the moments of the last minute, with now.
func recent(moments []int64, now int64) []int64 {
	var kept []int64
	for _, at := range moments {
		if now-at < int64(time.Minute) {
			kept = append(kept, at)
		}
	}
	return append(kept, now)
}

// write puts the handover into a file in memory and returns its descriptor.
func (h *handover) write() (int, error) {
	data, err := json.Marshal(h)
	if err != nil {
		return -1, fmt.Errorf("cannot write the handover: %w", err)
	}
	fd, err := unix.MemfdCreate("handover", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, fmt.Errorf("cannot make a handover: %w", err)
	}
	for n := 0; n < len(data); {
		m, err := unix.Pwrite(fd, data[n:], int64(n))
		if err != nil {
			_ = unix.Close(fd)
			return -1, fmt.Errorf("cannot write the handover: %w", err)
		}
		n += m
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, handoverSeals); err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("cannot seal the handover: %w", err)
	}
	return fd, nil
}

// keep lists the descriptors that must stay open in the successor.
func (h *handover) keep() []int {
	fds := []int{h.Lock, h.Socket}
	if h.Tree != 0 {
		fds = append(fds, h.Tree)
	}
	for _, fd := range h.Pidfds {
		fds = append(fds, fd)
	}
	for _, fd := range h.Outputs {
		fds = append(fds, fd)
	}
	if h.Notify != 0 {
		fds = append(fds, h.Notify)
	}
	for _, stored := range h.Stored {
		for _, one := range stored {
			fds = append(fds, one.FD)
		}
	}
	return fds
}

// byReplica has the replicas themselves in the place of their names.
func byReplica[T any](named map[string]T) map[reconciler.ReplicaID]T {
	all := make(map[reconciler.ReplicaID]T, len(named))
	for name, one := range named {
		if id, ok := reconciler.ParseReplicaID(name); ok {
			all[id] = one
		}
	}
	return all
}

// byName is the inverse of byReplica.
func byName[T any](all map[reconciler.ReplicaID]T) map[string]T {
	named := make(map[string]T, len(all))
	for id, one := range all {
		named[id.String()] = one
	}
	return named
}

// takeHandover reads what the image before this one left; nil when there was
// none. The variable is taken away: it is for nobody else.
func takeHandover() (*handover, error) {
	name, given := os.LookupEnv(handoverEnv)
	if !given {
		return nil, nil
	}
	os.Unsetenv(handoverEnv)
	fd, err := strconv.Atoi(name)
	if err != nil || fd < 3 {
		return nil, fmt.Errorf("cannot take over: %s=%q is no descriptor", handoverEnv, name)
	}
	file := os.NewFile(uintptr(fd), "handover")
	defer file.Close()
	// Only memory that was sealed is believed, no file: a variable that was left in
	// somebody's environment must not make us take a stranger's descriptors for ours.
	if seals, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0); err != nil || seals&handoverSeals != handoverSeals {
		return nil, fmt.Errorf("cannot take over: %s=%q is no handover", handoverEnv, name)
	}
	data, err := io.ReadAll(io.NewSectionReader(file, 0, 64<<20))
	if err != nil {
		return nil, fmt.Errorf("cannot read the handover: %w", err)
	}
	h := &handover{}
	if err := json.Unmarshal(data, h); err != nil {
		return nil, fmt.Errorf("cannot read the handover: %w", err)
	}
	if h.Version != handoverVersion {
		return nil, fmt.Errorf("cannot take over: the handover has version %d, and this program reads version %d", h.Version, handoverVersion)
	}
	if h.Lock < 3 || h.Socket < 3 {
		return nil, errors.New("cannot take over: the handover is damaged")
	}
	for _, fd := range h.keep() {
		unix.CloseOnExec(fd)
	}
	return h, nil
}

// letGo closes what an image left that could not be taken over: its lock above
// all, which would keep everybody out.
func letGo() error { return unix.CloseRange(3, math.MaxUint32, 0) }
