package main

import (
	"bufio"
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"svc.d/status"
)

// tcpListen is TCP_LISTEN of the kernel's include/net/tcp_states.h, as
// /proc/net/tcp shows it.
const tcpListen = "0A"

// udpBound is the state of a UDP socket there that is connected to nobody.
const udpBound = "07"

// listeners finds who listens on ports, or else who has them for UDP, as far as the asker may see (proc(5)):
// the sockets everybody sees, whose they are only root, or their own user.
func listeners(ports []int, services []status.Service) []status.Listener {
	byInode := map[string]status.Listener{}
	for _, protocol := range []string{"tcp", "udp"} {
		if len(byInode) == 0 {
			readSockets("/proc/net/"+protocol, ports, byInode)
			readSockets("/proc/net/"+protocol+"6", ports, byInode)
		}
	}
	if len(byInode) == 0 {
		return nil
	}
	var found []status.Listener
	seen := map[string]bool{}
	entries, _ := os.ReadDir("/proc") // who cannot be seen is told of as such
	for _, e := range entries {
		pid, err := strconv.ParseInt(e.Name(), 10, 32)
		if err != nil {
			continue
		}
		for _, inode := range socketsOf(e.Name()) {
			l, ok := byInode[inode]
			// Of those that share a socket the parent tells enough: it has the lowest number.
			if !ok || seen[inode] {
				continue
			}
			seen[inode] = true
			l.Pid, l.Program, l.Replica = int32(pid), programOf(e.Name()), replicaOf(e.Name(), services)
			found = append(found, l)
		}
	}
	for inode, l := range byInode {
		if !seen[inode] {
			found = append(found, l)
		}
	}
	return found
}

// readSockets notes the sockets of one of the kernel's tables that wait on one of the
// ports for whoever comes.
func readSockets(table string, ports []int, byInode map[string]status.Listener) {
	file, err := os.Open(table)
	if err != nil {
		return // no IPv6
	}
	defer file.Close()
	state, udp := tcpListen, strings.Contains(table, "/udp")
	if udp {
		state = udpBound
	}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || fields[3] != state {
			continue
		}
		if at, ok := socketAddress(fields[1]); ok && slices.Contains(ports, int(at.Port())) {
			byInode[fields[9]] = status.Listener{Port: int(at.Port()), Address: at.String(), UDP: udp}
		}
	}
}

// socketAddress reads "0100007F:1F90": words in the machine's order, and a port.
func socketAddress(text string) (netip.AddrPort, bool) {
	words, port, _ := strings.Cut(text, ":")
	number, err := strconv.ParseUint(port, 16, 16)
	var raw []byte
	for ; err == nil && len(words) >= 8; words = words[8:] {
		var word uint64
		word, err = strconv.ParseUint(words[:8], 16, 32)
		raw = binary.NativeEndian.AppendUint32(raw, uint32(word))
	}
	ip, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(ip, uint16(number)), ok && err == nil
}

// socketsOf are the inodes of a process's sockets.
func socketsOf(pid string) []string {
	folder := filepath.Join("/proc", pid, "fd")
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil // gone, or somebody else's
	}
	var inodes []string
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(folder, e.Name()))
		if inode, ok := strings.CutPrefix(target, "socket:["); err == nil && ok {
			inodes = append(inodes, strings.TrimSuffix(inode, "]"))
		}
	}
	return inodes
}

func programOf(pid string) string {
	name, err := os.ReadFile(filepath.Join("/proc", pid, "comm"))
	if err != nil {
		return "a process"
	}
	return strings.TrimSpace(string(name))
}

// replicaOf is the replica that a process is of: the main process itself, or one
// below it, or one in its cgroup. Empty is none of ours.
func replicaOf(pid string, services []status.Service) string {
	group, _ := os.ReadFile(filepath.Join("/proc", pid, "cgroup"))
	_, path, _ := strings.Cut(strings.TrimSpace(string(group)), "0::")
	for range 64 { // deeper than families are
		n, err := strconv.ParseInt(pid, 10, 32)
		if err != nil || n <= 1 {
			return ""
		}
		for i := range services {
			for _, r := range services[i].Status.ReplicaStatuses {
				if r.Pid == int32(n) || r.Cgroup != "" && inGroup(path, r.Cgroup) {
					return r.Name
				}
			}
		}
		pid = parentOf(pid)
	}
	return ""
}

// inGroup reports whether a cgroup is another one, or below it. The other may be
// given from the root of the file system on.
func inGroup(path, group string) bool {
	return path != "" && (strings.HasSuffix(group, path) || strings.Contains(path+"/", strings.TrimPrefix(group, "/sys/fs/cgroup")+"/"))
}

// statFields are the fields of /proc/PID/stat from the third on, the state: the
// second is a name, which may hold anything.
func statFields(pid string) []string {
	text, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return nil
	}
	return strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
}

// parentOf is the parent's pid; empty when the process is gone.
func parentOf(pid string) string {
	fields := statFields(pid)
	if len(fields) < 2 {
		return ""
	}
	return fields[1]
}

// startTicks is when a process started, in ticks since the boot; 0 when it has ended.
func startTicks(pid int32) uint64 {
	fields := statFields(strconv.Itoa(int(pid)))
	if len(fields) < 20 || fields[0] == "Z" {
		return 0
	}
	ticks, _ := strconv.ParseUint(fields[19], 10, 64)
	return ticks
}

// oomKills is how many processes the kernel has killed for want of memory since it
// booted; -1 when it does not tell.
func oomKills() int64 {
	text, err := os.ReadFile("/proc/vmstat")
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "oom_kill "); ok {
			if n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64); err == nil {
				return n
			}
		}
	}
	return -1
}
