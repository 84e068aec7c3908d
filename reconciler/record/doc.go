// Package record is what outlives the process: the lock on the state directory,
// and one record for each replica of what is known of it.
//
// A record is a file of its own, <state>/records/<replica>, that is replaced
// atomically. It is one line that names the format, its version, a checksum and
// the length, and then a line for each fact. Times in it are of CLOCK_MONOTONIC, so that a clock
// that is set changes no back-off and no grace; they mean nothing after a
// reboot, and neither does the rest: records of another boot are removed.
//
// Where replicas have cgroups, the same bytes are kept a second time as an
// extended attribute of the cgroup (see Options.Mark): they survive the removal
// of the state directory and a full disk.
package record
