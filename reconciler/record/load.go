package record

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/spec"
)

// maxRecord bounds what is read: a manifest has at most 4 MiB.
const maxRecord = 16 << 20

// Kept is what an earlier daemon of this boot had recorded.
type Kept struct {
	Records []reconciler.Record // in no order
	// Unreadable are the records that are damaged, or of another version, with
	// what is wrong.
	Unreadable map[reconciler.ReplicaID]error
	// Foreign are names in the folder that no record has.
	Foreign []string
}

// Load reads all records. Those of another boot are removed: nothing of theirs
// can be alive. It is to be called before the first Record.
func (s *Store) Load() (*Kept, error) {
	k := &Kept{Unreadable: map[reconciler.ReplicaID]error{}}
	if s.dir < 0 {
		return k, nil
	}
	byService, err := s.list(k)
	if err != nil {
		return nil, err
	}
	services := slices.Sorted(maps.Keys(byService))
	var next atomic.Int64
	var mu sync.Mutex
	var group sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(services)) {
		group.Go(func() {
			for n := next.Add(1) - 1; n < int64(len(services)); n = next.Add(1) - 1 {
				s.loadService(byService[services[n]], k, &mu)
			}
		})
	}
	group.Wait()
	return k, nil
}

// list finds the names of records, by service.
func (s *Store) list(k *Kept) (map[string][]reconciler.ReplicaID, error) {
	entries, err := os.ReadDir(s.path)
	if err != nil {
		return nil, fmt.Errorf("cannot list the records: %w", err)
	}
	byService := map[string][]reconciler.ReplicaID{}
	for _, e := range entries {
		if e.Name() == newFile {
			continue // cut off by a crash; it will be written over
		}
		id, ok := reconciler.ParseReplicaID(e.Name())
		if !ok {
			k.Foreign = append(k.Foreign, filepath.Join(s.path, e.Name()))
			continue
		}
		byService[id.Service] = append(byService[id.Service], id)
	}
	return byService, nil
}

// loadService reads the records of one service, which share their manifests.
func (s *Store) loadService(ids []reconciler.ReplicaID, k *Kept, mu *sync.Mutex) {
	manifests := map[string]*spec.Service{}
	for _, id := range ids {
		r, err := s.load(id, manifests)
		if errors.Is(err, errOtherBoot) || errors.Is(err, os.ErrNotExist) {
			if !s.ReadOnly {
				_ = unix.Unlinkat(s.dir, id.String(), 0)
			}
			continue
		}
		mu.Lock()
		if err != nil {
			k.Unreadable[id] = err
		} else {
			k.Records = append(k.Records, r)
		}
		mu.Unlock()
	}
}

func (s *Store) load(id reconciler.ReplicaID, manifests map[string]*spec.Service) (reconciler.Record, error) {
	data, err := s.read(id.String())
	if err != nil {
		return reconciler.Record{}, err
	}
	r, err := s.decode(data, manifests)
	if err == nil && r.Instance.ID != id {
		err = fmt.Errorf("it is of %s", r.Instance.ID)
	}
	return r, err
}

// read reads a regular file without waiting for anything else that may have its
// name.
func (s *Store) read(name string) ([]byte, error) {
	fd, err := unix.Openat(s.dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(fd) }()
	data := make([]byte, 0, 4096)
	for {
		n, err := unix.Read(fd, data[len(data):cap(data)])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return nil, err
		case n < cap(data)-len(data):
			return data[:len(data)+n], nil // the end: it is a regular file
		case len(data)+n > maxRecord:
			return nil, io.ErrShortBuffer
		}
		data = data[:len(data)+n]
		if len(data) == cap(data) {
			data = slices.Grow(data, len(data))
		}
	}
}

// Decode reads a second copy, as it was handed to the function of SetMark. It
// fails for one of another boot, too.
func (s *Store) Decode(data []byte) (reconciler.Record, error) {
	return s.decode([]byte(strings.Clone(string(data))), map[string]*spec.Service{})
}

// Unreadables lists the replicas whose records cannot be read.
func (k *Kept) Unreadables() []reconciler.ReplicaID {
	return slices.Collect(maps.Keys(k.Unreadable))
}
