package host

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/spec"
)

// accounts answers who a service runs as, from /etc/passwd and /etc/group. The
// files are read again when they have changed. Users who are known only to
// another name service (LDAP, systemd-userdb) must be given by number, with
// runAsGroup: the binary is static and asks no NSS module.
type accounts struct {
	mu     sync.Mutex
	passwd tableFile
	group  tableFile
	byName map[string]*account
	byUID  map[uint32]*account
	groups map[string]uint32
	member map[string][]uint32
}

type account struct {
	name, home, shell string
	uid, gid          uint32
}

// identity is who a process is to be.
type identity struct {
	account
	groups    []uint32
	setGroups bool
	// change says that the daemon's own identity is not kept.
	change bool
}

// tableFile tells whether a file changed since it was last read.
type tableFile struct {
	dev, ino   uint64
	size       int64
	mtim, ctim unix.Timespec
}

func (f *tableFile) changed(path string) bool {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		st = unix.Stat_t{}
	}
	now := tableFile{dev: uint64(st.Dev), ino: st.Ino, size: st.Size, mtim: st.Mtim, ctim: st.Ctim}
	if now == *f {
		return false
	}
	*f = now
	return true
}

// refresh reads the tables if they have changed. The caller holds mu.
func (a *accounts) refresh() {
	if a.byName == nil || a.passwd.changed("/etc/passwd") {
		a.passwd.changed("/etc/passwd")
		data, _ := os.ReadFile("/etc/passwd")
		a.byName, a.byUID = parsePasswd(string(data))
	}
	if a.groups == nil || a.group.changed("/etc/group") {
		a.group.changed("/etc/group")
		data, _ := os.ReadFile("/etc/group")
		a.groups, a.member = parseGroup(string(data))
	}
}

// parsePasswd reads the format of passwd(5); lines that are damaged are skipped.
func parsePasswd(data string) (map[string]*account, map[uint32]*account) {
	byName, byUID := map[string]*account{}, map[uint32]*account{}
	for line := range strings.Lines(data) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(f) < 7 || f[0] == "" || strings.ContainsRune("#+-", rune(f[0][0])) {
			continue
		}
		uid, err1 := strconv.ParseUint(f[2], 10, 32)
		gid, err2 := strconv.ParseUint(f[3], 10, 32)
		if err1 != nil || err2 != nil {
			continue
		}
		acc := &account{name: f[0], uid: uint32(uid), gid: uint32(gid), home: f[5], shell: f[6]}
		if byName[acc.name] == nil {
			byName[acc.name] = acc
		}
		if byUID[acc.uid] == nil {
			byUID[acc.uid] = acc
		}
	}
	return byName, byUID
}

// parseGroup reads the format of group(5): numbers by name, and the groups of
// which a user is a member.
func parseGroup(data string) (map[string]uint32, map[string][]uint32) {
	byName, member := map[string]uint32{}, map[string][]uint32{}
	for line := range strings.Lines(data) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(f) < 4 || f[0] == "" || strings.ContainsRune("#+-", rune(f[0][0])) {
			continue
		}
		gid, err := strconv.ParseUint(f[2], 10, 32)
		if err != nil {
			continue
		}
		if _, ok := byName[f[0]]; !ok {
			byName[f[0]] = uint32(gid)
		}
		for user := range strings.SplitSeq(f[3], ",") {
			if user != "" && !slices.Contains(member[user], uint32(gid)) {
				member[user] = append(member[user], uint32(gid))
			}
		}
	}
	return byName, member
}

// resolve finds out who c asks for.
func (a *accounts) resolve(c spec.SecurityContext) (identity, *reconciler.Failure) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refresh()
	id := identity{account: account{uid: uint32(os.Getuid()), gid: uint32(os.Getgid()), home: "/", shell: "/bin/sh"}}
	if own := a.byUID[id.uid]; own != nil {
		id.name, id.home, id.shell = own.name, own.home, own.shell
	}
	if c.RunAsUser != "" {
		if f := a.setUser(&id, c); f != nil {
			return id, f
		}
	}
	if c.RunAsGroup != "" {
		gid, ok := a.groupNumber(c.RunAsGroup)
		if !ok {
			return id, notFound("group", c.RunAsGroup)
		}
		id.gid, id.change = gid, id.change || gid != uint32(os.Getgid())
	}
	if c.SupplementalGroups != nil {
		id.groups, id.setGroups, id.change = []uint32{}, true, true
		for _, g := range c.SupplementalGroups {
			gid, ok := a.groupNumber(g)
			if !ok {
				return id, notFound("group", g)
			}
			id.groups = append(id.groups, gid)
		}
	}
	return id, nil
}

// setUser sets what comes with runAsUser. The caller holds mu.
func (a *accounts) setUser(id *identity, c spec.SecurityContext) *reconciler.Failure {
	acc := a.byName[string(c.RunAsUser)]
	number, err := strconv.ParseUint(string(c.RunAsUser), 10, 32)
	switch {
	case acc != nil:
	case err != nil:
		return notFound("user", c.RunAsUser)
	case a.byUID[uint32(number)] != nil:
		acc = a.byUID[uint32(number)]
	case c.RunAsGroup == "":
		f := notFound("user", c.RunAsUser)
		f.Message += "; a number that is not in /etc/passwd needs runAsGroup as well"
		return f
	default:
		acc = &account{uid: uint32(number), home: "/", shell: "/bin/sh"}
	}
	if acc.uid == uint32(os.Getuid()) && acc.uid != 0 {
		id.account = *acc // as we are: nothing to change, and we could not
		id.gid = uint32(os.Getgid())
		return nil
	}
	id.account, id.change = *acc, true
	id.setGroups = true
	id.groups = slices.Clone(a.member[acc.name])
	if !slices.Contains(id.groups, acc.gid) && acc.name != "" {
		id.groups = append(id.groups, acc.gid) // as initgroups(3) does
	}
	return nil
}

// groupNumber finds a group by name or number. The caller holds mu.
func (a *accounts) groupNumber(g spec.ID) (uint32, bool) {
	if gid, ok := a.groups[string(g)]; ok {
		return gid, true
	}
	n, err := strconv.ParseUint(string(g), 10, 32)
	return uint32(n), err == nil
}

func notFound(kind string, id spec.ID) *reconciler.Failure {
	return &reconciler.Failure{
		Reason:  reconciler.ReasonUserNotFound,
		Message: fmt.Sprintf("cannot find the %s %q in /etc/%s", kind, id, map[string]string{"user": "passwd", "group": "group"}[kind]),
	}
}

// environment is what a process of this identity gets before its own env.
func (id *identity) environment() []spec.EnvVar {
	env := []spec.EnvVar{{Name: "PATH", Value: defaultPath}, {Name: "HOME", Value: id.home}}
	if id.name != "" {
		env = append(env, spec.EnvVar{Name: "USER", Value: id.name}, spec.EnvVar{Name: "LOGNAME", Value: id.name})
	}
	shell := id.shell
	if shell == "" {
		shell = "/bin/sh" // passwd(5)
	}
	return append(env, spec.EnvVar{Name: "SHELL", Value: shell})
}
