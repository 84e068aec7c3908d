// Command beacon is the service of the end-to-end scripts. It tells a file what
// it does, so that a script can judge by the world and not by the daemon's word.
//
// Each record is one line, written with one call, so that the lines of many
// processes do not mix:
//
//	start web-0 pid=4711 label=v1
//	signal web-0 pid=4711 label=v1 terminated
//	end web-0 pid=4711 label=v1
//	double web-0 pid=4712 label=v1
//
// The last one is of a replica that was started while another of its name was
// living: with -alone each holds a lock as long as it lives, which tells better
// than looking from outside.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// orders is what a beacon was told to do.
type orders struct {
	file      string
	label     string
	code      int
	after     time.Duration
	ignore    bool
	linger    time.Duration
	children  int
	stubborn  bool
	daemonise bool
	die       string
	alone     string
	asleep    bool
	bye       bool
	as        string
	listen    string
}

func main() {
	var o orders
	flag.StringVar(&o.file, "file", "", "append records to this `file`")
	flag.StringVar(&o.label, "label", "", "a `word` that stands in the records")
	flag.IntVar(&o.code, "exit", -1, "end with this `code` instead of running on")
	flag.DurationVar(&o.after, "after", 0, "end not before this `time`")
	flag.BoolVar(&o.ignore, "ignore-term", false, "record SIGTERM and go on")
	flag.DurationVar(&o.linger, "linger", 0, "take so much `time` to end after SIGTERM")
	flag.IntVar(&o.children, "children", 0, "start `n` children first")
	flag.BoolVar(&o.stubborn, "stubborn-children", false, "the children ignore SIGTERM")
	flag.BoolVar(&o.daemonise, "daemonise", false, "leave a child in a session of its own and end with code 0")
	flag.StringVar(&o.die, "die-without", "", "end with code 7 as long as this `file` does not exist")
	flag.StringVar(&o.alone, "alone", "", "lock a file of the replica's name in this `folder`, and record when somebody else has it")
	flag.BoolVar(&o.asleep, "asleep", false, "end with the code only when told by SIGHUP")
	flag.BoolVar(&o.bye, "bye", false, "record the end before ending with the code")
	flag.StringVar(&o.as, "as", "", "the replica's `name`, for who looks at the command line")
	flag.StringVar(&o.listen, "listen", "", "listen on this TCP `address` all the while")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "beacon:", err)
		os.Exit(1)
	}
}

func run(o orders) error {
	// Before the record of the start: who reads it may send a signal.
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)

	held, err := lock(o)
	if err != nil {
		return err
	}
	defer held.Close()
	if o.listen != "" {
		listener, err := net.Listen("tcp", o.listen)
		if err != nil {
			return err
		}
		defer listener.Close()
	}
	if err := record(o, "start", ""); err != nil {
		return err
	}
	if o.daemonise {
		return spawn(o, true, "-label", o.label+"-away")
	}
	for i := range o.children {
		arguments := []string{"-label", o.label + "-child" + strconv.Itoa(i)}
		if o.stubborn {
			arguments = append(arguments, "-ignore-term")
		}
		if err := spawn(o, false, arguments...); err != nil {
			return err
		}
	}
	if o.die != "" {
		if _, err := os.Stat(o.die); err != nil {
			os.Exit(7)
		}
	}
	if o.code >= 0 && !o.asleep {
		time.Sleep(o.after)
		if o.bye {
			if err := record(o, "end", ""); err != nil {
				return err
			}
		}
		os.Exit(o.code)
	}
	for s := range signals {
		if s == syscall.SIGHUP && o.asleep {
			os.Exit(o.code)
		}
		if err := record(o, "signal", s.String()); err != nil {
			return err
		}
		if !o.ignore {
			break
		}
	}
	time.Sleep(o.linger)
	return record(o, "end", "")
}

// spawn starts this program once more and does not wait for it.
func spawn(o orders, session bool, arguments ...string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	child := exec.Command(self, append(arguments, "-file", o.file)...)
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: session}
	return child.Start()
}

// lock holds the lock of the replica until the process ends, however it does.
// What it starts does not inherit it.
func lock(o orders) (*os.File, error) {
	if o.alone == "" {
		return nil, nil
	}
	file, err := os.OpenFile(o.alone+"/"+os.Getenv("SVC_NAME")+"-"+os.Getenv("SVC_REPLICA"), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return file, record(o, "double", err.Error())
	}
	return file, nil
}

func record(o orders, what, detail string) error {
	if o.file == "" {
		return nil
	}
	line := fmt.Sprintf("%s %s-%s pid=%d label=%s", what, os.Getenv("SVC_NAME"), os.Getenv("SVC_REPLICA"), os.Getpid(), o.label)
	if detail != "" {
		line += " " + detail
	}
	file, err := os.OpenFile(o.file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	_, err = file.WriteString(line + "\n")
	if closed := file.Close(); err == nil {
		err = closed
	}
	return err
}
