package test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// step is what a line of README's first five minutes leads to. The patterns are for
// text in which every run of white space is one blank; a group with a name notes the
// number of a process, and @NAME stands for one that was noted.
type step struct {
	shown []string // by the terminal that the line is typed in
	first []string // by the first terminal, in which the daemon runs
	// pid says whose number stands for PID in the line.
	pid string
	// asks says that the line only asks: it is typed again until the answer is right.
	asks bool
	// paste has the manifest pasted that the first terminal shows.
	paste bool
	// daemon says that the line goes on as long as the daemon runs.
	daemon bool
}

const (
	typo  = `/svc\.d/hello\.yaml:6:3: spec\.comand: unknown field, did you mean "command"\?`
	runOn = `hello keeps running \(pid @hello, \d\w*\)`
)

// minutes are the steps by the words that stand behind the lines.
var minutes = map[string]step{
	"In an empty folder, in a first terminal:": {},
	"no such directory yet: it prints a manifest to begin with": {daemon: true, shown: []string{
		`This directory does not exist yet: \S+/svc\.d Paste this`, `Started daemon dir=\S+/svc\.d .*pid=(?P<daemon>\d+) .*adopted=0\b`}},
	"In a second terminal, in the same folder: paste it, from mkdir to EOF.": {paste: true,
		first: []string{`Started process replica=hello-0 pid=(?P<hello>\d+) `}},
	"NAME  READY  STATUS  RESTARTS  AGE": {asks: true, shown: []string{`NAME READY STATUS RESTARTS AGE hello 1/1 Running 0 `}},
	"all about it: processes, exits, reasons, events": {asks: true, shown: []string{
		`Name: hello .*Pid: @hello .*Ready: yes.* Events: .*Started`}},
	"a typo: the first terminal tells where, and that hello runs on": {first: []string{
		`Manifest has an error service=hello: \S+` + typo + `; ` + runOn}},
	`so does this: "did you mean", and hello keeps running`: {asks: true, shown: []string{
		`hello 1/1 Running 0 \w+ .*\S+` + typo + ` ` + runOn + `; in error since .* ago\)`}},
	"mended: hello is not restarted": {first: []string{`Manifest was mended file=\S+/svc\.d/hello\.yaml`}},
	"the one that describe shows: back at once": {pid: "hello", first: []string{
		`Process ended replica=hello-0 pid=@hello exitCode=137 .*Started process replica=hello-0 pid=(?P<hello>\d+) `}},
	"what has happened to it, and what happens next": {asks: true, shown: []string{
		`hello is as declared: 1 of 1 replicas ready\. .*pid @hello, restarted 1 time .*Exits: .*SIGKILL \(137\) .*Next: nothing until its manifest changes`}},
	"the same, as a list": {asks: true, shown: []string{
		`LAST SEEN TYPE REASON OBJECT MESSAGE .*ManifestInvalid .*` + typo, `ManifestMended`, `Exited Replica/hello-0 was killed by SIGKILL`}},
	"what it has written": {asks: true, shown: []string{`\d\d:\d\d:\d\d .*\d\d:\d\d:\d\d .*\$$`}},
	"an edit replaces it, and this one is no good": {first: []string{
		`Service edited service=hello file=\S+ fields=spec\.args\[0\] .*Process ended replica=hello-0 pid=\d+ exitCode=3 asked=false`}},
	"a crash loop: since when, the exits, the next start": {asks: true, shown: []string{
		`hello is not as declared: CrashLoopBackOff \(Exited\)\. .*Observed: hello-0: CrashLoopBackOff \(Exited\) since .*Exits: .*exit code 3 after .*` +
			`Next: .*hello-0 is started again, after a back-off of `}},
	"another try at once, whatever the back-off was": {first: []string{
		`Service edited .*Started process replica=hello-0 pid=(?P<hello>\d+) `}},
	"two more start; the one is not touched": {first: []string{
		`Started process replica=hello-1 `, `Started process replica=hello-2 `}},
	"with your $EDITOR; shows what the edit does: the third one ends": {
		shown: []string{`spec\.replicas: 3 -> 2 .*service\.svc\.d/hello configured`},
		first: []string{`Process ended replica=hello-2 `}},
	"a person's stop beats the file": {
		shown: []string{"hello is held until `reconciler start hello`"},
		first: []string{`Process ended replica=hello-0 pid=@hello `, `Process ended replica=hello-1 `}},
	"until a person's start": {
		shown: []string{`hello is not held any more`},
		first: []string{`Started process replica=hello-0 pid=(?P<hello>\d+) `, `Started process replica=hello-1 pid=(?P<other>\d+) `}},
	"stands for a new build":                 {},
	"would it restart anything?":             {shown: []string{`Nothing would be restarted or stopped\.`}},
	"put into place; the old one still runs": {},
	"In the first terminal:":                 {},
	"the daemon leaves, its services run on": {shown: []string{`Leaving; services run on .*Stopped daemon \$$`}},
	"the new one takes them over: adopted=2": {daemon: true, shown: []string{`Started daemon .* pid=(?P<daemon>\d+) .*adopted=2\b`}},
	"In the second one:":                     {},
	"the daemon's own, from its first line":  {pid: "daemon", first: []string{`\$$`}},
	"no daemon answers; what is alive nevertheless": {asks: true, shown: []string{
		`No daemon answers: .*Alive: unsupervised: hello-0 \(pid @hello\), hello-1 \(pid @other\) Next: nothing until a daemon is started`}},
	"In the first one again:":                        {},
	"its services have not noticed: adopted=2 again": {daemon: true, shown: []string{`Started daemon .*adopted=2\b`}},
	"In the second one again:":                       {},
	"the same processes, no restart":                 {asks: true, shown: []string{`hello-0 1/1 Running 0 \w+ @hello .*hello-1 1/1 Running 0 \w+ @other `}},
	"writes svc.d/clock.yaml": {
		shown: []string{`service\.svc\.d/clock created`},
		first: []string{`Started process replica=clock-0 `}},
	"stopped, a second later": {first: []string{
		`Service removed service=hello `, `Process ended replica=hello-0 pid=@hello `, `Process ended replica=hello-1 pid=@other `}},
	"At last, in the first one:": {},
	"stops everything, in order": {shown: []string{
		`Received signal signal=SIGINT .*Process ended replica=clock-0 .*Stopped daemon \$$`}},
}

// TestTheFirstFiveMinutes types what README says into two terminals.
func TestTheFirstFiveMinutes(t *testing.T) {
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("needs the Debian package tmux")
	}
	t.Parallel()
	w := newWalk(t)
	at, seen := 0, map[string]bool{}
	for _, line := range readMinutes(t) {
		command, words := strings.TrimSpace(line), ""
		if n := strings.LastIndex(line, "# "); n >= 0 {
			command, words = strings.TrimSpace(line[:n]), line[n+len("# "):]
		}
		s, known := minutes[words]
		if !known || seen[words] {
			t.Fatalf("README says %q, of which this test does not know what it leads to, or which it has seen already", line)
		}
		seen[words] = true
		switch {
		case command != "":
		case strings.Contains(words, "second"):
			at = 1
		default:
			at = 0
		}
		if err := w.take(at, line, command, s); err != nil {
			t.Fatalf("%q: %v\nthe first terminal shows\n%s\n\nthe second one\n%s", line, err, w.terminals[0].text(), w.terminals[1].text())
		}
	}
	for words := range minutes {
		if !seen[words] {
			t.Errorf("README does not say %q any more", words)
		}
	}
	if err := await(w.nothingRuns); err != nil {
		t.Error("left behind:", err)
	}
}

// readMinutes returns the lines that README has a new user type.
func readMinutes(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "## The first five minutes\n")
	_, section, _ = strings.Cut(section, "```sh\n")
	section, _, found := strings.Cut(section, "\n```\n")
	if !found {
		t.Fatal("README has no first five minutes")
	}
	return strings.Split(section, "\n")
}

// walk is a person at two terminals.
type walk struct {
	folders
	terminals [2]*terminal
	noted     map[string]string // numbers of processes
}

// newWalk opens the terminals: a server of their own, with a shell in each, in an
// empty folder, that finds the program in its PATH.
func newWalk(t *testing.T) *walk {
	w := &walk{folders: newFolders(t), noted: map[string]string{}}
	bin, home, empty := w.root+"/bin", w.root+"/home", w.root+"/empty"
	for _, folder := range []string{bin, home, empty} {
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(program(t, built.checked))
	if err != nil {
		t.Fatal(err)
	}
	// Where the output goes is the one thing that nothing but a flag can say: as root
	// it would be the machine's own /var/log.
	rc := fmt.Sprintf("PS1='$ '\nreconciler() {\n\tif [ \"$1\" = --dir ]; then set -- \"$@\" --log-dir '%s'; fi\n\tcommand reconciler \"$@\"\n}\n", w.logs)
	if err := errors.Join(os.WriteFile(bin+"/reconciler", text, 0o755), os.WriteFile(home+"/rc", []byte(rc), 0o644)); err != nil {
		t.Fatal(err)
	}
	environment := []string{
		"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + home, "SHELL=/bin/sh", "LC_ALL=C.UTF-8", "TERM=screen",
		"RECONCILER_STATE_DIR=" + w.state, "TMUX_TMPDIR=" + w.root, "GORACE=" + os.Getenv("GORACE"),
	}
	serve(t, w.folders, environment)
	for n := range w.terminals {
		terminal := &terminal{session: fmt.Sprintf("terminal-%d", n), environment: environment}
		w.terminals[n] = terminal
		if _, err := terminal.tmux("new-session", "-d", "-s", terminal.session, "-x", "80", "-y", "24", "-c", empty,
			"exec bash --noprofile --rcfile '"+home+"/rc' -i"); err != nil {
			t.Fatal(err)
		}
		if err := await(func() error { return terminal.prompts("") }); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// serve runs a server of terminals until the end of the test. When it goes, so do the
// shells and, since its terminal closes, the daemon.
func serve(t *testing.T, f folders, environment []string) {
	t.Helper()
	server := exec.Command("tmux", "-L", "minutes", "-f", "/dev/null", "-D")
	server.Env, server.Dir = environment, f.root
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ask := &terminal{environment: environment}
	t.Cleanup(func() {
		if _, err := ask.tmux("kill-server"); err != nil {
			t.Error(err, server.Process.Kill())
		}
		if err := server.Wait(); err != nil {
			t.Error("the server of terminals ended with", err)
		}
		if t.Failed() { // the daemon may be dead, and its services alive
			d := newDaemon(program(t, built.checked), f)
			if err := errors.Join(d.launch(), d.terminate()); err != nil {
				t.Error(err)
			}
		}
		if err := await(f.nothingRuns); err != nil {
			t.Error("left behind:", err)
		}
	})
	if err := await(func() error {
		_, err := ask.tmux("set-option", "-g", "history-limit", "50000")
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// terminal is one of 80 columns and 24 lines, with a shell in it.
type terminal struct {
	session     string
	environment []string
}

func (m *terminal) tmux(arguments ...string) (string, error) {
	command := exec.Command("tmux", append([]string{"-L", "minutes", "-f", "/dev/null"}, arguments...)...)
	command.Env = m.environment
	output, err := command.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("tmux %q: %w: %s", arguments, err, output)
	}
	return string(output), err
}

// text is all that it has shown, without the breaks of lines that are longer than it is
// wide.
func (m *terminal) text() string {
	text, err := m.tmux("capture-pane", "-p", "-J", "-S", "-", "-t", m.session)
	if err != nil {
		return err.Error()
	}
	return strings.TrimRight(text, " \n")
}

// since is what it has shown since before.
func (m *terminal) since(before string) string {
	text := m.text()
	n := 0
	for n < min(len(before), len(text)) && before[n] == text[n] {
		n++
	}
	return text[n:]
}

// prompts returns nil when the shell waits for a command, and has shown more than before.
func (m *terminal) prompts(before string) error {
	if text := m.since(before); !strings.HasSuffix("\n"+text, "\n$") {
		return fmt.Errorf("the shell is not back: %s", text)
	}
	return nil
}

// enter types a line; ctrl-X is a key.
func (m *terminal) enter(line string) error {
	if key, _, isKey := strings.Cut(strings.TrimPrefix(line, "ctrl-"), " "); strings.HasPrefix(line, "ctrl-") && isKey {
		_, err := m.tmux("send-keys", "-t", m.session, "C-"+key)
		return err
	}
	_, err := m.tmux("send-keys", "-t", m.session, "-l", line)
	if err != nil {
		return err
	}
	_, err = m.tmux("send-keys", "-t", m.session, "Enter")
	return err
}

// paste puts a text into it as a mouse does.
func (m *terminal) paste(text, folder string) error {
	file := filepath.Join(folder, "pasted")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	for _, command := range [][]string{
		{"load-buffer", file}, {"paste-buffer", "-p", "-t", m.session}, {"send-keys", "-t", m.session, "Enter"},
	} {
		if _, err := m.tmux(command...); err != nil {
			return err
		}
	}
	return nil
}

// take takes one step and awaits what it leads to.
func (w *walk) take(at int, line, command string, s step) error {
	m, first := w.terminals[at], w.terminals[0].text()
	enter := func() error { return m.enter(strings.Replace(line, "PID", w.noted[s.pid], 1)) }
	if s.paste {
		manifest := regexp.MustCompile(`(?ms)^mkdir -p .*?^EOF$`).FindString(first)
		enter = func() error { return m.paste(manifest, w.root) }
	} else if command == "" {
		return nil
	}
	once := func() error {
		before := m.text()
		if err := enter(); err != nil {
			return err
		}
		if s.asks {
			err := await(func() error { return m.prompts(before) })
			return errors.Join(err, w.shows(m.since(before), s.shown))
		}
		return await(func() error {
			if err := m.prompts(before); err != nil && !s.daemon {
				return err
			}
			return w.shows(m.since(before), s.shown)
		})
	}
	if s.asks {
		return await(once)
	}
	if err := once(); err != nil {
		return err
	}
	return await(func() error { return w.shows(w.terminals[0].since(first), s.first) })
}

// shows returns nil when the text has all patterns, and then notes what they note.
func (w *walk) shows(text string, patterns []string) error {
	text = strings.Join(strings.Fields(text), " ")
	found := map[string]string{}
	for _, pattern := range patterns {
		for name, number := range w.noted {
			pattern = strings.ReplaceAll(pattern, "@"+name, number)
		}
		expression := regexp.MustCompile(pattern)
		match := expression.FindStringSubmatch(text)
		if match == nil {
			return fmt.Errorf("no %q in %q", pattern, text)
		}
		for n, name := range expression.SubexpNames() {
			if name != "" {
				found[name] = match[n]
			}
		}
	}
	maps.Copy(w.noted, found)
	return nil
}
