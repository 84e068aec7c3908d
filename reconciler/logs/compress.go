package logs

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// makingSuffix is what a compressed file's name ends in until it is whole.
const makingSuffix = ".tmp"

// errStopped says that the daemon ends.
var errStopped = errors.New("the daemon ends")

// compress replaces a file by its gzip file. Whoever has it open reads on; at any
// moment one of the two is whole.
func (k *keeper) compress(path string) (err error) {
	from, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	info, err := from.Stat()
	if err != nil {
		return err
	}
	making := path + ".gz" + makingSuffix
	to, err := os.OpenFile(making, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, info.Mode().Perm())
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, to.Close()); err != nil {
			_ = os.Remove(making)
		}
		if errors.Is(err, errStopped) {
			err = nil
		}
	}()
	// A level above costs three times as much and gains a tenth.
	zip, err := gzip.NewWriterLevel(to, gzip.BestSpeed)
	if err != nil {
		return fmt.Errorf("cannot compress %s: %w", path, err)
	}
	zip.ModTime = info.ModTime()
	if _, err := io.CopyBuffer(zip, &politeReader{from, k.stop}, make([]byte, 32<<10)); err != nil {
		return err
	}
	if err := zip.Close(); err != nil {
		return err
	}
	if err := to.Sync(); err != nil { // before the original is removed
		return err
	}
	if err := os.Chtimes(making, info.ModTime(), info.ModTime()); err != nil {
		return err
	}
	if err := os.Rename(making, path+".gz"); err != nil {
		return err
	}
	after, err := os.Stat(path + ".gz")
	if err == nil {
		k.bytes.Add(after.Size() - info.Size())
	}
	k.remove(path)
	return nil
}

// politeReader lets others run between reads, and ends when the daemon does.
type politeReader struct {
	from io.Reader
	stop <-chan struct{}
}

func (r *politeReader) Read(b []byte) (int, error) {
	select {
	case <-r.stop:
		return 0, errStopped
	default:
	}
	runtime.Gosched()
	return r.from.Read(b)
}
