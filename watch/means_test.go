package watch

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var epoch = time.Unix(1_000_000_000, 0)

func write(content string) func(t *testing.T, path string) {
	return func(t *testing.T, path string) { renameIn(t, path, content) }
}

func huge(t *testing.T, path string) {
	tmp := path + ".tmp"
	must(t, os.WriteFile(tmp, []byte(service("web", "2")), 0o644))
	must(t, os.Truncate(tmp, 50<<20))
	must(t, os.Rename(tmp, path))
}

func mkfifo(path string) error { return unix.Mkfifo(path, 0o644) }

func relink(t *testing.T, target, path string) {
	t.Helper()
	must(t, os.Symlink(target, path+".tmp"))
	must(t, os.Rename(path+".tmp", path))
}

func aliasBomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x]\n")
	for i := range 40 {
		fmt.Fprintf(&b, "a%d: &a%d [*a%d, *a%d, *a%d]\n", i+1, i+1, i, i, i)
	}
	return b.String()
}
