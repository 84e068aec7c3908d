package logs

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"svc.d/reconciler/logs/cri"
)

func TestOutputComesByteForByte(t *testing.T) {
	long := strings.Repeat("0123456789", 30000)
	tests := map[string]string{
		"a line":                          "hello\n",
		"empty lines":                     "\n\n\n",
		"NUL bytes and no UTF-8":          "a\x00b\xff\xfe\n\r\n",
		"a line of the size of a part":    long[:cri.MaxText] + "\n",
		"a line that is a byte longer":    long[:cri.MaxText+1] + "\n",
		"a line of many parts":            long + "\n",
		"many lines":                      strings.Repeat("x\nyy\n", 100000),
		"a line whose end does not come":  "password: ",
		"a long one whose end comes late": long,
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.open(Options{})
			out, err := r.attach(web)
			if _, err := io.WriteString(out, text); err != nil {
				t.Fatal(err)
			}
			io.WriteString(err, "other\n")
			r.await(web, cri.Stdout, text)
			r.await(web, cri.Stderr, "other\n")
		})
	}
}

func TestALineThatARunDidNotEndIsEndedBeforeTheNext(t *testing.T) {
	r := newRig(t)
	r.open(Options{})
	out, _ := r.attach(web)
	io.WriteString(out, "first")
	r.attach(web)
	io.WriteString(out, "second\n")
	r.await(web, cri.Stdout, "first\nsecond\n")
}

func TestAReleasedReplicaIsWrittenToItsEnd(t *testing.T) {
	r := newRig(t)
	c := r.open(Options{})
	out, _ := r.attach(web)
	io.WriteString(out, "bye")
	c.Release(web)
	if got := r.read(web, cri.Stdout); got != "bye\n" {
		t.Errorf("got %q", got)
	}
	stdout, _ := c.Pipes(web)
	if _, err := os.Lstat(stdout); !os.IsNotExist(err) {
		t.Errorf("the pipe is there: %v", err)
	}
	if n := len(c.Descriptors()); n != 0 {
		t.Errorf("%d descriptors are open", n)
	}
}

func TestWhatWasWrittenWithoutADaemonIsRead(t *testing.T) {
	r := newRig(t)
	c := r.open(Options{})
	out, _ := r.attach(web)
	io.WriteString(out, "before\nhal")
	r.await(web, cri.Stdout, "before\n")
	c.Close(false)
	io.WriteString(out, "f\nwithout\n")
	r.open(Options{})
	r.await(web, cri.Stdout, "before\nhalf\nwithout\n")
}

// What a program says in drops is shown before its line ends.
func TestALineThatGrowsIsNotHeldForEver(t *testing.T) {
	r := newRig(t)
	r.open(Options{})
	out, _ := r.attach(web)
	begun := time.Now()
	for len(r.entries(web)) == 0 {
		if time.Since(begun) > 4*holdFor {
			t.Fatal("it is still held")
		}
		io.WriteString(out, ".")
		<-time.After(holdFor / 5)
	}
}

func TestAPartOfARunThatAnotherDaemonSawIsEndedBeforeTheNext(t *testing.T) {
	r := newRig(t)
	c := r.open(Options{})
	out, _ := r.attach(web)
	io.WriteString(out, "first")
	for len(r.entries(web)) == 0 {
		<-r.written
	}
	c.Close(false)
	r.open(Options{})
	r.attach(web)
	io.WriteString(out, "second\n")
	r.await(web, cri.Stdout, "first\nsecond\n")
}
