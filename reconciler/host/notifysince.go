package host

import (
	"os"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
)

// sinceBoot is the time since boot, which nobody can set.
func sinceBoot() time.Duration {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) // it does not fail
	return time.Duration(now.Nano())
}

// stampSocket notes with the file of the socket when it was made, as time since boot:
// for the process images that go on with it. A file without counts as made just now.
func stampSocket(dir int, name string) time.Time {
	at := unix.NsecToTimespec(sinceBoot().Nanoseconds())
	_ = unix.UtimesNanoAt(dir, name, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW)
	return time.Now()
}

// madeAt is what stampSocket has noted.
func madeAt(file os.FileInfo) time.Time {
	ago := sinceBoot() - time.Duration(file.ModTime().UnixNano())
	return time.Now().Add(-max(ago, 0))
}

// unheard makes what is known of a run say that its watchdog was never fed, when it was
// fed over another socket than the present one: a program that has connected to that
// one cannot be heard any more, however well it is (unix(7)). The loop takes nobody for
// dead then who has not fed it since.
func (h *Host) unheard(i *reconciler.Instance) {
	if i.Life == nil || !i.Life.HeardAt.Before(h.notifier.since) {
		return
	}
	l := *i.Life
	l.HeardAt = time.Time{}
	i.Life = &l
}
