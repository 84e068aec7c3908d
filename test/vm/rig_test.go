package vm

import (
	"os"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAnArchiveIsWhatCpioReads(t *testing.T) {
	if _, err := exec.LookPath("cpio"); err != nil {
		t.Skip("cpio is not installed")
	}
	var a Archive
	a.Add("/etc/x/file", 0o644, "text\n")
	a.Add("/etc/x/file", 0o600, "newer\n")
	a.Link("/bin/sh", "busybox")
	folder := t.TempDir()
	file := folder + "/archive"
	if err := os.WriteFile(file, a.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	output, err := exec.Command("cpio", "-i", "--list", "--quiet", "-F", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	if difference := cmp.Diff("etc\netc/x\netc/x/file\nbin\nbin/sh\n", string(output)); difference != "" {
		t.Errorf("names (-want +got):\n%s", difference)
	}
	command := exec.Command("cpio", "-i", "-d", "--quiet", "-F", file, "etc/x/file")
	command.Dir = folder
	if err := command.Run(); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(folder + "/etc/x/file"); err != nil || string(text) != "newer\n" {
		t.Errorf("content: %q, %v", text, err)
	}
}

// bare is an /init that does nothing but talk.
const bare = `#!/bin/sh
. /lib/start
exec init
`

func TestAGuestObeysRebootsAndSwitchesItselfOff(t *testing.T) {
	p := parts(t, FindParts)
	a := ramDisk(t, p)
	a.Add("/init", 0o755, bare)
	a.Add("/etc/inittab", 0o644, "::respawn:/bin/guest\n")
	g := boot(t, p, a, nil, "")
	if got := g.sh("echo one; echo two >&2"); got != "one\ntwo" {
		t.Errorf("printed %q", got)
	}
	if _, err := g.Run("exit 3"); err == nil {
		t.Error("a command that failed is no error")
	}
	g.sh("sleep 100 & touch /later; (sleep 1; touch /now) &")
	g.await("test -e /now")
	if err := g.Tell("reboot -f"); err != nil {
		t.Error(err)
	}
	g.reboots()
	if err := g.Tell("poweroff -f"); err != nil {
		t.Error(err)
	}
	g.off()
}
