package main

import (
	"fmt"
	"os"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// notifier tells the service manager that started us how we are (sd_notify(3)).
// Without one it tells nobody. Its methods do not block, but for now.
type notifier struct {
	states chan string
	// watchdog is how often we must show that we live; 0 is never.
	watchdog time.Duration
}

func newNotifier() *notifier {
	n := &notifier{states: make(chan string, 16)}
	// An error is a variable that makes no sense; then nobody waits for us.
	n.watchdog, _ = systemd.SdWatchdogEnabled(false)
	go func() {
		for state := range n.states {
			n.now(state)
		}
	}()
	return n
}

// now tells at once, and waits until it is told.
func (n *notifier) now(state string) { _, _ = systemd.SdNotify(false, state) }

// notifyWith tells a state, with descriptors that the manager is to keep, at once or
// not at all.
func notifyWith(state string, fds ...int) error {
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer closeFD(socket)
	if err := unix.Connect(socket, &unix.SockaddrUnix{Name: os.Getenv("NOTIFY_SOCKET")}); err != nil {
		return err
	}
	return send(socket, state, fds...)
}

// tell has a state told soon. A manager that does not listen misses some.
func (n *notifier) tell(state string) {
	select {
	case n.states <- state:
	default:
	}
}

func (n *notifier) ready(services int) {
	n.tell(fmt.Sprintf("%s\nSTATUS=Supervising %s", systemd.SdNotifyReady, count(services, "service")))
}

// reloading must be told before the re-exec and with the time
// (systemd.service(5), Type=notify-reload).
func (n *notifier) reloading() {
	n.now(fmt.Sprintf("%s\nMONOTONIC_USEC=%d\nSTATUS=Executing itself anew", systemd.SdNotifyReloading, monotonic()/1000))
}

func (n *notifier) stopping(why string) {
	n.tell(systemd.SdNotifyStopping + "\nSTATUS=" + why)
}

func (n *notifier) status(text string) { n.tell("STATUS=" + text) }

// heartbeat is how often the loop is to call beat: twice as often as is asked for.
func (n *notifier) heartbeat() time.Duration { return n.watchdog / 2 }

func (n *notifier) beat() { n.tell(systemd.SdNotifyWatchdog) }
