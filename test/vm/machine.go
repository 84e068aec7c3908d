package vm

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// patience is how long anything in a guest may take. It decides nothing but how
// long a failure takes; a guest without KVM, on a busy machine, is slow.
const patience = 90 * time.Second

// kernelArguments: a kernel that panics stands still, and its last words end the
// test. On a busy machine a guest's timer comes late, and the kernel would take it
// for broken.
const kernelArguments = "console=ttyS0 quiet panic=0 no_timer_check random.trust_cpu=on"

// ErrSilent says that the guest does not answer, and will not answer others.
var ErrSilent = errors.New("the guest is silent")

// Disk is a file that the guest has as its disk.
type Disk struct {
	Path string
	// Keep writes to the file what the guest writes. Otherwise it ends with the
	// guest.
	Keep bool
}

// Machine is a running guest.
type Machine struct {
	command *exec.Cmd
	ended   chan struct{} // closed when qemu has ended
	console *console
	line    *line
}

// Boot starts a guest and waits until its program greets. Arguments are the
// kernel's; what follows "--" is for /init.
func (p Parts) Boot(folder string, ramDisk *Archive, disks []Disk, arguments string) (*Machine, error) {
	file := filepath.Join(folder, "ramdisk")
	if err := os.WriteFile(file, ramDisk.Bytes(), 0o600); err != nil {
		return nil, fmt.Errorf("cannot write the RAM disk: %w", err)
	}
	near, far, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer far.Close()
	options := []string{
		"-no-user-config", "-nodefaults", "-display", "none", "-machine", "pc", "-accel", "tcg", "-cpu", "max", "-m", "768",
		"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
		"-chardev", "socket,id=line,fd=3", "-serial", "chardev:line",
		"-kernel", p.kernel, "-initrd", file,
		"-append", kernelArguments + " " + arguments,
	}
	for _, d := range disks {
		snapshot := "on"
		if d.Keep {
			snapshot = "off"
		}
		options = append(options, "-drive", "if=virtio,format=raw,file="+d.Path+",snapshot="+snapshot)
	}
	m := &Machine{command: exec.Command(p.qemu, options...), ended: make(chan struct{}), line: newLine(near)}
	m.console = &console{panicked: m.PowerLoss}
	m.command.Stdout, m.command.Stderr = m.console, m.console
	m.command.ExtraFiles = []*os.File{far}
	// A test that ends in a panic does not leave a guest behind.
	m.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := m.command.Start(); err != nil {
		near.Close()
		return nil, fmt.Errorf("cannot start qemu: %w", err)
	}
	go func() {
		_ = m.command.Wait()
		near.Close()
		close(m.ended)
	}()
	go m.line.read()
	if _, err := m.Greeting(); err != nil {
		m.PowerLoss()
		return nil, fmt.Errorf("cannot boot: %w\n%s", err, m.Console())
	}
	return m, nil
}

// Greeting waits for the next start of the guest's program and returns the
// boot's id. Boot has waited for the first: who calls it waits for a reboot.
func (m *Machine) Greeting() (string, error) {
	select {
	case boot := <-m.line.greetings:
		return boot, nil
	case <-m.ended:
		return "", errors.New("the guest went off")
	case <-time.After(patience):
		return "", fmt.Errorf("no sign of life within %v", patience)
	}
}

// Run has the shell run the command in the guest, and returns what it printed.
// It is an error when it fails.
func (m *Machine) Run(command string) (string, error) { return m.ask(command, 0) }

// Await has the command run again and again until it succeeds.
func (m *Machine) Await(command string) (string, error) {
	return m.ask(command, patience/2)
}

func (m *Machine) ask(command string, until time.Duration) (string, error) {
	reply, err := m.line.send(command, until)
	if err != nil {
		return "", err
	}
	select {
	case a := <-reply:
		if a.Code != 0 {
			return a.Output, fmt.Errorf("in the guest, `%s` ended with code %d: %s", command, a.Code, a.Output)
		}
		return a.Output, nil
	case <-m.ended:
		return "", fmt.Errorf("%w: it went off during `%s`", ErrSilent, command)
	case <-time.After(patience):
		return "", fmt.Errorf("%w: no answer to `%s` within %v", ErrSilent, command, patience)
	}
}

// Tell hands the command to the guest and does not wait for an answer: it may
// end the guest.
func (m *Machine) Tell(command string) error {
	_, err := m.line.send(command, 0)
	return err
}

// WaitOff waits until the guest has switched itself off.
func (m *Machine) WaitOff() error {
	select {
	case <-m.ended:
		if state := m.command.ProcessState; !state.Success() {
			return fmt.Errorf("qemu ended with %v", state)
		}
		return nil
	case <-time.After(patience):
		return fmt.Errorf("the guest did not switch itself off within %v", patience)
	}
}

// PowerLoss ends the guest between two of its instructions.
func (m *Machine) PowerLoss() {
	_ = m.command.Process.Kill()
	<-m.ended
}

// Console is what the kernel and process 1 have said.
func (m *Machine) Console() string { return m.console.String() }

// console collects what the guest writes to its first serial port.
type console struct {
	mu       sync.Mutex
	text     bytes.Buffer
	panicked func()
}

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := bytes.Contains(c.text.Bytes(), lastWords)
	c.text.Write(p)
	if !before && bytes.Contains(c.text.Bytes(), lastWords) {
		// What it says of the reason is still to come.
		time.AfterFunc(time.Second, c.panicked)
	}
	return len(p), nil
}

var lastWords = []byte("Kernel panic")

func (c *console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.ToValidUTF8(strings.ReplaceAll(c.text.String(), "\r\n", "\n"), "?")
}

// socketPair makes the two ends of the line to the guest's second serial port.
func socketPair() (near, far *os.File, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a line to the guest: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "line"), os.NewFile(uintptr(fds[1]), "line"), nil
}
