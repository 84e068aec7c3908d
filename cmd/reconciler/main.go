// Command reconciler runs what the manifests in a directory declare, keeps it
// running, and follows every edit. `reconciler --dir DIR` is the daemon; the
// other commands ask or tell a daemon that runs.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"svc.d/reconciler/host"
	"svc.d/status"
)

func main() {
	// The host runs this program once more to set up a process before its exec.
	// That must come first: nothing else may happen in such a process.
	if host.IsExecStage() {
		host.RunExecStage()
	}
	caught := catchEarly()
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, env: os.Getenv, now: time.Now, caught: caught, enter: enter, settle: settlePatience, patience: answerPatience, editor: openEditor, sample: topSample}
	os.Exit(a.run(context.Background(), os.Args[1:]))
}

// settlePatience is far above what the daemon takes for a new manifest.
const settlePatience = 5 * time.Second

// answerPatience is far above what the daemon takes for an answer.
const answerPatience = 5 * time.Second

// app is one run of the program: what it may touch of the process.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            func(string) string
	now            func() time.Time
	stateDir       string // of the flag; see dirs
	// caught are the signals since this process image began, when it has taken
	// over from another one.
	caught chan os.Signal
	// trial has the daemon understand its flags, fill this in, and do nothing.
	trial *daemonConfig
	// enter replaces this process by a command beside a replica (host.Enter).
	enter func(plan *status.ExecPlan, argv []string) error
	// editor has a person edit a file.
	editor func(editor, path string) error
	// meter measures what replicas use, sample is how long for a single picture.
	meter  *meter
	sample time.Duration
	// patience is what a daemon has at least to answer, however short a wait is to be.
	patience time.Duration
	// settle is how long the daemon has to take up what was written.
	settle time.Duration
}

// exit is an error with an exit code of its own. An empty one has been reported.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// run carries out the command line and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	code := 1
	var coded *exit
	if errors.As(err, &coded) {
		code, err = coded.code, coded.err
	}
	if err != nil && strings.HasPrefix(err.Error(), "unknown command ") && !strings.Contains(err.Error(), "\n") {
		err = fmt.Errorf("%w; `reconciler --help` lists them", err) // cobra had none to suggest
	}
	if err != nil {
		fmt.Fprintln(a.stderr, "error: "+status.Shown(err.Error()))
	}
	return code
}
