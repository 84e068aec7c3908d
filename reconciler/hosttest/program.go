package hosttest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"svc.d/reconciler"
	"svc.d/spec"
)

// Program names a way for a program to behave. Each world has its own programs
// of that behaviour: Shell has real ones, Scripted simulated ones.
type Program string

// The programs. A number, where one is used, stands in Program after a space:
// see Exits.
const (
	Runs            Program = "runs"              // until a signal ends it
	IgnoresTerm     Program = "ignores-term"      // until SIGKILL
	AnswersTerm     Program = "answers-term"      // exits 3 when it gets SIGTERM
	RunsWithChild   Program = "runs-with-child"   // as Runs, with a child that outlives it
	LeavesChild     Program = "leaves-child"      // exits 7, leaving a child that obeys SIGTERM
	LeavesStubborn  Program = "leaves-stubborn"   // exits 7, leaving a child that ignores SIGTERM
	LeavesMany      Program = "leaves-many"       // exits 7, leaving 40 children
	Daemonizes      Program = "daemonizes"        // exits 0, leaving a child in a session of its own
	Missing         Program = "missing"           // a path where nothing is
	MissingInPath   Program = "missing-in-path"   // a name that PATH does not find
	NotExecutable   Program = "not-executable"    // a file without execute permission
	NoInterpreter   Program = "no-interpreter"    // a script whose interpreter is missing
	NotAnExecutable Program = "not-an-executable" // execute permission, but no format that runs
)

// Exits is a program that exits with code at once.
func Exits(code int) Program { return Program("exits " + strconv.Itoa(code)) }

// Dies is a program that dies of sig at once.
func Dies(sig syscall.Signal) Program { return Program("dies " + strconv.Itoa(int(sig))) }

// kind splits a program into its name and its number.
func (p Program) kind() (Program, int) {
	name, number, found := strings.Cut(string(p), " ")
	if !found {
		return p, 0
	}
	n, err := strconv.Atoi(number)
	if err != nil {
		panic(fmt.Sprintf("hosttest: no such program: %q", p))
	}
	return Program(name), n
}

// awaited tells by which names the processes of a program are known when it is
// ready for signals. Only programs that need time to get ready have some.
func (p Program) awaited() []string {
	switch p {
	case Runs, IgnoresTerm, AnswersTerm:
		return []string{"sleep"}
	case RunsWithChild:
		return []string{"sleep", "sleep"}
	default:
		return nil
	}
}

// Shell returns commands of the real world. They need /bin/sh, sleep and
// setsid, which every Debian has.
func Shell(t testing.TB, p Program) []string {
	t.Helper()
	sh := func(script string) []string { return []string{"/bin/sh", "-c", script} }
	kind, n := p.kind()
	switch kind {
	case "exits":
		return sh("exit " + strconv.Itoa(n))
	case "dies":
		return sh("kill -" + strconv.Itoa(n) + " $$$$") // a manifest's $$ is one $
	case Runs:
		return []string{"sleep", "1000000"}
	case IgnoresTerm:
		return sh(`trap "" TERM; exec sleep 1000000`)
	case AnswersTerm:
		return sh(`trap 'kill $!; wait $!; exit 3' TERM; sleep 1000000 & wait $!`)
	case RunsWithChild:
		return sh("sleep 1000000 & exec sleep 1000000")
	case LeavesChild:
		return sh("sleep 1000000 & exit 7")
	case LeavesStubborn:
		return sh(`trap "" TERM; sleep 1000000 & exit 7`)
	case LeavesMany:
		return sh("i=0; while [ $i -lt 40 ]; do sleep 1000000 & i=$((i+1)); done; exit 7")
	case Daemonizes:
		return sh("setsid sleep 1000000 & exit 0")
	case Missing:
		return []string{"/nonexistent/program"}
	case MissingInPath:
		return []string{"no-such-program-anywhere"}
	case NotExecutable:
		return []string{writeFile(t, "plain", "#!/bin/sh\n", 0o644)}
	case NoInterpreter:
		return []string{writeFile(t, "script", "#!/nonexistent/interpreter\n", 0o755)}
	case NotAnExecutable:
		return []string{writeFile(t, "junk", "\x00\x01\x02\x03junk", 0o755)}
	}
	t.Fatalf("no such program: %q", p)
	return nil
}

func writeFile(t testing.TB, name, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	return path
}

// Scripted returns commands that ScriptedBehaviour understands.
func Scripted(_ testing.TB, p Program) []string { return []string{"scripted", string(p)} }

// ScriptedBehaviour is the Script of a machine on which Scripted programs run.
// A working directory, user or environment file by the name of
// Nonexistent is missing there, as it is in the real world.
func ScriptedBehaviour(w reconciler.Work) Behaviour {
	if f := missing(w.Service); f != nil {
		return Behaviour{Fails: f}
	}
	command := w.Service.Spec.Command
	switch {
	case w.Verb == reconciler.VerbHook:
		command = w.Hook.Command(&w.Service.Spec)
	case w.Verb == reconciler.VerbStart && w.Init > 0:
		command = initCommand(w.Service.Spec.Init[w.Init-1])
	case w.Verb == reconciler.VerbCheck:
		for _, init := range w.Service.Spec.Init {
			if b := scripted(Program(initCommand(init)[1])); b.Fails != nil {
				return b
			}
		}
	}
	return scripted(Program(command[1]))
}

func initCommand(i spec.Init) []string {
	return append(i.Command[:len(i.Command):len(i.Command)], i.Args...)
}

// scripted is how a program goes.
func scripted(p Program) Behaviour {
	kind, n := p.kind()
	switch kind {
	case "exits":
		return ends(reconciler.Exit{Code: int32(n)})
	case "dies":
		return ends(reconciler.Exit{Signal: syscall.Signal(n)})
	case Runs:
		return Behaviour{Main: Temper{Shown: "sleep"}}
	case IgnoresTerm:
		return Behaviour{Main: Temper{Shown: "sleep", Ignores: true}}
	case AnswersTerm:
		return Behaviour{Main: Temper{Shown: "sleep", Answers: true, Last: reconciler.Exit{Code: 3}}}
	case RunsWithChild:
		return Behaviour{Main: Temper{Shown: "sleep"}, Children: children(1, Temper{Shown: "sleep"})}
	case LeavesChild:
		return ends(reconciler.Exit{Code: 7}, children(1, Temper{Shown: "sleep"})...)
	case LeavesStubborn:
		return ends(reconciler.Exit{Code: 7}, children(1, Temper{Shown: "sleep", Ignores: true})...)
	case LeavesMany:
		return ends(reconciler.Exit{Code: 7}, children(40, Temper{Shown: "sleep"})...)
	case Daemonizes:
		return ends(reconciler.Exit{}, children(1, Temper{Shown: "sleep"})...)
	case Missing, MissingInPath:
		return fails(reconciler.ReasonCommandNotFound)
	case NotExecutable, NoInterpreter, NotAnExecutable:
		return fails(reconciler.ReasonCommandNotRunnable)
	}
	panic(fmt.Sprintf("hosttest: no such program: %q", p))
}

// Nonexistent is a path, and NobodyHere a user, that must not exist.
const (
	Nonexistent = "/nonexistent/path"
	NobodyHere  = "no-such-user-here"
)

func missing(s *spec.Service) *reconciler.Failure {
	if s.Spec.WorkingDir == Nonexistent {
		return fails(reconciler.ReasonWorkingDirInvalid).Fails
	}
	if s.Spec.SecurityContext.RunAsUser == NobodyHere {
		return fails(reconciler.ReasonUserNotFound).Fails
	}
	for _, e := range s.Spec.EnvFrom {
		if e.File == Nonexistent && !e.Optional {
			return fails(reconciler.ReasonEnvFileInvalid).Fails
		}
	}
	return nil
}

func ends(exit reconciler.Exit, left ...Child) Behaviour {
	return Behaviour{Ends: true, Exit: exit, Main: Temper{Shown: "sh"}, Children: left}
}

func fails(reason reconciler.Reason) Behaviour {
	return Behaviour{Fails: &reconciler.Failure{Reason: reason, Message: "cannot start it: the script says so"}}
}

func children(n int, t Temper) []Child {
	out := make([]Child, n)
	for i := range out {
		out[i].Temper = t
	}
	return out
}
