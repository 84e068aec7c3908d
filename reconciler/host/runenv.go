package host

import (
	"bytes"
	"strconv"
	"strings"

	"svc.d/reconciler"
	"svc.d/spec"
)

// readFiles is what a run has read from the files of envFrom. It is not changed
// but replaced.
type readFiles struct {
	digest string // of what the files meant; Started tells it
	vars   []spec.EnvVar
	// lost says that a daemon that died was the last to know vars.
	lost bool
}

// readBy is what is known of that from the record of a run.
func readBy(i *reconciler.Instance) *readFiles {
	if i.Life == nil || i.Life.EnvFiles == "" {
		return nil
	}
	return &readFiles{digest: i.Life.EnvFiles, lost: true}
}

// filesOf answers what the run of a group has read, whatever has become of the
// files since: hooks and probes get the environment of the main process. A daemon
// that died has taken its knowledge with it. Then the files tell, if they mean the
// same, or else the main process, unless it has written over its environment as
// setproctitle(3) does; then the files as they are.
func (h *Host) filesOf(g *group) envFiles {
	return func(list []spec.EnvFrom) ([]spec.EnvVar, map[string]string, *reconciler.Failure) {
		if g == nil || len(list) == 0 {
			return readEnvFiles(list)
		}
		h.mu.Lock()
		read, pid := g.read, g.pid
		running := g.phase == phaseRunning && g.pidfd >= 0
		h.mu.Unlock()
		if read == nil {
			return readEnvFiles(list)
		}
		if !read.lost {
			return read.vars, nil, nil
		}
		vars, meant, f := readEnvFiles(list)
		from := spec.Spec{EnvFrom: list}
		if f != nil || from.EnvFilesDigest(func(path string) string { return meant[path] }) != read.digest {
			shown, ok := []spec.EnvVar(nil), false
			if running {
				shown, ok = environmentOf(pid)
			}
			if !ok {
				return vars, meant, f
			}
			vars = shown
		}
		h.mu.Lock()
		if g.read == read {
			g.read = &readFiles{digest: read.digest, vars: vars}
		}
		h.mu.Unlock()
		return vars, nil, nil
	}
}

// own are variables that a main process has got for itself.
var own = map[string]bool{
	"NOTIFY_SOCKET": true, "WATCHDOG_USEC": true, "WATCHDOG_PID": true, "LISTEN_PID": true, "LISTEN_FDS": true, "LISTEN_FDNAMES": true,
	instanceVariable: true, commandVariable: true,
}

// environmentOf is the environment a process was executed with (proc_pid_environ(5)),
// without what was for itself. It is false when that cannot be read, or was
// written over: then it does not have the variables that all replicas have.
func environmentOf(pid int32) (vars []spec.EnvVar, ok bool) {
	data, err := readBounded("/proc/"+strconv.Itoa(int(pid))+"/environ", maxEnviron)
	if err != nil {
		return nil, false
	}
	for line := range bytes.SplitSeq(bytes.TrimSuffix(data, []byte{0}), []byte{0}) {
		name, value, is := strings.Cut(string(line), "=")
		if !is || name == "" {
			return nil, false
		}
		ok = ok || name == "SVC_REPLICA"
		if !own[name] {
			vars = append(vars, spec.EnvVar{Name: name, Value: value})
		}
	}
	return vars, ok
}

// maxEnviron is more than execve(2) takes by default.
const maxEnviron = 4 << 20

// allRead are the variables that an image hands to its successor. The caller holds
// mu.
func (h *Host) allRead() map[reconciler.ReplicaID][][]byte {
	all := map[reconciler.ReplicaID][][]byte{}
	for id, g := range h.groups {
		if g.read == nil || g.read.lost {
			continue
		}
		lines := make([][]byte, 0, len(g.read.vars))
		for _, v := range g.read.vars {
			lines = append(lines, []byte(v.Name+"="+v.Value))
		}
		all[id] = lines
	}
	return all
}

// restoreEnvironment takes over what allRead told.
func (h *Host) restoreEnvironment(all map[reconciler.ReplicaID][][]byte) {
	for id, lines := range all {
		g := h.groups[id]
		if g == nil || g.read == nil {
			continue
		}
		read := &readFiles{digest: g.read.digest}
		for _, line := range lines {
			name, value, _ := strings.Cut(string(line), "=")
			read.vars = append(read.vars, spec.EnvVar{Name: name, Value: value})
		}
		g.read = read
	}
}
