package host

import (
	"strconv"
	"strings"
)

// mount is one line of /proc/PID/mountinfo (proc_pid_mountinfo(5)).
type mount struct {
	id                  int
	root, point, fsType string
}

func parseMounts(mountinfo string) []mount {
	var mounts []mount
	for line := range strings.Lines(mountinfo) {
		fields, rest, ok := strings.Cut(line, " - ")
		f, r := strings.Fields(fields), strings.Fields(rest)
		if !ok || len(f) < 5 || len(r) < 1 {
			continue
		}
		id, _ := strconv.Atoi(f[0])
		mounts = append(mounts, mount{id: id, root: unescapeMount(f[3]), point: unescapeMount(f[4]), fsType: r[0]})
	}
	return mounts
}

// unescapeMount undoes the kernel's octal escapes of space, tab, newline and
// backslash.
func unescapeMount(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
