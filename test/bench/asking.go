package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// askings is how often each is measured.
const askings = 20

// asking measures how long a list of all services takes, beside the same bytes through
// a socket, and the command get beside cat of what it prints.
func (b *bench) asking(w io.Writer) error {
	d, err := startDaemon(b.daemon, b.service, filepath.Join(b.folder, "asking"), b.n)
	if err != nil {
		return err
	}
	if _, err := d.stamps.next(b.n, patience); err != nil {
		return d.end(err)
	}
	time.Sleep(5 * time.Second) // it is at rest
	ratios, err := b.ask(d)
	if err != nil {
		return d.end(err)
	}
	fmt.Fprintf(w, "\nAsking for %d services, medians of %d\n", b.n, askings)
	line(w, "list / the same bytes through a socket", fmt.Sprintf("%.1f", ratios[0]), "3", ratios[0] < 3)
	line(w, "get / cat of what it prints", fmt.Sprintf("%.1f", ratios[1]), "3", ratios[1] < 3)
	return d.end(nil)
}

func (b *bench) ask(d *daemon) (ratios [2]float64, err error) {
	socket := filepath.Join(d.state, "api.sock")
	list, err := get(socket)
	if err != nil {
		return ratios, err
	}
	echo := filepath.Join(b.folder, "echo.sock")
	listener, err := net.Listen("unix", echo)
	if err != nil {
		return ratios, err
	}
	defer listener.Close()
	go serveBytes(listener, list)
	printed, err := exec.Command(b.daemon, "get", "--state-dir", d.state).Output()
	if err != nil {
		return ratios, err
	}
	file := filepath.Join(b.folder, "printed")
	if err := os.WriteFile(file, printed, 0o600); err != nil {
		return ratios, err
	}
	var times [4][]int64
	for range askings {
		for n, do := range []func() error{
			func() error { _, err := get(socket); return err },
			func() error { _, err := get(echo); return err },
			func() error { return exec.Command(b.daemon, "get", "--state-dir", d.state).Run() },
			func() error { return exec.Command("cat", file).Run() },
		} {
			began := time.Now()
			if err := do(); err != nil {
				return ratios, err
			}
			times[n] = append(times[n], int64(time.Since(began)))
		}
	}
	for n := range ratios {
		ratios[n] = float64(median(times[2*n])) / float64(median(times[2*n+1]))
	}
	return ratios, nil
}

// get reads the list of services, or whatever else answers.
func get(socket string) ([]byte, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /apis/svc.d/v1/services HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"); err != nil {
		return nil, err
	}
	return io.ReadAll(conn)
}

func serveBytes(listener net.Listener, text []byte) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		var request [1024]byte
		_, _ = conn.Read(request[:])
		_, _ = io.Copy(conn, bytes.NewReader(text))
		_ = conn.Close()
	}
}
