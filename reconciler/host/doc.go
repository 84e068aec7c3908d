// Package host is the Linux machine: it spawns, waits for, signals and groups processes. It is the only place with process system calls.
package host
