// Command bench measures the daemon against the floor: a loop on one thread that
// starts the same program with posix_spawn and does nothing else. Everything is
// printed as a ratio to the floor of the same round, since times differ from
// machine to machine and from day to day.
package main

import (
	"embed"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"svc.d/test/world"
)

//go:embed programs
var programs embed.FS

func main() {
	n := flag.Int("n", 1000, "`services`")
	rounds := flag.Int("rounds", 5, "`rounds`, of which the median counts")
	idle := flag.Duration("idle", time.Minute, "how long to count wake-ups; 0 leaves it out")
	program := flag.String("program", "service", "what the services run: service (static, with the C library) or tiny (one page)")
	daemon := flag.String("daemon", "", "the `binary` to measure (hack/bench builds it)")
	others := flag.Bool("peers", false, "measure the supervisors of Debian that are installed as well: s6, runit, supervisor")
	probes := flag.Bool("probes", true, "measure an HTTP probe of each service each second")
	logs := flag.Bool("logs", true, "measure logging, beside s6-log and cat")
	flag.Parse()
	if err := run(os.Stdout, *daemon, *program, *n, *rounds, *idle, *others, *logs, *probes); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, daemon, program string, n, rounds int, idle time.Duration, others, logs, probes bool) error {
	if daemon == "" || n < 10 || rounds < 1 {
		return fmt.Errorf("cannot measure: --daemon is required, --n is at least 10, --rounds at least 1")
	}
	folder, err := os.MkdirTemp("", "reconciler-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	cleanOnSignal(folder)
	b := &bench{daemon: daemon, folder: folder, n: n, kills: 50, adds: 20}
	if err := b.compile(program); err != nil {
		return err
	}
	var all []round
	for i := range rounds {
		r, err := b.round(i)
		if err != nil {
			return err
		}
		all = append(all, r)
		fmt.Fprintf(w, "round %d: floor %s, start %s, restart %s, with 10 %s, new manifest %s, gone %s, daemon gone %s, re-exec %s, adopted %s\n", i+1,
			ms(r.floor), ms(r.start), ms(median(r.restart)), ms(median(r.restart10)), ms(median(r.add)), ms(r.gone), ms(r.exited), ms(median(r.gaps)), ms(r.adopted))
	}
	b.report(w, all)
	if others {
		if err := b.peers(w); err != nil {
			return err
		}
	}
	if logs {
		if err := b.logs(w, rounds); err != nil {
			return err
		}
	}
	if probes {
		if err := b.probes(w); err != nil {
			return err
		}
	}
	if err := b.asking(w); err != nil {
		return err
	}
	return b.budgets(w, idle)
}

// cleanOnSignal ends what was started and removes the folder when the benchmark
// is interrupted. When it is killed, the supervisors end by themselves: see the
// Pdeathsig of their processes, which follows the thread that started them.
func cleanOnSignal(folder string) {
	runtime.LockOSThread()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			left := children()
			for _, pid := range left {
				_ = syscall.Kill(pid, syscall.SIGTERM)
			}
			if len(left) == 0 {
				break
			}
		}
		running, _ := world.Running(folder) // those of the floor
		for _, p := range running {
			_ = syscall.Kill(p.Pid, syscall.SIGKILL)
		}
		os.RemoveAll(folder)
		os.Exit(130)
	}()
}

// children lists our child processes, of all threads (proc(5)).
func children() []int {
	var pids []int
	lists, _ := filepath.Glob("/proc/self/task/*/children")
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for field := range strings.FieldsSeq(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// compile builds the floor and the service.
func (b *bench) compile(program string) error {
	flags := map[string][]string{
		"floor":   {"-O2"},
		"service": {"-O2", "-static"},
		"writer":  {"-O2", "-static"},
		"target":  {"-O2", "-static"},
		"tiny":    {"-O2", "-static", "-nostdlib", "-fno-stack-protector"},
	}
	if program != "service" && program != "tiny" {
		return fmt.Errorf("cannot run program %q: service and tiny are known", program)
	}
	for _, name := range []string{"floor", "writer", "target", program} {
		source, err := programs.ReadFile("programs/" + name + ".c")
		if err != nil {
			return err
		}
		file := filepath.Join(b.folder, name)
		if err := os.WriteFile(file+".c", source, 0o644); err != nil {
			return err
		}
		if output, err := exec.Command("gcc", append(flags[name], "-o", file, file+".c")...).CombinedOutput(); err != nil {
			return fmt.Errorf("cannot compile %s: %w\n%s", name, err, output)
		}
	}
	b.target = filepath.Join(b.folder, "target")
	b.floor, b.writer, b.service = filepath.Join(b.folder, "floor"), filepath.Join(b.folder, "writer"), filepath.Join(b.folder, program)
	return nil
}

// report prints the figures, each the median of the rounds' ratios.
func (b *bench) report(w io.Writer, all []round) {
	ratio := func(of func(round) float64) float64 {
		var values []float64
		for _, r := range all {
			values = append(values, of(r))
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	spawn := func(r round) float64 { return float64(r.floor) / float64(b.n) }

	fmt.Fprintf(w, "\nRatios, medians of %d rounds; one floor spawn takes %s\n", len(all), ms(int64(ratio(spawn))))
	show := func(name string, limit float64, of func(round) float64) {
		value := ratio(of)
		line(w, name, fmt.Sprintf("%.2f", value), fmt.Sprintf("%.2f", limit), value <= limit)
	}
	show(fmt.Sprintf("start of %d services / floor", b.n), 1.35,
		func(r round) float64 { return float64(r.start) / float64(r.floor) })
	show("kill -9 to successor / floor spawn", 2.5,
		func(r round) float64 { return float64(median(r.restart)) / spawn(r) })
	show(fmt.Sprintf("kill -9 to successor, %d / 10 services", b.n), 1.3,
		func(r round) float64 { return float64(median(r.restart)) / float64(median(r.restart10)) })
	show("new manifest to running / floor spawn", 6,
		func(r round) float64 { return float64(median(r.add)) / spawn(r) })
	show(fmt.Sprintf("re-exec with %d: gap / floor spawn", b.n), 50,
		func(r round) float64 { return float64(median(r.gaps)) / spawn(r) })
	show(fmt.Sprintf("kill -9 with %d: exec to adopted / start", b.n), 0.1,
		func(r round) float64 { return float64(r.adopted) / float64(r.start) })
	show("SIGTERM to all gone / their start", 0.3,
		func(r round) float64 { return float64(r.gone) / float64(r.start) })
}

// line prints one figure beside its limit.
func line(w io.Writer, name, value, limit string, held bool) {
	verdict := "held"
	if !held {
		verdict = "MISSED"
	}
	fmt.Fprintf(w, "  %-44s %14s   limit %10s   %s\n", name, value, limit, verdict)
}

func ms(nanoseconds int64) string { return fmt.Sprintf("%.2f ms", float64(nanoseconds)/1e6) }
