package host

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// commandVariable marks the processes of hooks and probes that have no cgroup: a
// daemon that comes later ends them.
const commandVariable = "SVC_COMMAND"

// isCommand says whether an environment is that of a hook or a probe of ours.
func (h *Host) isCommand(environ []byte) bool {
	return slices.ContainsFunc(bytes.Split(environ, []byte{0}), func(line []byte) bool {
		return bytes.HasPrefix(line, []byte(commandVariable+"="+h.instance+"/"))
	})
}

// endStrayCommands ends what hooks and probes of an earlier daemon without cgroups
// left. It is best effort: a process may have hidden its environment.
func (h *Host) endStrayCommands() {
	all, _ := listProc()
	marked := func(pids []int32) map[int32]bool {
		set := map[int32]bool{}
		for _, pid := range pids {
			environ, _ := os.ReadFile("/proc/" + strconv.Itoa(int(pid)) + "/environ")
			if h.isCommand(environ) {
				set[pid] = true
			}
		}
		return set
	}
	found := marked(all)
	if len(found) == 0 {
		return
	}
	pids := make([]int32, 0, len(found))
	for pid := range found {
		pids = append(pids, pid)
	}
	if _, err := signalAll(pids, unix.SIGKILL, func() map[int32]bool { return marked(pids) }); err != nil {
		h.log.Error(err, "Cannot end what an earlier daemon ran beside its services")
	}
	// They lose their marks before they have ended, and would be taken for others.
	for waited := time.Duration(0); waited < time.Second; waited += time.Millisecond {
		if !slices.ContainsFunc(pids, func(pid int32) bool {
			s, seen := readStat(pid)
			return seen && !s.ended()
		}) {
			return
		}
		time.Sleep(time.Millisecond)
	}
}
