// Package host is the Linux machine: it spawns, waits for, signals and groups
// processes. It is the only place with process system calls.
//
// Each replica has a cgroup of its own, into which its main process is cloned:
// whatever the service forks stays in it, and what lives in it is known and
// killed without looking at a process number twice. One epoll set holds a pidfd
// for each main process; one goroutine waits on it and reaps, by exact pidfd.
// Whatever may take long is done by a few workers.
//
// # The exec stage
//
// Go's fork keeps a P of the scheduler until the child has called execve, so a
// child that hangs before that (a chdir or an execve on a dead file server)
// stalls the garbage collector and with it the daemon. What lies on a remote
// file system is therefore started through the exec stage: our own executable,
// which is local, and which changes the directory and executes the program
// itself. The same stage sets what clone cannot: umask and resource limits. It
// also explains failures: a start that failed is tried once more through the
// stage, which knows which step failed and reports it. Plain services do not
// pay for it.
//
// # Commands beside a main process
//
// A hook or a probe is spawned as a main process is, into a group of its own below
// that of the replica ("web-0/_exec.7"), made new each time. So all that it leaves
// can be killed, the kill of the replica is its own too, and it is not taken for
// something that the main process has left. One goroutine waits for each that runs.
// What does not go after a kill holds up the next start of its replica, and nobody
// else.
//
// What a person runs there (entered.go) is no child of ours: the client asks for a
// group ("web-0/_enter.8"), joins it, takes on what its Entry tells, and becomes the
// command (enter.go). It ends as a probe does when the main process ends, but it outlives
// the daemon.
//
// # Threads that fork
//
// A fork copies the table of descriptors and the exec closes the copies, which
// with thousands of them costs more than all else in a start. Plain services are
// forked by threads with tables of their own (spawner.go), in which there is
// nothing but 0 to 2 and what Go's poller needs. A number of the process means
// nothing there, so such a thread opens by path what a child gets, and the
// child's pidfd is opened by who has asked, while nobody can reap the child. The
// probe and the exec stage are forked from the table of the process.
//
// # What services tell of themselves
//
// Services with notify: Systemd share one socket (notify.go). Whose a message is
// tells the cgroup of the process that has sent it, which the kernel names; without
// cgroups its session or its mark. What a main process says last is read before its
// end is told. The watcher gives messages an eighth of its time at most, and their
// senders wait for their turn (notifyflood.go).
//
// Descriptors that a service stores (fdstore.go) are given to its next run by the exec
// stage, because LISTEN_PID must be the number of the process itself; services without
// pay for none of it. What a service sends is never waited for: its descriptors are
// closed by somebody else when that may take long (closer.go), and are kept only when
// their closing cannot hang (fdkind.go). An execve closes what is not handed on, and
// waits for threads that hang in close(2): the host does not stand still meanwhile.
//
// # What Open changes in the process
//
// The file mode creation mask becomes 0022, the default of a service, so that
// plain services need no stage: create files with an explicit mode. Signals
// that were ignored (nohup) are caught and dropped instead, because a child
// would inherit that they are ignored. Descriptors that we inherited without
// close-on-exec get it.
package host
