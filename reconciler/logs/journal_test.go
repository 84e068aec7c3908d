package logs

import (
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"svc.d/reconciler/logs/cri"
)

func TestAJournalThatCannotBeHadIsHadAsSoonAsItCan(t *testing.T) {
	r := newRig(t)
	path := filepath.Join(r.state, "output", "journal")
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
	c := r.open(Options{})
	if c.Unsafe() == nil {
		t.Error("a folder is no journal")
	}
	out, _ := r.attach(web)
	io.WriteString(out, "one\nhalf")
	r.await(web, cri.Stdout, "one\n")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	c.lane.do(time.Second, c.lane.mend)
	if err := c.Unsafe(); err != nil {
		t.Error(err)
	}
	inherited := abandon(c) // with a line that waits for its end
	io.WriteString(out, " done\n")
	r.open(Options{Inherited: inherited})
	r.await(web, cri.Stdout, "one\nhalf done\n")
}

func TestAJournalThatMakesNoSenseIsPassedOver(t *testing.T) {
	for name, spoil := range map[string]func(mem []byte){
		"another layout": func(mem []byte) { clear(mem[:8]) },
		"noise": func(mem []byte) {
			for n := range mem[8:] {
				mem[8+n] = byte(n * 7)
			}
		},
		"a chunk of nobody": func(mem []byte) {
			mem[8+2*nonceSize] = byte(stageWriting)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			if err := os.MkdirAll(filepath.Join(r.state, "output"), 0o700); err != nil {
				t.Fatal(err)
			}
			j, err := openJournal(filepath.Join(r.state, "output", "journal"))
			if err != nil {
				t.Fatal(err)
			}
			spoil(j.mem)
			j.close()
			r.open(Options{})
			out, _ := r.attach(web)
			io.WriteString(out, "well\n")
			r.await(web, cri.Stdout, "well\n")
		})
	}
}
