package host_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/reconciler/host"
	"svc.d/spec"
)

// BenchmarkStart is the cost of a new replica that runs on: HOST_TEST_PROGRAM
// is a program that waits (a static one tells most), /bin/sleep otherwise.
func BenchmarkStart(b *testing.B) {
	for name, o := range map[string]host.Options{"cgroups": {}, "sessions": {NoCgroups: true}, "stage": {RemotePaths: []string{"/"}}} {
		b.Run(name, func(b *testing.B) {
			dir := b.TempDir()
			o.StateDir, o.Output = filepath.Join(dir, "state"), capture(dir)
			h, err := host.Open(o)
			if err != nil {
				b.Skip(err)
			}
			command := []string{"/bin/sleep", "1000"}
			if p := os.Getenv("HOST_TEST_PROGRAM"); p != "" {
				command = []string{p}
			}
			s := &spec.Service{Metadata: spec.Metadata{Name: "bench"}, Spec: spec.Spec{Command: command, WorkingDir: "/", SecurityContext: spec.SecurityContext{Umask: 0o022}}}
			b.ResetTimer()
			work, offered, started := h.Work(), 0, 0
			id := func(i int) reconciler.ReplicaID {
				return reconciler.ReplicaID{Service: "bench" + strconv.Itoa(i)}
			}
			for started < b.N {
				w := reconciler.Work{Verb: reconciler.VerbStart, Replica: id(offered), Service: s}
				select {
				case work <- w:
					if offered++; offered == b.N {
						work = nil
					}
				case e := <-h.Events():
					if e.Kind != reconciler.EventStarted {
						b.Fatalf("%+v", e)
					}
					started++
				}
			}
			b.StopTimer()
			for i := range b.N {
				if err := h.Kill(id(i)); err != nil {
					b.Error(err)
				}
			}
			for range b.N {
				<-h.Events()
			}
			if err := h.Close(); err != nil {
				b.Error(err)
			}
		})
	}
}

// BenchmarkRestart is the time from kill -9 of a main process to its successor,
// without the loop, while others run.
func BenchmarkRestart(b *testing.B) {
	for _, others := range []int{10, 1000} {
		b.Run(strconv.Itoa(others), func(b *testing.B) {
			dir := b.TempDir()
			h, err := host.Open(host.Options{StateDir: filepath.Join(dir, "state"), Output: capture(dir)})
			if err != nil {
				b.Skip(err)
			}
			command := []string{"/bin/sleep", "1000"}
			if p := os.Getenv("HOST_TEST_PROGRAM"); p != "" {
				command = []string{p}
			}
			s := &spec.Service{Metadata: spec.Metadata{Name: "bench"}, Spec: spec.Spec{Command: command, WorkingDir: "/", SecurityContext: spec.SecurityContext{Umask: 0o022}}}
			start := func(i int) int {
				h.Work() <- reconciler.Work{Verb: reconciler.VerbStart, Replica: reconciler.ReplicaID{Service: "bench" + strconv.Itoa(i)}, Service: s}
				e := <-h.Events()
				if e.Kind != reconciler.EventStarted {
					b.Fatalf("%+v", e)
				}
				return int(e.Pid)
			}
			pid := 0
			for i := range others {
				pid = start(i)
			}
			var seen []time.Duration
			for b.Loop() {
				from := time.Now()
				_ = unix.Kill(pid, unix.SIGKILL)
				if e := <-h.Events(); e.Kind != reconciler.EventExited {
					b.Fatalf("%+v", e)
				}
				seen = append(seen, time.Since(from))
				pid = start(others - 1)
			}
			slices.Sort(seen)
			b.ReportMetric(float64(seen[len(seen)/2].Microseconds()), "us-to-exited")
			for i := range others {
				_ = h.Kill(reconciler.ReplicaID{Service: "bench" + strconv.Itoa(i)})
			}
			for range others {
				<-h.Events()
			}
			if err := h.Close(); err != nil {
				b.Error(err)
			}
		})
	}
}

// BenchmarkExec is the time that a command beside a main process takes from its
// start to its end. BenchmarkStartToEnd is the same of a main process.
func BenchmarkExec(b *testing.B) { benchmarkToEnd(b, true) }

func BenchmarkStartToEnd(b *testing.B) { benchmarkToEnd(b, false) }

func benchmarkToEnd(b *testing.B, exec bool) {
	for name, o := range map[string]host.Options{"cgroups": {}, "sessions": {NoCgroups: true}} {
		b.Run(name, func(b *testing.B) {
			dir := b.TempDir()
			o.StateDir, o.Output = filepath.Join(dir, "state"), capture(dir)
			h, err := host.Open(o)
			if err != nil {
				b.Skip(err)
			}
			start := func(id reconciler.ReplicaID, s *spec.Service) {
				h.Work() <- reconciler.Work{Verb: reconciler.VerbStart, Replica: id, Run: 1, Service: s}
				if e := <-h.Events(); e.Kind != reconciler.EventStarted {
					b.Fatalf("%+v", e)
				}
			}
			s := web("/bin/sleep", "1000")
			start(web0, s)
			for b.Loop() {
				if exec {
					if _, _, f := h.Exec(b.Context(), reconciler.ProbeWork{Replica: web0, Service: s}, []string{"/bin/true"}, 1024); f != nil {
						b.Fatal(*f)
					}
					continue
				}
				start(reconciler.ReplicaID{Service: "other"}, web("/bin/true"))
				<-h.Events()
			}
			_ = h.Kill(web0)
			<-h.Events()
			if err := h.Close(); err != nil {
				b.Error(err)
			}
		})
	}
}
