package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"svc.d/spec"
)

// daemonFile holds what a daemon runs with.
const daemonFile = "daemon"

// Daemon is what a daemon runs with: where its manifests are, and the
// configuration in force, whose document may be broken by now. It is of the
// present boot.
type Daemon struct {
	Dir           string
	Recursive     bool
	CheckTrust    bool
	TrustOwners   []uint32
	Configuration *spec.Configuration // nil: no document
	Directory     string              // which one it is: spec.Set.Directory
	Held          bool                // a removal, or the directory, is held
	// Ended says that it has stopped everything: what is declared from now on is
	// for the directory alone to say.
	Ended bool
}

type daemonContent struct {
	Boot          string          `json:"boot"`
	Dir           string          `json:"dir"`
	Recursive     bool            `json:"recursive,omitempty"`
	CheckTrust    bool            `json:"checkTrust,omitempty"`
	TrustOwners   []uint32        `json:"trustOwners,omitempty"`
	Configuration json.RawMessage `json:"configuration,omitempty"`
	Source        *source         `json:"source,omitempty"`
	Directory     string          `json:"directory,omitempty"`
	Held          bool            `json:"held,omitempty"`
	Ended         bool            `json:"ended,omitempty"`
}

// KeepDaemon replaces what is kept of the daemon. When it cannot, nothing is kept
// rather than what is not so any more.
func (s *Store) KeepDaemon(d *Daemon) error {
	c := daemonContent{Boot: s.boot, Dir: d.Dir, Recursive: d.Recursive, CheckTrust: d.CheckTrust, TrustOwners: d.TrustOwners,
		Directory: d.Directory, Held: d.Held, Ended: d.Ended}
	if d.Configuration != nil {
		var err error
		if c.Configuration, err = json.Marshal(d.Configuration); err != nil {
			return fmt.Errorf("cannot encode the configuration: %w", err)
		}
		from := d.Configuration.Source
		c.Source = &source{from.File, from.Document, from.Line}
	}
	body, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("cannot encode what the daemon runs with: %w", err)
	}
	path := filepath.Join(s.StateDir, daemonFile)
	if err = os.WriteFile(path+newFile, wrap(body), 0o600); err == nil {
		err = os.Rename(path+newFile, path)
	}
	if err != nil {
		_ = os.Remove(path)
		return fmt.Errorf("cannot write down what the daemon runs with: %w", err)
	}
	return nil
}

// LoadDaemon reads what was kept in this boot; nil when nothing was.
func (s *Store) LoadDaemon() (*Daemon, error) {
	data, err := os.ReadFile(filepath.Join(s.StateDir, daemonFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read what the daemon ran with: %w", err)
	}
	body, err := unwrap(data)
	var c daemonContent
	if err == nil {
		err = json.Unmarshal(body, &c)
	}
	if err == nil && c.Boot != s.boot {
		return nil, nil
	}
	d := &Daemon{Dir: c.Dir, Recursive: c.Recursive, CheckTrust: c.CheckTrust, TrustOwners: c.TrustOwners,
		Directory: c.Directory, Held: c.Held, Ended: c.Ended}
	if err == nil && len(c.Configuration) > 0 {
		if d.Configuration, err = spec.DecodeConfiguration(c.Configuration); err == nil && c.Source != nil {
			d.Configuration.Source = spec.Source{File: c.Source.File, Document: c.Source.Document, Line: c.Source.Line}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read what the daemon ran with: %w", err)
	}
	return d, nil
}

// wrap puts before the content what unwrap checks.
func wrap(body []byte) []byte {
	head := fmt.Sprintf("%s %d %08x %d\n", magic, version, crc32.Checksum(body, castagnoli), len(body))
	return append(append(make([]byte, 0, len(head)+len(body)+1), head...), append(body, '\n')...)
}
