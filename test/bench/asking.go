package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"time"

	"svc.d/test/world"
)

// askings is how often each is measured.
const askings = 20

// asking measures how long a list of all services takes, beside the same bytes through
// a socket; the command get, beside cat of what it prints through a socket; and what
// clients that mean no good do to a restart.
func (b *bench) asking(w io.Writer) error {
	d, all, processes, err := b.begin(filepath.Join(b.folder, "asking"), b.n)
	if err != nil {
		return err
	}
	defer processes.close()
	defer processes.kill()
	time.Sleep(5 * time.Second) // it is at rest
	ratios, err := b.ask(d)
	if err != nil {
		return d.end(err)
	}
	fmt.Fprintf(w, "\nAsking for %d services, medians of %d\n", b.n, askings)
	line(w, "list / the same bytes through a socket", fmt.Sprintf("%.1f", ratios[0]), "3", ratios[0] < 3)
	line(w, "get / cat of what it prints from a socket", fmt.Sprintf("%.1f", ratios[1]), "3", ratios[1] < 3)
	fmt.Fprintf(w, "  %-44s %14.1f\n", "the program's start alone / that cat", ratios[2])
	half := b.n / 2
	first, rest := processes[:half:half], processes[half:]
	quiet, err := d.restarts(all[:half], &first, b.kills)
	defer func() { first[half:].close() }()
	if err != nil {
		return d.end(err)
	}
	end := world.Besiege(filepath.Join(d.state, "api.sock"))
	settle()
	besieged, err := d.restarts(all[half:], &rest, b.kills)
	end()
	defer func() { rest[b.n-half:].close() }()
	if err != nil {
		return d.end(err)
	}
	ratio := float64(median(besieged)) / float64(median(quiet))
	line(w, "kill -9 to successor, besieged / quiet", fmt.Sprintf("%.2f", ratio), "1.3", ratio <= 1.3)
	return d.end(nil)
}

func (b *bench) ask(d *daemon) (ratios [3]float64, err error) {
	socket := filepath.Join(d.state, "api.sock")
	list, err := get(socket)
	if err != nil {
		return ratios, err
	}
	printed, err := exec.Command(b.daemon, "get", "--state-dir", d.state).Output()
	if err != nil {
		return ratios, err
	}
	echoes := [2]string{filepath.Join(b.folder, "list.sock"), filepath.Join(b.folder, "table.sock")}
	for n, text := range [][]byte{list, printed} {
		listener, err := net.Listen("unix", echoes[n])
		if err != nil {
			return ratios, err
		}
		defer listener.Close()
		go serveBytes(listener, text)
	}
	var times [5][]int64
	for range askings {
		for n, do := range []func() error{
			func() error { _, err := get(socket); return err },
			func() error { _, err := get(echoes[0]); return err },
			func() error { return exec.Command(b.daemon, "get", "--state-dir", d.state).Run() },
			func() error { return cat(echoes[1]) },
			func() error { return exec.Command(b.daemon, "version", "--help").Run() },
		} {
			began := time.Now()
			if err := do(); err != nil {
				return ratios, err
			}
			times[n] = append(times[n], int64(time.Since(began)))
		}
	}
	ratios[0] = float64(median(times[0])) / float64(median(times[1]))
	ratios[1] = float64(median(times[2])) / float64(median(times[3]))
	ratios[2] = float64(median(times[4])) / float64(median(times[3]))
	return ratios, nil
}

// cat has cat(1) read all that a socket has.
func cat(socket string) error {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("all")); err != nil {
		return err
	}
	file, err := conn.(*net.UnixConn).File()
	if err != nil {
		return err
	}
	defer file.Close()
	command := exec.Command("cat")
	command.Stdin = file
	return command.Run()
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
