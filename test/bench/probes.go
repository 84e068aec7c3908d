package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// probeTime is how long probes are measured, in seconds.
const probeTime = 20

// target is a server that probes ask.
type target struct {
	command *exec.Cmd
	port    string
}

func (b *bench) startTarget() (*target, error) {
	t := &target{command: exec.Command(b.target, "serve")}
	t.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	t.command.Stderr = os.Stderr
	out, err := t.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := t.command.Start(); err != nil {
		return nil, fmt.Errorf("cannot start the server that probes ask: %w", err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.end()
		return nil, fmt.Errorf("cannot start the server that probes ask: %w", err)
	}
	t.port = strings.TrimSpace(line)
	return t, nil
}

func (t *target) end() {
	_ = t.command.Process.Kill()
	_ = t.command.Wait()
}

// count is how many requests it has answered.
func (t *target) count() (int64, error) {
	answer, err := http.Get("http://127.0.0.1:" + t.port + "/count")
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(string(text), 10, 64)
}

// probes measures what an HTTP probe each second of each service costs the daemon,
// beside a loop that makes as many requests and nothing else.
func (b *bench) probes(w io.Writer) error {
	t, err := b.startTarget()
	if err != nil {
		return err
	}
	defer t.end()
	output, err := exec.Command(b.target, "ask", t.port, strconv.Itoa(b.n), strconv.Itoa(probeTime)).Output()
	if err != nil {
		return fmt.Errorf("cannot measure the floor of probes: %w", err)
	}
	floor, err := strconv.ParseInt(strings.TrimSpace(string(output)), 10, 64)
	if err != nil {
		return fmt.Errorf("cannot measure the floor of probes: %w", err)
	}
	probe := fmt.Sprintf("  readinessProbe: {httpGet: {path: /, port: %s}, periodSeconds: 1}\n", t.port)
	d, err := startDaemonWith(b.daemon, b.service, filepath.Join(b.folder, "probes"), b.n, probe)
	if err != nil {
		return err
	}
	if _, err := d.stamps.next(b.n, patience); err != nil {
		return d.end(err)
	}
	time.Sleep(3 * time.Second) // the first probes are at the start
	used, err := processorTime(d.pid())
	if err != nil {
		return d.end(err)
	}
	asked, err := t.count()
	if err != nil {
		return d.end(err)
	}
	began := time.Now()
	time.Sleep(probeTime * time.Second)
	took := time.Since(began)
	usedThen, err := processorTime(d.pid())
	if err != nil {
		return d.end(err)
	}
	askedThen, err := t.count()
	if err != nil {
		return d.end(err)
	}
	if err := d.end(nil); err != nil {
		return err
	}
	share := float64(usedThen-used) / float64(took)
	rate := float64(askedThen-asked) / took.Seconds()
	fmt.Fprintf(w, "\nProbes by HTTP, each second, of %d services\n", b.n)
	line(w, "probes made / due", fmt.Sprintf("%.3f", rate/float64(b.n)), ">= 0.99", rate >= 0.99*float64(b.n))
	line(w, "processor time / one processor", fmt.Sprintf("%.1f %%", 100*share), "10 %", share <= 0.1)
	fmt.Fprintf(w, "  %-44s %14.2f\n", "processor time / a loop that asks as often", float64(usedThen-used)/took.Seconds()/(float64(floor)/probeTime))
	return nil
}
