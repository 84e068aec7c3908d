package vm

import (
	"os"
	"strings"
	"testing"
)

// debianInit hands the machine to Debian's systemd, with the files of /payload
// in its place at the first boot.
const debianInit = `#!/bin/sh
. /lib/start
mkdir /new
mount -t ext4 -o noatime /dev/vda /new
[ -e /new/provided ] || { cp -a /payload/. /new/; touch /new/provided; }
mount --move /dev /new/dev
exec switch_root /new /lib/systemd/systemd
`

// guestUnit is started early and not stopped before the very end, so that a test
// can look on while the machine goes down.
const guestUnit = `
[Unit]
DefaultDependencies=no
IgnoreOnIsolate=yes
[Service]
ExecStart=/bin/guest
Restart=always
KillMode=process
[Install]
WantedBy=sysinit.target
`

// notNeeded are units of Debian that only make a boot longer.
var notNeeded = []string{
	"apt-daily-upgrade.timer", "apt-daily.timer", "console-getty.service", "dev-hugepages.mount", "dev-mqueue.mount",
	"dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer", "getty.target", "kmod-static-nodes.service",
	"ldconfig.service", "modprobe@.service", "remote-fs.target", "serial-getty@ttyS0.service", "sys-fs-fuse-connections.mount", "sys-kernel-config.mount",
	"sys-kernel-debug.mount", "sys-kernel-tracing.mount", "systemd-ask-password-wall.path", "systemd-binfmt.service",
	"systemd-boot-system-token.service", "systemd-hwdb-update.service", "systemd-journal-catalog-update.service", "systemd-journal-flush.service",
	"systemd-logind.service", "systemd-machine-id-commit.service", "systemd-modules-load.service", "systemd-pcrphase.service",
	"systemd-pcrphase-sysinit.service", "systemd-pstore.service", "systemd-random-seed.service", "systemd-remount-fs.service",
	"systemd-sysctl.service", "systemd-sysusers.service", "systemd-tmpfiles-clean.timer", "systemd-tmpfiles-setup.service",
	"systemd-tmpfiles-setup-dev.service", "systemd-udev-trigger.service", "systemd-udevd.service", "systemd-udevd-control.socket",
	"systemd-udevd-kernel.socket", "systemd-update-done.service", "systemd-update-utmp.service", "systemd-update-utmp-runlevel.service",
	"systemd-user-sessions.service",
}

// payload is the place of Debian's files on the RAM disk.
const payload = "/payload"

// debian is a RAM disk that starts Debian with the shipped unit, which is not
// enabled, and the manifests.
func debian(t *testing.T, p Parts, manifests string) *Archive {
	t.Helper()
	a := ramDisk(t, p)
	a.Add("/init", 0o755, debianInit)
	for name, build := range map[string]func() (string, error){
		"/usr/local/bin/reconciler": built.daemon, "/srv/beacon": built.beacon, "/usr/bin/guest": built.guest,
	} {
		a.addBuilt(t, payload+name, build)
	}
	unit, err := os.ReadFile("../../manifests/systemd/reconciler.service")
	if err != nil {
		t.Fatal(err)
	}
	const units = payload + "/etc/systemd/system/"
	a.Add(units+"reconciler.service", 0o644, string(unit))
	a.Add(units+"guest.service", 0o644, guestUnit)
	a.Link(units+"sysinit.target.wants/guest.service", "../guest.service")
	for _, unit := range notNeeded {
		a.Link(units+unit, "/dev/null")
	}
	a.Link(units+"default.target", "/lib/systemd/system/multi-user.target")
	a.Add(payload+"/etc/machine-id", 0o644, strings.Repeat("5", 32)+"\n")
	a.Add(payload+"/etc/fstab", 0o644, "")
	a.Add(payload+"/etc/svc.d/services.yaml", 0o644, manifests)
	return a
}

// bootDebian boots it. The judge of what runs are the services' records.
func bootDebian(t *testing.T, p Parts, a *Archive) *guest {
	t.Helper()
	return boot(t, p, a, []Disk{{Path: p.root}}, "systemd.show_status=0",
		"systemctl status --no-pager -l reconciler", "journalctl --no-pager -o short-monotonic -n 120", "cat /records", "systemd-cgls --no-pager")
}
