package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/reconciler/logs/cri"
	"svc.d/reconciler/logs/reader"
)

// refused says why whoever asks may not read the files of what was chosen; nil is no
// reason. Where there are no files yet, those that come would be the daemon's.
func (l *logPlace) refused(chosen []target) error {
	for _, t := range chosen {
		name := t.service.Metadata.Name
		ordinals, err := reader.Ordinals(l.dir, name)
		if err == nil && len(ordinals) == 0 && unix.Access(l.dir, unix.W_OK) != nil {
			err = &fs.PathError{Op: "open", Path: filepath.Join(l.dir, name), Err: unix.EACCES}
		}
		for _, n := range ordinals {
			if t.ordinal >= 0 && t.ordinal != n || err != nil {
				continue
			}
			var f *os.File
			if f, err = os.Open(filepath.Join(l.dir, name, cri.File{Ordinal: n}.Name())); err == nil {
				f.Close()
			}
		}
		if errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return nil
}

// askForLog has the daemon send what may not be read. It tells of one service at a
// time.
func (a *app) askForLog(ctx context.Context, l *logPlace, chosen []target, flags *logsFlags, since time.Time, refused error) error {
	switch {
	case l.asked == nil:
		return fmt.Errorf("cannot read the files: %w (%w); do it as root", refused, l.why)
	case flags.logDir != "":
		return fmt.Errorf("cannot read the files: %w; do it as root, or leave --log-dir out to have the daemon read them", refused)
	case len(chosen) > 1:
		return fmt.Errorf("cannot merge the logs of %d services, for that takes reading the files: %w; name one, which the daemon can tell of, or do it as root", len(chosen), refused)
	}
	t := chosen[0]
	log, err := l.asked.client.Log(ctx, t.service.Metadata.Name, logParameters(t, flags, since))
	if err != nil {
		return withHint(err)
	}
	defer log.Close()
	_, err = io.Copy(a.stdout, log)
	switch {
	case err == nil || ctx.Err() != nil || errors.Is(err, unix.EPIPE):
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF) && flags.follow:
		return errors.New("the daemon has cut the log off, as it does when it executes itself anew or ends; ask again, with --since")
	}
	return fmt.Errorf("cannot read the log to its end: %w", err)
}

// logParameters say with the words of the API what the flags say.
func logParameters(t target, flags *logsFlags, since time.Time) url.Values {
	q := url.Values{}
	for name, on := range map[string]bool{
		"follow": flags.follow, "previous": flags.previous, "timestamps": flags.timestamps,
		"prefix": flags.prefix || t.ordinal < 0 && len(t.service.Status.ReplicaStatuses) > 1,
	} {
		if on {
			q.Set(name, "true")
		}
	}
	if t.ordinal >= 0 {
		q.Set("ordinal", strconv.Itoa(int(t.ordinal)))
	}
	if flags.tail >= 0 {
		q.Set("tailLines", strconv.Itoa(flags.tail))
	}
	if !since.IsZero() {
		q.Set("sinceTime", since.UTC().Format(time.RFC3339Nano))
	}
	if flags.grep != "" {
		q.Set("grep", flags.grep)
	}
	switch flags.stream {
	case "stdout":
		q.Set("stream", "Stdout")
	case "stderr":
		q.Set("stream", "Stderr")
	}
	return q
}
