package status

import (
	"testing"
	"time"
)

func TestAgesAreShownAsKubectlDoes(t *testing.T) {
	const day = 24 * time.Hour
	tests := map[string]struct {
		d    time.Duration
		want string
	}{
		"a clock that was set back":     {-time.Hour, "0s"},
		"less than a second":            {999 * time.Millisecond, "0s"},
		"seconds up to two minutes":     {119 * time.Second, "119s"},
		"minutes with seconds":          {3*time.Minute + 20*time.Second, "3m20s"},
		"whole minutes":                 {4 * time.Minute, "4m"},
		"minutes alone from ten on":     {10*time.Minute + 59*time.Second, "10m"},
		"hours with minutes":            {5*time.Hour + 10*time.Minute, "5h10m"},
		"hours alone from eight on":     {8*time.Hour + 59*time.Minute, "8h"},
		"days with hours":               {2*day + 4*time.Hour, "2d4h"},
		"days alone from eight on":      {8*day + 23*time.Hour, "8d"},
		"years with days":               {3*365*day + 12*day, "3y12d"},
		"years alone from the eight on": {8*365*day + 300*day, "8y"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Age(test.d); got != test.want {
				t.Errorf("Age(%s) = %q, want %q", test.d, got, test.want)
			}
		})
	}
}

func TestShownSumsUpPhaseAndReason(t *testing.T) {
	tests := map[string]struct {
		phase  Phase
		reason string
		want   string
	}{
		"as declared":                       {PhaseRunning, "", "Running"},
		"running, but":                      {PhaseRunning, "ReplacementBlocked", "Running,ReplacementBlocked"},
		"a crash loop needs no reason":      {PhaseCrashLoopBackOff, "Exited", "CrashLoopBackOff"},
		"a crash loop of another kind":      {PhaseCrashLoopBackOff, "Daemonized", "CrashLoopBackOff,Daemonized"},
		"pending is told by the reason":     {PhasePending, "CommandNotFound", "CommandNotFound"},
		"stopped by a person":               {PhaseHeld, "Stopped", "Held"},
		"declared and not run":              {PhaseHeld, "ReplicasZero", "Held,ReplicasZero"},
		"nobody can tell what runs":         {PhaseHeld, "RecordUnreadable", "Held,RecordUnreadable"},
		"ends because of an edit":           {PhaseTerminating, "Edited", "Terminating"},
		"does not end":                      {PhaseTerminating, "Stuck", "Terminating,Stuck"},
		"a report without a phase is said":  {"", "", "Unknown"},
		"a reason that repeats the phase":   {PhaseCompleted, "Completed", "Completed"},
		"gave up":                           {PhaseFailed, "RestartLimitExceeded", "Failed,RestartLimitExceeded"},
		"a phase of a newer daemon is kept": {"Paused", "", "Paused"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := Service{Status: ServiceStatus{Phase: test.phase, Reason: test.reason}}
			if got := s.Shown(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestYAMLReadsBackAsTheSame(t *testing.T) {
	got, err := YAML(map[string]any{"a": []string{"true", "1", "", "x: y", "# no", "two\nlines", "<&>"}, "b": 1.5, "c": nil, "d": "0022", "off": []string{"No", "y", "1:30"}})
	if err != nil {
		t.Fatal(err)
	}
	want := "a:\n- \"true\"\n- \"1\"\n- \"\"\n- 'x: y'\n- '# no'\n- |-\n  two\n  lines\n- <&>\nb: 1.5\nc: null\nd: \"0022\"\n\"off\":\n- \"No\"\n- \"y\"\n- \"1:30\"\n"
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
