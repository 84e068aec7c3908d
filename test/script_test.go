package test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"svc.d/test/world"
)

// TestScripts runs the end-to-end scripts: the real binary, real processes, a
// real directory. Commands of testscript and of ours are told apart by the list
// below; testdata/script/README says what ours do.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		WorkdirRoot:         built.folder, // which is removed as a whole
		Setup:               setUpScript,
		Condition:           scriptCondition,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"daemon":      cmdDaemon,
			"stop":        cmdStop,
			"reexec":      cmdReexec,
			"says":        cmdSays,
			"write":       cmdWrite,
			"await":       cmdAwait,
			"alive":       cmdAlive,
			"pids":        cmdPids,
			"equal":       cmdEqual,
			"recorded":    cmdRecorded,
			"signal":      cmdSignal,
			"touch":       cmdTouch,
			"burst":       cmdBurst,
			"copies":      cmdCopies,
			"lease":       cmdLease,
			"unlease":     cmdUnlease,
			"descriptors": cmdDescriptors,
			"besiege":     cmdBesiege,
			"relieve":     cmdRelieve,
		},
	})
}

// scene is what the commands of one script share.
type scene struct {
	folders
	services string // the folder that the services' programs lie in: how they are known
	records  string // what the beacons say of themselves
	daemon   *daemon
	leased   *os.File
	relieve  func() // ends the siege; nil: there is none
}

type sceneKey struct{}

func sceneOf(ts *testscript.TestScript) *scene { return ts.Value(sceneKey{}).(*scene) }

// running returns the scene's daemon, or ends the script.
func (s *scene) running(ts *testscript.TestScript) *daemon {
	if s.daemon == nil {
		ts.Fatalf("there is no daemon: start one with the command daemon")
	}
	return s.daemon
}

func setUpScript(env *testscript.Env) error {
	f := folders{env.WorkDir, env.WorkDir + "/manifests", env.WorkDir + "/state", env.WorkDir + "/logs"}
	s := &scene{folders: f, services: env.WorkDir + "/services", records: env.WorkDir + "/records"}
	binary, err := built.checked()
	if err != nil {
		return err
	}
	beacon, err := built.beacon()
	if err != nil {
		return err
	}
	if err := errors.Join(os.MkdirAll(f.manifests, 0o755), os.Mkdir(s.services, 0o755), os.WriteFile(s.records, nil, 0o666)); err != nil {
		return err
	}
	if err := os.Link(beacon, s.services+"/beacon"); err != nil {
		return err
	}
	env.Values[sceneKey{}] = s
	env.Setenv("PATH", filepath.Dir(binary)+":"+env.Getenv("PATH"))
	env.Setenv("RECONCILER_STATE_DIR", f.state)
	env.Setenv("DIR", f.manifests)
	env.Setenv("LOGS", f.logs)
	env.Setenv("STATE", f.state)
	env.Setenv("SERVICES", s.services)
	env.Setenv("RECORDS", s.records)
	env.Setenv("BEACON", s.services+"/beacon")
	env.Defer(func() { s.tearDown(env.T()) })
	return nil
}

// tearDown ends what the script left, and judges it: the daemon ends with code
// 0, which it does not when the race detector saw something, and nothing of the
// services is left.
func (s *scene) tearDown(t testscript.T) {
	if s.leased != nil {
		s.leased.Close()
	}
	if s.relieve != nil {
		s.relieve()
	}
	var failure error
	if s.daemon != nil {
		failure = s.daemon.terminate()
		text, err := os.ReadFile(s.daemon.log)
		t.Log("the daemon's log:\n" + string(text[max(0, len(text)-20_000):]))
		failure = errors.Join(failure, err)
	}
	left, err := world.Running(s.services)
	if len(left) > 0 {
		err = fmt.Errorf("left behind: %v", left)
	}
	if failure = errors.Join(failure, err); failure != nil {
		t.Fatal(failure)
	}
}

// scriptCondition knows [root] and [cgroups].
func scriptCondition(condition string) (bool, error) {
	switch condition {
	case "root":
		return os.Getuid() == 0, nil
	case "cgroups":
		refusal, err := built.cgroups()
		return refusal == "", err
	default:
		return false, fmt.Errorf("unknown condition %q", condition)
	}
}

// expand fills in a manifest: only names that are in capitals, so that $(NAME)
// and what a shell expands stay as they are.
func expand(ts *testscript.TestScript, text string, more ...string) string {
	pairs := more
	for _, name := range []string{"BEACON", "SERVICES", "RECORDS", "WORK", "DIR"} {
		pairs = append(pairs, "@"+name+"@", ts.Getenv(name))
	}
	return strings.NewReplacer(pairs...).Replace(text)
}
