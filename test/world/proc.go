package world

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Process is a process that has not ended: zombies are none.
type Process struct {
	Pid     int
	Command string // the arguments, joined by blanks
}

// Running lists the processes whose program, as they were told their own name,
// lies below the folder. A process between vfork and exec is not seen.
func Running(folder string) ([]Process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("cannot list processes: %w", err)
	}
	prefix := []byte(folder + "/")
	var found []Process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		// A zombie has an empty command line; one that is gone has none.
		line, err := os.ReadFile("/proc/" + entry.Name() + "/cmdline")
		if err != nil || !bytes.HasPrefix(line, prefix) {
			continue
		}
		found = append(found, Process{pid, command(line)})
	}
	return found, nil
}

// describe tells the process of a folder of /proc.
func describe(folder string) Process {
	pid, _ := strconv.Atoi(filepath.Base(folder)) // 0 when it is no process
	line, _ := os.ReadFile(folder + "/cmdline")   // empty when it has gone
	return Process{pid, command(line)}
}

func command(line []byte) string {
	return string(bytes.ReplaceAll(bytes.TrimSuffix(line, []byte{0}), []byte{0}, []byte{' '}))
}

// Zombies counts the children of the process that have ended and that it has not
// waited for.
func Zombies(parent int) (int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	count := 0
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		// The name stands in parentheses and may hold anything (proc(5)).
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if fields[0] == "Z" && fields[1] == strconv.Itoa(parent) {
			count++
		}
	}
	return count, nil
}

// StatusValue reads a number of /proc/PID/status, such as "VmRSS" (in KiB) or
// "Threads".
func StatusValue(pid int, key string) (int64, error) {
	return statusValue(fmt.Sprintf("/proc/%d/status", pid), key)
}

func statusValue(path, key string) (int64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, key+":"); ok {
			number, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
			return strconv.ParseInt(number, 10, 64)
		}
	}
	return 0, fmt.Errorf("cannot find %s in %s", key, path)
}

// VoluntarySwitches counts how often a thread of the process went to sleep of
// itself, which is how often it had woken.
func VoluntarySwitches(pid int) (int64, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(threads) == 0 {
		return 0, fmt.Errorf("cannot find the threads of process %d", pid)
	}
	var sum int64
	for _, path := range threads {
		n, err := statusValue(path, "voluntary_ctxt_switches")
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// OpenFiles lists what the process has open, as /proc shows it: a path, or such
// as "anon_inode:[pidfd]".
func OpenFiles(pid int) ([]string, error) {
	folder := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var open []string
	for _, entry := range entries {
		if target, err := os.Readlink(folder + "/" + entry.Name()); err == nil {
			open = append(open, target)
		}
	}
	return open, nil
}

// Cgroup is the folder of the process's group in the cgroup v2 tree. It is the
// tree's root when nobody put it elsewhere.
func Cgroup(pid int) (string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			root, err := cgroupRoot()
			return filepath.Join(root, strings.TrimSpace(path)), err
		}
	}
	return "", fmt.Errorf("cannot find the cgroup of process %d", pid)
}

// cgroupRoot is where the cgroup v2 tree is mounted.
func cgroupRoot() (string, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 2 && fields[2] == "cgroup2" {
			return fields[1], nil
		}
	}
	return "", fmt.Errorf("cannot find a cgroup v2 tree")
}
