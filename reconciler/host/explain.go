package host

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
)

func failure(reason reconciler.Reason, format string, args ...any) *reconciler.Failure {
	return &reconciler.Failure{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

func explainPath(part, path string, err error) string {
	subject := part
	if part == path {
		subject = "it"
	}
	switch {
	case errors.Is(err, unix.ENOENT):
		if target, linkErr := os.Readlink(part); linkErr == nil {
			return fmt.Sprintf("%s is a link to %s, which does not exist", part, target)
		}
		if part == path {
			return "no such file or directory: " + path
		}
		return "no such directory: " + part
	case errors.Is(err, unix.ENOTDIR):
		return part + " is no directory"
	case errors.Is(err, unix.EACCES):
		return "no permission to enter " + subject
	}
	return subject + ": " + err.Error()
}

// explainExec says why execve of path failed.
func explainExec(path string, errno error) *reconciler.Failure {
	if f := explainResources("start "+path, errno); f != nil {
		return f
	}
	if f := examine(path); f != nil {
		return f
	}
	reason, why := reconciler.ReasonCommandNotRunnable, errno.Error()
	switch {
	case errors.Is(errno, unix.ENOEXEC):
		why = "it is neither a program for this machine nor a script with a #! line"
	case errors.Is(errno, unix.ETXTBSY):
		why = "it is open for writing (text file busy)"
	case errors.Is(errno, unix.E2BIG):
		reason, why = reconciler.ReasonStartFailed, "its arguments and environment are too large"
	case errors.Is(errno, unix.EACCES), errors.Is(errno, unix.EPERM):
		why += " (a security module, or an interpreter that may not be executed)"
	case errors.Is(errno, unix.ENOENT):
		why = "its interpreter does not exist"
	}
	return failure(reason, "cannot start %s: %s", path, why)
}

// explainResources explains errors that say that something has run out; nil is
// another error.
func explainResources(deed string, err error) *reconciler.Failure {
	why := ""
	switch {
	case errors.Is(err, unix.EAGAIN):
		why = "too many processes (rlimit nproc, pids.max of the cgroup, or kernel.pid_max)"
	case errors.Is(err, unix.ENOMEM):
		why = "out of memory"
	case errors.Is(err, unix.EMFILE):
		why = "the daemon has too many open files (rlimit nofile)"
	case errors.Is(err, unix.ENFILE):
		why = "the machine has too many open files (fs.file-max)"
	case errors.Is(err, unix.ENOSPC):
		why = "no space left (or, for a cgroup, cgroup.max.descendants)"
	case errors.Is(err, unix.EDQUOT):
		why = "the disk quota is used up"
	default:
		return nil
	}
	return failure(reconciler.ReasonResourcesExhausted, "cannot %s: %s", deed, why)
}
