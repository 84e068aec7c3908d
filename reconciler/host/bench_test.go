package host_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

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
			o.StateDir, o.LogDir = filepath.Join(dir, "state"), filepath.Join(dir, "log")
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
