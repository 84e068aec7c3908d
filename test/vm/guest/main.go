// Command guest runs in a virtual machine of the tests and does what they ask:
// it reads requests from the second serial port, runs each with the shell, and
// answers with the exit code and what was printed.
//
// Requests and answers are lines of JSON. The first answer of each boot is a
// greeting with the boot's id, so that a test notices a reboot.
//
// As `guest running FOLDER` it lists the processes whose program lies there.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/test/world"
)

const port = "/dev/ttyS1"

type request struct {
	ID    int64
	Shell string
	// Until, when it is not 0, has the command run again and again for so many
	// seconds, until it succeeds.
	Until int64
}

type answer struct {
	ID     int64
	Boot   string `json:",omitempty"`
	Code   int
	Output string
}

func main() {
	var err error
	if len(os.Args) == 3 && os.Args[1] == "running" {
		err = list(os.Args[2])
	} else {
		err = serve()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		os.Exit(1)
	}
}

func list(folder string) error {
	running, err := world.Running(folder)
	for _, process := range running {
		fmt.Println(process.Pid, process.Command)
	}
	return err
}

func serve() error {
	line, err := os.OpenFile(port, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	if err := makeRaw(int(line.Fd())); err != nil {
		return fmt.Errorf("cannot set up %s: %w", port, err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return err
	}
	out := json.NewEncoder(line)
	if err := out.Encode(answer{Boot: strings.TrimSpace(string(boot))}); err != nil {
		return err
	}
	lines := bufio.NewReader(line)
	for {
		text, err := lines.ReadBytes('\n')
		if err != nil {
			return err
		}
		var r request
		if err := json.Unmarshal(text, &r); err != nil {
			fmt.Fprintf(os.Stderr, "guest: cannot read %q: %v\n", text, err)
			continue
		}
		if err := out.Encode(r.obey()); err != nil {
			return err
		}
	}
}

// makeRaw has the terminal hand on every byte as it is.
func makeRaw(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
	t.Cflag = unix.CS8 | unix.CREAD | unix.CLOCAL | unix.B115200
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}

func (r request) obey() answer {
	pause := 20 * time.Millisecond
	for deadline := time.Now().Add(time.Duration(r.Until) * time.Second); ; {
		code, output := run(r.Shell)
		if code == 0 || time.Now().After(deadline) {
			return answer{ID: r.ID, Code: code, Output: output}
		}
		time.Sleep(pause)
		pause = min(2*pause, 200*time.Millisecond)
	}
}

// run does not wait for what the command leaves in the background: the output is
// a file and no pipe.
func run(shell string) (code int, output string) {
	fd, err := unix.MemfdCreate("output", unix.MFD_CLOEXEC)
	if err != nil {
		return -1, err.Error()
	}
	file := os.NewFile(uintptr(fd), "output")
	defer file.Close()
	command := exec.Command("/bin/sh", "-c", shell)
	command.Stdout, command.Stderr = file, file
	err = command.Run()
	text, readErr := io.ReadAll(io.NewSectionReader(file, 0, 1<<20))
	if readErr != nil {
		return -1, readErr.Error()
	}
	var failed *exec.ExitError
	switch {
	case err == nil:
		return 0, string(text)
	case errors.As(err, &failed):
		return failed.ExitCode(), string(text)
	default:
		return -1, string(bytes.Join([][]byte{text, []byte(err.Error())}, nil))
	}
}
