package test

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files of testdata/why")

// asked is a question to a daemon, when to ask it, and its answer: the golden file
// is named by the sentence.
type asked struct {
	name string // as it is typed; empty is everything
	// phase and reason are what the service, or the replica, comes to; restarts is how
	// often it has ended by then.
	phase, reason string
	restarts      int64
}

// hopeless is a situation in which a service has its second end behind it.
func hopeless(name, reason string) asked { return asked{name, "CrashLoopBackOff", reason, 1} }

// situations are those that one daemon can be in at the same time.
var situations = map[string]asked{
	"a service that is well":                                 {"well", "Running", "", 0},
	"a replica that is well":                                 {"well-1", "Running", "", 0},
	"a service with replicas 0":                              {"zero", "Held", "ReplicasZero", 0},
	"a job that is done":                                     {"job-done", "Completed", "Completed", 0},
	"a job that failed":                                      {"job-failed", "Failed", "Exited", 0},
	"a service that ends again and again":                    hopeless("crashing", "Exited"),
	"the replica of a service that ends again and again":     hopeless("replicas/crashing-0", "Exited"),
	"a service that crashes":                                 hopeless("segfault", "Exited"),
	"a service that somebody kills":                          hopeless("sigkilled", "Exited"),
	"a service that a person has killed":                     {"shot", "Running", "", 1},
	"a service whose restart limit is reached":               {"limited", "Failed", "RestartLimitExceeded", 5},
	"a program that is not in PATH":                          {"no-binary", "Pending", "CommandNotFound", 0},
	"a program that does not exist":                          {"no-file", "Pending", "CommandNotFound", 0},
	"a program that may not be executed":                     {"no-permission", "Pending", "CommandNotRunnable", 0},
	"a user who does not exist":                              {"no-user", "Pending", "UserNotFound", 0},
	"a folder that does not exist":                           {"no-folder", "Pending", "WorkingDirInvalid", 0},
	"a file of envFrom that does not exist":                  {"no-env-file", "Pending", "EnvFileInvalid", 0},
	"a file of envFrom that is broken":                       {"bad-env-file", "Pending", "EnvFileInvalid", 0},
	"a readiness probe of a port that nobody listens on":     {"unready-tcp", "Running", "Unready", 0},
	"a readiness probe that says why":                        {"unready-exec", "Running", "Unready", 0},
	"a startup probe that has not succeeded yet":             {"starting-up", "Running", "NotStartedUp", 0},
	"a liveness probe that fails":                            hopeless("unhealthy", "Unhealthy"),
	"a program that does not tell that it is ready":          {"not-notified", "Running", "NotNotified", 0},
	"a program that has not written the line":                {"no-line", "Running", "NoReadyLine", 0},
	"an init command that runs":                              {"init-runs", "Pending", "Initializing", 0},
	"an init command that fails":                             {"init-fails", "CrashLoopBackOff", "InitFailed", 0},
	"a postStart hook that fails":                            {"post-start-fails", "CrashLoopBackOff", "PostStartFailed", 0},
	"a program that puts itself in the background":           {"daemonised", "CrashLoopBackOff", "Daemonized", 0},
	"a port that another service of ours has":                hopeless("port-taken", "Exited"),
	"a port that a stranger has":                             hopeless("port-of-a-stranger", "Exited"),
	"a port that nobody has any more":                        hopeless("port-is-free-now", "Exited"),
	"a service that waits for one that waits for one":        {"web", "Pending", "DependencyUnmet", 0},
	"a service that waits for one that ends again and again": {"api", "Pending", "DependencyUnmet", 0},
	"a service that waits for one that a person has stopped": {"for-held", "Pending", "DependencyUnmet", 0},
	"a service that waits for one that nobody declares":      {"for-nobody", "Pending", "DependencyUnknown", 0},
	"a service that waits for a job to be Ready":             {"for-completed", "Pending", "DependencyUnmet", 0},
	"a service that waits for one with replicas 0":           {"for-zero", "Pending", "DependencyUnmet", 0},
	"a service that a person has stopped":                    {"held", "Held", "Stopped", 0},
	"a service that a person has stopped for a while":        {"held-for-a-while", "Held", "Stopped", 0},
	"a service that does not obey the stop signal":           {"stubborn", "Terminating", "RestartRequested", 0},
	"a replacement that cannot start":                        {"blocked", "Running", "ReplacementBlocked", 0},
	"a replacement whose first one ends":                     hopeless("halted", "Exited"),
	"a replica that a halted replacement does not reach":     {"halted-2", "Running", "ReplacementHalted", 0},
	"a replacement that waits for the first one":             {"replaced", "Running", "NoReadyLine", 0},
	"a file in error while the last good version runs":       {"last-good", "Running", "", 0},
	"a name that nobody declares":                            {"cahce", "", "", 0},
	"a name that a file in error declares":                   {"new", "", "", 0},
	"a replica that there is not":                            {"well-7", "", "", 0},
	"everything":                                             {"", "", "", 0},
}

// edited are the manifests that come after all others run.
var edited = map[string]string{
	"blocked":   "{command: [/nowhere/bin/program], replicas: 2}",
	"halted":    "{command: [sh, -c, 'echo cannot read v2 of the schema; sleep 0.1; exit 1'], replicas: 3, minReadySeconds: 5, backoff: {initialDelay: 1h, maxDelay: 2h}}",
	"replaced":  "{command: [sh, -c, 'echo warming; exec sleep 1000005'], readyLogLine: '^ready', replicas: 3}",
	"last-good": "{comand: [sleep, '1000006']}",
	"for-held":  "{command: [sleep, infinity], dependsOn: [{name: held}]}",
	"new":       "{command: [sleep, infinity], replicas: many}",
}

// TestWhy has a daemon brought into each situation, and compares what it says of it
// with what is kept.
func TestWhy(t *testing.T) {
	t.Parallel()
	need(t, true, "sh", "setsid")
	if refusal, _ := built.cgroups(); refusal != "" {
		t.Skip("needs cgroups: ", refusal)
	}
	q := newQuestions(t)
	stranger, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	_, strange, _ := net.SplitHostPort(stranger.Addr().String())
	q.hide = append(q.hide, strange, "STRANGE", freePort(t), "PORT")
	text, err := os.ReadFile("testdata/why/services.yaml")
	if err != nil {
		t.Fatal(err)
	}
	manifests := map[string]string{}
	for line := range strings.Lines(strings.NewReplacer("@ROOT@", q.root, "@STRANGE@", strange, "@PORT@", q.hide[len(q.hide)-2]).Replace(string(text))) {
		if name, body, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && !strings.HasPrefix(line, "#") {
			manifests[name] = body
		}
	}
	q.writes(manifests)
	q.daemon = startDaemon(t, program(t, built.checked), q.folders)
	q.settles(t)
	if err := errors.Join(q.tell("stop", "held"), q.tell("stop", "held-for-a-while", "--for", "1h"), q.tell("restart", "stubborn"), q.tell("kill", "-s", "KILL", "shot")); err != nil {
		t.Fatal(err)
	}
	q.writes(edited)
	if err := await(func() error { return q.is(hopeless("halted", "Exited")) }); err != nil { // another row looks at it, too
		t.Fatal(err)
	}
	for sentence, one := range situations {
		t.Run(sentence, func(t *testing.T) { q.ask(t, sentence, one) })
	}
	t.Run("everything", func(t *testing.T) { q.ask(t, "everything", asked{}) }) // when all have come to rest
	// It would have an hour to end; a second signal does not wait.
	if err := errors.Join(q.daemon.command.Process.Signal(syscall.SIGTERM),
		await(func() error { return q.is(asked{"well", "Terminating", "ShuttingDown", 0}) })); err != nil {
		t.Error(err)
	}
}

// questions are a daemon, and what differs in its answers from run to run.
type questions struct {
	folders
	daemon *daemon
	hide   []string // for strings.NewReplacer
}

func newQuestions(t *testing.T) *questions {
	t.Helper()
	q := &questions{folders: newFolders(t)}
	if err := errors.Join(
		os.Link(program(t, built.beacon), q.root+"/beacon"), os.WriteFile(q.root+"/records", nil, 0o666),
		os.WriteFile(q.root+"/bad.env", []byte("GOOD=1\nBAD LINE\n"), 0o644),
	); err != nil {
		t.Fatal(err)
	}
	q.hide = []string{q.root, "$ROOT"}
	return q
}

// writes declares services, each in a file of its name.
func (q *questions) writes(specs map[string]string) {
	for name, body := range specs {
		text := fmt.Sprintf("apiVersion: svc.d/v1\nkind: Service\nmetadata: {name: %s}\nspec: %s\n", name, body)
		if err := q.declare(name+".yaml", text); err != nil {
			panic(err)
		}
	}
}

// settles waits until those run that are to be told something, or edited.
func (q *questions) settles(t *testing.T) {
	t.Helper()
	if err := await(func() error {
		services, err := q.daemon.services()
		for _, name := range []string{"held", "held-for-a-while", "stubborn", "blocked", "halted", "replaced", "last-good"} {
			if s := services[name].Status; err == nil && (s.ReadyReplicas == 0 || s.ReadyReplicas < s.DesiredReplicas) {
				err = fmt.Errorf("%s is not ready: %+v", name, s)
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func (q *questions) tell(arguments ...string) error {
	_, err := q.daemon.client(arguments...)
	return err
}

// ask waits until it is so, asks why, and compares with what is kept.
func (q *questions) ask(t *testing.T, sentence string, one asked) {
	t.Helper()
	path := filepath.Join("testdata/why", strings.ReplaceAll(sentence, " ", "-")+".golden")
	if one.phase != "" {
		if err := await(func() error { return q.is(one) }); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(path)
	if *update {
		if err := os.WriteFile(path, []byte(q.why(t, one.name)), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := await(func() error {
		if difference := cmp.Diff(string(kept), q.why(t, one.name)); difference != "" {
			return errors.New("(-want +got)\n" + difference)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// is reports whether a service or replica has come to what is told of it.
func (q *questions) is(one asked) error {
	services, err := q.daemon.services()
	if err != nil {
		return err
	}
	name := strings.TrimPrefix(one.name, "replicas/")
	for _, s := range services {
		for _, r := range s.Status.ReplicaStatuses {
			if r.Name == name && (r.Phase != one.phase || r.Reason != one.reason || r.RestartCount < one.restarts) {
				return fmt.Errorf("%+v", r)
			}
		}
		if s.Metadata.Name == name && (s.Status.Phase != one.phase || s.Status.Reason != one.reason ||
			one.restarts > 0 && s.Status.ReplicaStatuses[0].RestartCount < one.restarts) {
			return fmt.Errorf("%+v", s)
		}
	}
	return nil
}

const (
	screenWidth  = 100
	screenHeight = 24
	textColumn   = 11
)

// why is the command's answer, without what differs from run to run.
func (q *questions) why(t *testing.T, name string) string {
	t.Helper()
	arguments := []string{"why", "--state-dir", q.state}
	if name != "" {
		arguments = append(arguments, name)
	}
	command := exec.Command(program(t, built.checked), arguments...)
	command.Env = append(os.Environ(), "TZ=UTC")
	output, err := command.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimRight(string(output), "\n"), "\n")
	if len(lines) > screenHeight {
		t.Errorf("%d lines do not fit on a screen:\n%s", len(lines), output)
	}
	for _, line := range lines {
		// A path is not broken, so that it can be copied.
		if n := len([]rune(line)); n > screenWidth && strings.Contains(strings.TrimSpace(line), " ") && !strings.HasPrefix(line, "error: ") {
			t.Errorf("%d columns do not fit on a screen: %s", n, line)
		}
	}
	text := strings.Join(unfolded(lines), "\n") + "\n"
	if exit != nil {
		text += fmt.Sprintf("--- exit code %d\n", exit.ExitCode())
	}
	return hidden(text, q.hide)
}

// unfolded takes the breaks from texts that were too long for a line: what follows
// is three columns in, where nothing else begins.
func unfolded(lines []string) []string {
	var whole []string
	for _, line := range lines {
		indent := len(line) - len(strings.TrimLeft(line, " "))
		if n := len(whole); n > 0 && (indent == 3 || indent > textColumn && (indent-textColumn)%2 == 1) {
			whole[n-1] += " " + line[indent:]
			continue
		}
		whole = append(whole, line)
	}
	return whole
}

// varying are what differs from run to run, and what stands for it.
var varying = []struct{ pattern, text string }{
	{`(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d`, "TIME"},
	{`\b(\d+(\.\d+)?(ms|µs|[dhms]))+\b`, "SOME"},
	{`\bpid \d+(, state [A-Z])?(, in \w+)?`, "pid PID"},
	{"`\\$ROOT[^`]*`", "`$$ROOT...`"},
	{`the daemon did not send that SIGKILL.*`, "the daemon did not send that SIGKILL (and what the kernel knows)"},
	// Which of those comes first that have as long.
	{`processes of [a-e]-0`, "processes of ONE-0"},
	// A line that is cut is cut elsewhere when what stands in it is longer.
	{`(?m)^(.{60}).*\.\.\.$`, "$1..."},
}

func hidden(text string, hide []string) string {
	text = strings.NewReplacer(hide...).Replace(text)
	for _, v := range varying {
		text = regexp.MustCompile(v.pattern).ReplaceAllString(text, v.text)
	}
	return text
}

// TestWhyOfADaemonInTrouble follows one daemon through what may become of it.
func TestWhyOfADaemonInTrouble(t *testing.T) {
	t.Parallel()
	w := newTorture(t, built.checked, true)
	q := &questions{folders: w.folders, hide: []string{w.root, "$ROOT"}}
	tells := func(sentence, name string) {
		t.Helper()
		q.daemon = w.daemon
		q.ask(t, sentence, asked{name: name})
	}
	conditionComes := func(condition string) {
		t.Helper()
		if err := await(func() error { return w.daemon.conditionIs(condition, "") }); err != nil {
			t.Fatal(err)
		}
	}
	tells("no daemon ever", "")

	for _, name := range []string{"a", "b", "c", "d", "e"} {
		w.declares(name, 1, []string{"terminationGracePeriodSeconds: 3600"}, "-ignore-term")
	}
	w.start()
	pids := w.rests(anyPid("a-0", "b-0", "c-0", "d-0", "e-0"))
	tells("all is well", "")
	for _, name := range []string{"a", "b", "c"} {
		if err := os.Rename(w.manifests+"/"+name+".yaml", w.root+"/"+name+".yaml"); err != nil {
			t.Fatal(err)
		}
	}
	conditionComes("PruneHeld")
	tells("a removal of most services", "")
	tells("a service whose removal is held", "a")
	for _, name := range []string{"a", "b", "c"} {
		if err := os.Rename(w.root+"/"+name+".yaml", w.manifests+"/"+name+".yaml"); err != nil {
			t.Fatal(err)
		}
	}

	w.written(pids, false)
	w.kill9()
	w.unmark(pids["a-0"])
	if err := errors.Join(os.WriteFile(w.record("a-0"), []byte("rubbish"), 0o600), syscall.Kill(pids["b-0"], syscall.SIGKILL),
		await(w.exactly(same(pids, "a-0", "c-0", "d-0", "e-0")))); err != nil {
		t.Fatal(err)
	}
	tells("a daemon that was killed", "")
	w.start()
	w.settles(joined(same(pids, "a-0", "c-0", "d-0", "e-0"), anyPid("b-0")))
	q.daemon = w.daemon
	q.ask(t, "a record that cannot be read", asked{"a", "Held", "RecordUnreadable", 0})

	if err := w.daemon.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := await(func() error { return q.is(asked{"e", "Terminating", "ShuttingDown", 0}) }); err != nil {
		t.Fatal(err)
	}
	tells("a daemon that is shutting down", "")
	tells("a service of a daemon that is shutting down", "e")
	if err := w.daemon.terminate(); err != nil { // the second signal does not wait
		t.Error(err)
	}
	w.daemon = nil
	tells("a daemon that has ended", "")
	for name := range pids { // or they would be started once more, to be judged
		if err := os.Remove(w.manifests + "/" + strings.TrimSuffix(name, "-0") + ".yaml"); err != nil {
			t.Error(err)
		}
	}
}
