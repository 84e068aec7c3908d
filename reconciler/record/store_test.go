package record

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"svc.d/reconciler"
	"svc.d/spec"
)

var update = flag.Bool("update", false, "write the golden files anew")

// openStore opens one that is closed with the test.
func openStore(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func web(edits ...func(*spec.Spec)) *spec.Service {
	s := &spec.Service{APIVersion: spec.APIVersion, Kind: spec.KindService, Spec: spec.Defaults()}
	s.Metadata.Name = "web"
	s.Metadata.Labels = map[string]string{"app": "web"}
	s.Spec.Command = []string{"/usr/bin/web"}
	s.Source = spec.Source{File: "/etc/svc.d/web.yaml", Document: 2, Line: 7}
	for _, edit := range edits {
		edit(&s.Spec)
	}
	return s
}

func verbose(s *spec.Spec) { s.Args = []string{"-v"} }

// full is a record in which everything is set.
func full(ordinal int32, now time.Time) reconciler.Record {
	at := func(seconds int) time.Time { return now.Add(time.Duration(seconds) * time.Second) }
	return reconciler.Record{
		At: at(-1), Want: web(verbose), DeclaredAt: at(-100), EditedAt: at(-50), Generation: 3,
		StoppedAt: at(-9), StoppedUntil: at(3600), StoppedBy: "ann (uid 1000)",
		Instance: reconciler.Instance{
			ID: reconciler.ReplicaID{Service: "web", Ordinal: ordinal}, Run: 17, Spec: web(),
			StartTakenAt: at(-41), StartedAt: at(-40), StoppingAt: at(-9), RestAt: at(-8), KilledAt: at(-7), EndedAt: at(-8), GoneAt: at(-6),
			RestartAskedAt: at(-60), StartAskedAt: at(-70),
			Pid: 4711, Cause: reconciler.CauseStopped, Exit: reconciler.Exit{Signal: syscall.SIGTERM, CoreDumped: true}, StartTicks: 123456,
			Failure: &reconciler.Failure{Reason: reconciler.ReasonCommandNotFound, Message: "cannot start web"},
			Left:    []reconciler.Process{{Pid: 4712, Name: "child", State: "D", WaitChannel: "nfs"}},
			Streak:  3, Restarts: 9, Ends: []time.Time{at(-90), at(-80)},
			Last: reconciler.Ended{StartedAt: at(-40), EndedAt: at(-8), Exit: reconciler.Exit{Code: 3}, Asked: true},
		},
	}
}

// living has a record tell of all that is known beyond processes.
func living(r *reconciler.Record) {
	i := &r.Instance
	n := 0
	moment := func() time.Time { n++; return r.At.Add(time.Duration(n) * time.Second) }
	failed := &reconciler.Failure{Reason: reconciler.ReasonProbeFailed, Message: "no answer within 1s"}
	l := &reconciler.Life{
		Why: "its liveness probe failed", Status: "serving", WatchdogEvery: time.Minute, EnvFiles: "e", Loaded: "l", Refused: "r",
		ReloadFailure: &reconciler.Failure{Reason: reconciler.ReasonHookFailed, Message: "cannot run reload.check"},
	}
	moments := lifeMoments(l)
	for _, key := range slices.Sorted(maps.Keys(moments)) {
		*moments[key] = moment()
	}
	for k := range l.Probes {
		l.Probes[k].PassedAt = moment()
	}
	l.Probes[reconciler.ProbeLiveness] = reconciler.Probing{FailedAt: moment(), Failure: failed}
	i.Life, i.Init, i.Cause, i.Last.Why = l, 2, reconciler.CauseUnhealthy, "its liveness probe failed"
}

// TestAllOfALifeIsRecorded fails for a field that is neither written nor known to end
// with the daemon that asked.
func TestAllOfALifeIsRecorded(t *testing.T) {
	asked := []string{
		"ResumedAt", "Hook", "HookRun", "HookTakenAt", "HookEndedAt", "HookFailure", "ReleaseTakenAt", "ReleasedAt",
		"ReleaseFailure", "Checked", "Trying", "CheckedAt", "TryingAt", "Line",
	}
	r := full(0, time.Now())
	living(&r)
	life := reflect.ValueOf(*r.Instance.Life)
	for n := range life.NumField() {
		name := life.Type().Field(n).Name
		if life.Field(n).IsZero() != slices.Contains(asked, name) {
			t.Errorf("Life.%s: recorded by the test, and in the list of what is not: %v, or neither", name, slices.Contains(asked, name))
		}
	}
}

// same compares what a record says; times to the nanosecond.
func same(want, got reconciler.Record) string {
	return cmp.Diff(want, got, cmp.Comparer(func(a, b time.Time) bool {
		return a.Sub(b).Abs() < time.Millisecond && a.IsZero() == b.IsZero()
	}), cmp.FilterPath(func(p cmp.Path) bool { return strings.Contains(p.String(), "Instance.Spec.Source") }, cmp.Ignore()))
}

func TestARecordIsReadAsItWasWritten(t *testing.T) {
	tests := map[string]func(r *reconciler.Record){
		"everything is set": func(*reconciler.Record) {},
		"what is hidden of failures": func(r *reconciler.Record) {
			living(r)
			r.Instance.Failure.Hidden = "start web"
			r.Instance.Life.ReloadFailure.Hidden = "run"
			r.Instance.Life.Probes[reconciler.ProbeLiveness].Failure.Hidden = "answer"
		},
		"not declared any more": func(r *reconciler.Record) { r.Want = nil },
		"run as wanted":         func(r *reconciler.Record) { r.Instance.Spec = r.Want },
		"never run, and held": func(r *reconciler.Record) {
			r.Instance = reconciler.Instance{ID: r.Instance.ID}
		},
		"probes, hooks and the program have told of it": living,
		"ended with a code":                             func(r *reconciler.Record) { r.Instance.Exit = reconciler.Exit{Code: 255} },
		"ended nobody knows how": func(r *reconciler.Record) {
			r.Instance.Exit, r.Instance.Last = reconciler.Exit{Unknown: true}, reconciler.Ended{}
		},
	}
	for name, edit := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			want := full(0, time.Now())
			edit(&want)
			first := openStore(t, Options{StateDir: dir})
			first.Record(want)
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
			kept, err := openStore(t, Options{StateDir: dir}).Load()
			if err != nil || len(kept.Records) != 1 || len(kept.Unreadable) > 0 {
				t.Fatalf("loaded %+v, %v", kept, err)
			}
			if diff := same(want, kept.Records[0]); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			got := &kept.Records[0]
			if (want.Instance.Spec == want.Want) != (got.Instance.Spec == got.Want) {
				t.Error("whether it runs as wanted is not told by the pointer any more")
			}
		})
	}
}

func TestRecordsOfOneServiceShareTheirManifest(t *testing.T) {
	dir := t.TempDir()
	first := openStore(t, Options{StateDir: dir})
	now := time.Now()
	for n := range int32(3) {
		first.Record(full(n, now))
	}
	first.Close()
	kept, err := openStore(t, Options{StateDir: dir}).Load()
	if err != nil || len(kept.Records) != 3 {
		t.Fatal(kept, err)
	}
	for _, r := range kept.Records {
		if r.Want != kept.Records[0].Want || r.Instance.Spec != kept.Records[0].Instance.Spec {
			t.Error("the manifest was read more than once")
		}
	}
}

func TestOnlyTheLatestOfManyIsKept(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, Options{StateDir: dir})
	r := full(0, time.Now())
	for n := range 1000 {
		r.Generation = int64(n)
		s.Record(r)
	}
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	other := full(1, time.Now())
	s.Record(other)
	s.Forget(other.Instance.ID)
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	kept, err := openStore(t, Options{StateDir: dir, ReadOnly: true}).Load()
	if err != nil || len(kept.Records) != 1 || kept.Records[0].Generation != 999 {
		t.Errorf("loaded %+v, %v", kept, err)
	}
	left, _ := filepath.Glob(dir + "/records/*")
	if len(left) != 1 {
		t.Errorf("there are %v", left)
	}
}

// recordFile is where the record of web-0 is.
func recordFile(dir string) string { return filepath.Join(dir, "records", "web-0") }

func TestWhatIsWrongWithARecordIsTold(t *testing.T) {
	replace := func(old, new string) func([]byte) []byte {
		return func(data []byte) []byte { return bytes.Replace(data, []byte(old), []byte(new), 1) }
	}
	tests := map[string]struct {
		damage func(data []byte) []byte
		want   string // of the error
	}{
		"it is empty":             {func([]byte) []byte { return nil }, "no record, or damaged"},
		"it is something else":    {func([]byte) []byte { return []byte("hello\nworld\n") }, "no record, or damaged"},
		"it is cut off":           {func(data []byte) []byte { return data[:len(data)/2] }, "bytes, not"},
		"it is cut off in line 1": {func(data []byte) []byte { return data[:9] }, "no record, or damaged"},
		"a letter is another":     {replace("/usr/bin/web", "/usr/bin/wee"), "checksum"},
		"it is of a later version": {replace("reconciler-record 1 ", "reconciler-record 2 "),
			`its format has version "2", and this program reads version 1 only`},
		"its length is no number": {func([]byte) []byte { return []byte("reconciler-record 1 00000000 x\n{}\n") }, "its first line is"},
		"a number is none": {func([]byte) []byte {
			return wrap([]byte(fmt.Sprintf("boot %q\nservice \"web\"\npid x\n", mustBoot())))
		}, "damaged: \"pid\""},
		"there is more after it": {func(data []byte) []byte { return append(data, "more"...) }, "bytes, not"},
		"it is of another replica": {func([]byte) []byte {
			return wrap([]byte(fmt.Sprintf("boot %q\nservice \"web\"\nordinal 1\n", mustBoot())))
		}, "it is of web-1"},
		"it does not say what was started": {func([]byte) []byte {
			return wrap([]byte(fmt.Sprintf("boot %q\nservice \"web\"\nstartTakenAt 5\n", mustBoot())))
		}, "does not say what was started"},
		"its manifest cannot be used": {func([]byte) []byte {
			return wrap([]byte(fmt.Sprintf("boot %q\nservice \"web\"\nwant {\"metadata\":{\"name\":\"web\"}}\n", mustBoot())))
		}, "names no program"},
		"its manifest is another's": {func([]byte) []byte {
			return wrap([]byte(fmt.Sprintf("boot %q\nservice \"web\"\nwant {\"metadata\":{\"name\":\"db\"},\"spec\":{\"command\":[\"x\"]}}\n", mustBoot())))
		}, `its manifest is of "db"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, Options{StateDir: dir})
			s.Record(full(0, time.Now()))
			s.Close()
			data, err := os.ReadFile(recordFile(dir))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(recordFile(dir), test.damage(data), 0o600); err != nil {
				t.Fatal(err)
			}
			kept, err := openStore(t, Options{StateDir: dir}).Load()
			if err != nil {
				t.Fatal(err)
			}
			why := kept.Unreadable[reconciler.ReplicaID{Service: "web"}]
			if why == nil || !strings.Contains(why.Error(), test.want) {
				t.Errorf("told %v, want %q", why, test.want)
			}
			if _, err := os.Stat(recordFile(dir)); err != nil {
				t.Error("it was removed:", err)
			}
		})
	}
}

func mustBoot() string {
	boot, err := bootID()
	if err != nil {
		panic(err)
	}
	return boot
}

func TestWhatIsNoRecordIsPassedOver(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, Options{StateDir: dir})
	s.Record(full(0, time.Now()))
	s.Close()
	records := filepath.Join(dir, "records")
	for _, err := range []error{
		os.WriteFile(records+"/README", nil, 0o600), os.WriteFile(records+"/.new", []byte("torn"), 0o600),
		os.Mkdir(records+"/web-00", 0o700), syscall.Mkfifo(records+"/web-7", 0o600), os.Symlink("/etc/passwd", records+"/web-8"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	kept, err := openStore(t, Options{StateDir: dir}).Load()
	if err != nil || len(kept.Records) != 1 || len(kept.Foreign) != 2 || len(kept.Unreadable) != 2 {
		t.Errorf("loaded %+v, %v", kept, err)
	}
}

func TestRecordsOfAnotherBootAreRemoved(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, Options{StateDir: dir})
	s.Record(full(0, time.Now()))
	if err := s.KeepDaemon(&Daemon{Dir: "/etc/svc.d"}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	later := openStore(t, Options{StateDir: dir})
	later.boot = "another"
	kept, err := later.Load()
	if err != nil || len(kept.Records)+len(kept.Unreadable) != 0 {
		t.Errorf("loaded %+v, %v", kept, err)
	}
	if _, err := os.Stat(recordFile(dir)); !errors.Is(err, os.ErrNotExist) {
		t.Error("it is still there:", err)
	}
	if d, err := later.LoadDaemon(); d != nil || err != nil {
		t.Errorf("the daemon of another boot is %+v, %v", d, err)
	}
}

func TestReadingOnlyChangesNothing(t *testing.T) {
	dir := t.TempDir()
	reader := openStore(t, Options{StateDir: dir, ReadOnly: true})
	if kept, err := reader.Load(); err != nil || len(kept.Records) != 0 {
		t.Errorf("loaded %+v, %v", kept, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("it made %v, %v", entries, err)
	}
	s := openStore(t, Options{StateDir: dir})
	s.Record(full(0, time.Now()))
	s.Close()
	reader = openStore(t, Options{StateDir: dir, ReadOnly: true})
	reader.boot = "another"
	if _, err := reader.Load(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(recordFile(dir)); err != nil {
		t.Error("a reader removed it:", err)
	}
}

func TestTheSecondCopyIsWhatTheFirstIs(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, Options{StateDir: dir})
	var marked []byte
	s.SetMark(func(id reconciler.ReplicaID, data []byte) { marked = bytes.Clone(data) })
	want := full(0, time.Now())
	s.Record(want)
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(recordFile(dir))
	if err != nil || !bytes.Equal(file, marked) {
		t.Errorf("%v: the file holds\n%s\nand the second copy\n%s", err, file, marked)
	}
	got, err := s.Decode(marked)
	if diff := same(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

func TestAFolderThatWasRemovedIsMadeAgain(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, Options{StateDir: dir})
	if err := os.RemoveAll(filepath.Join(dir, "records")); err != nil {
		t.Fatal(err)
	}
	s.Record(full(0, time.Now()))
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(recordFile(dir)); err != nil {
		t.Error(err)
	}
}

func TestWhatCannotBeWrittenIsToldAndTriedAgain(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, Options{StateDir: dir})
	// A folder in the way stands for a full disk: rename(2) fails.
	if err := os.MkdirAll(recordFile(dir)+"/in the way", 0o700); err != nil {
		t.Fatal(err)
	}
	s.Record(full(0, time.Now()))
	if err := s.Sync(); err == nil || !strings.Contains(err.Error(), "cannot write the record of web-0") {
		t.Errorf("Sync says %v", err)
	}
	if since, err := s.Trouble(); err == nil || since.IsZero() {
		t.Errorf("the trouble is %v since %v", err, since)
	}
	if err := os.RemoveAll(recordFile(dir)); err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(); err != nil { // which has it tried
		t.Error(err)
	}
	if _, err := s.Trouble(); err != nil {
		t.Error("the trouble is still", err)
	}
	if _, err := os.Stat(recordFile(dir)); err != nil {
		t.Error(err)
	}
}

func TestWhatTheDaemonRunsWithIsKept(t *testing.T) {
	dir := t.TempDir()
	grace := int64(7)
	want := &Daemon{Dir: "/etc/svc.d", Recursive: true, CheckTrust: true, TrustOwners: []uint32{33},
		Configuration: &spec.Configuration{
			APIVersion: spec.APIVersion, Kind: spec.KindConfiguration, Log: spec.LogConfiguration{Level: "debug"},
			Defaults: spec.ServiceDefaults{TerminationGracePeriodSeconds: &grace},
			Source:   spec.Source{File: "/etc/svc.d/own.yaml", Document: 1, Line: 3},
		}}
	s := openStore(t, Options{StateDir: dir})
	if d, err := s.LoadDaemon(); d != nil || err != nil {
		t.Errorf("before it was kept it is %+v, %v", d, err)
	}
	if err := s.KeepDaemon(want); err != nil {
		t.Fatal(err)
	}
	got, err := openStore(t, Options{StateDir: dir, ReadOnly: true}).LoadDaemon()
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

// unrecorded are the facts that end with the process: questions under way.
var unrecorded = []string{"InspectTakenAt", "InspectedAt", "ForgetTakenAt"}

// TestEveryFactIsRecorded fails when somebody adds a fact to an instance and
// forgets that it must outlive the process.
func TestEveryFactIsRecorded(t *testing.T) {
	s := golden()
	want := full(0, s.clock.at)
	next := s.clock.at
	want.Instance.Exits = &[]reconciler.Ended{{EndedAt: next, Exit: reconciler.Exit{Code: 3}}, {StartedAt: next, EndedAt: next, Exit: reconciler.Exit{Signal: 9}, Why: "sick"}}
	fill(t, reflect.ValueOf(&want).Elem(), &next)
	i := reflect.ValueOf(&want.Instance).Elem()
	for _, name := range unrecorded {
		i.FieldByName(name).SetZero()
	}
	data, err := s.encode(&want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.decode(data, map[string]*spec.Service{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := same(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// fill sets every time in v, each to another, and every number that is 0.
func fill(t *testing.T, v reflect.Value, next *time.Time) {
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		*next = next.Add(time.Second)
		v.Set(reflect.ValueOf(*next))
	case v.Kind() == reflect.Struct && v.CanSet():
		for n := range v.NumField() {
			fill(t, v.Field(n), next)
		}
	case v.CanInt() && v.IsZero() && v.Type() != reflect.TypeFor[syscall.Signal]():
		v.SetInt(7)
	case v.CanUint() && v.IsZero() && v.Type() != reflect.TypeFor[reconciler.Cause]():
		v.SetUint(7)
	}
}
