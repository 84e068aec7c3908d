package host_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"svc.d/reconciler"
	"svc.d/reconciler/host"
)

// TestATrialThatHangsInExecveHoldsUpNobody: services start, and the garbage
// collector runs, which waits for forks.
func TestATrialThatHangsInExecveHoldsUpNobody(t *testing.T) {
	m := open(t, host.Options{})
	program := filepath.Join(t.TempDir(), "program")
	data, err := os.ReadFile("/bin/true")
	if err == nil {
		err = os.WriteFile(program, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	release := lease(t, program)
	defer release()
	hangs := errors.New("it hangs")
	ctx, cancel := context.WithCancelCause(t.Context())
	tried := make(chan error, 1)
	go func() {
		_, _, err := m.host.Try(ctx, program, []string{"program", "check"})
		tried <- err
	}()
	began := time.Now()
	for time.Since(began) < 200*time.Millisecond { // whenever the trial is in its execve
		m.start(web("/bin/true"))
		m.want(reconciler.EventExited)
		runtime.GC()
	}
	cancel(hangs)
	if err := <-tried; !errors.Is(err, hangs) {
		t.Errorf("the trial ended with %v", err)
	}
	if took := time.Since(began); took > 10*time.Second { // the kernel takes the lease away after 45
		t.Errorf("it took %s", took)
	}
}
