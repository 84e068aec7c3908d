package host

import (
	"os"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
)

// CrashEnv is the variable of the environment by which tests ask for a crash.
const CrashEnv = "RECONCILER_CRASH_AT"

// The steps of the host.
const (
	StepSpawnAsked reconciler.Step = "spawn-asked" // the next is to fork
	StepCloned     reconciler.Step = "cloned"      // the child has not executed its program (exec stage only)
	StepExeced     reconciler.Step = "execed"      // the program runs, and nobody was told
	StepExitReaped reconciler.Step = "exit-reaped" // an exit was taken from the kernel, and nobody was told
)

// Crash ends the daemon as kill -9 does.
func Crash() {
	_ = unix.Kill(unix.Getpid(), unix.SIGKILL)
	select {} // until it has arrived
}

// crashCloned ends the daemon from its child, before the child's exec.
func crashCloned() {
	if os.Getenv(CrashEnv) == string(StepCloned) {
		_ = unix.Kill(unix.Getppid(), unix.SIGKILL)
	}
}

func (h *Host) at(s reconciler.Step) {
	if h.step != nil {
		h.step(s)
	}
}

// stageEnv is the environment of an exec stage: nothing but what a test asks for.
func (h *Host) stageEnv() []string {
	if h.step == nil {
		return []string{}
	}
	return []string{CrashEnv + "=" + os.Getenv(CrashEnv)}
}
