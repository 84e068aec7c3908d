package spec

import (
	"strconv"
	"strings"
	"syscall"
)

// signalNames are the signals 1 to 31 of signal(7) as x86, ARM and most other
// machines number them. Index 0 is no signal.
var signalNames = [...]string{
	"", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL",
	"USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT",
	"STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
	"WINCH", "IO", "PWR", "SYS",
}

// The real-time signals that programs may use: libc keeps 32 and 33.
const (
	sigRTMin = 34
	sigRTMax = 64
)

// Number returns the number of the signal, or 0 when it is none. A Signal of
// a parsed Service is always one.
func (s Signal) Number() syscall.Signal {
	name, found := strings.CutPrefix(string(s), "SIG")
	if !found {
		return 0
	}
	return signalNumber(name)
}

func signalNumber(name string) syscall.Signal {
	for number, known := range signalNames {
		if known == name && number > 0 {
			return syscall.Signal(number)
		}
	}
	switch name {
	case "IOT":
		return syscall.SIGABRT
	case "POLL":
		return syscall.SIGIO
	case "CLD":
		return syscall.SIGCHLD
	}
	if offset, found := strings.CutPrefix(name, "RTMIN"); found {
		return realTime(sigRTMin, "+", offset)
	}
	if offset, found := strings.CutPrefix(name, "RTMAX"); found {
		return realTime(sigRTMax, "-", offset)
	}
	return 0
}

func realTime(base int, sign, offset string) syscall.Signal {
	if offset == "" {
		return syscall.Signal(base)
	}
	digits, found := strings.CutPrefix(offset, sign)
	distance, err := strconv.ParseUint(digits, 10, 8)
	if !found || err != nil || distance > sigRTMax-sigRTMin {
		return 0
	}
	if sign == "-" {
		return syscall.Signal(base - int(distance))
	}
	return syscall.Signal(base + int(distance))
}

// SignalOf returns the signal with that number, or "" when there is none that
// a program may be sent.
func SignalOf(number syscall.Signal) Signal {
	switch {
	case number == sigRTMin:
		return "SIGRTMIN"
	case number > sigRTMin && number <= sigRTMax:
		return Signal("SIGRTMIN+" + strconv.Itoa(int(number)-sigRTMin))
	case number > 0 && int(number) < len(signalNames):
		return Signal("SIG" + signalNames[number])
	default:
		return ""
	}
}

// parseSignal reads "SIGTERM", "TERM" or "15".
func parseSignal(text string) (Signal, bool) {
	if text == "SIGTERM" {
		return "SIGTERM", true // the usual one, without a copy
	}
	if number, err := strconv.ParseUint(text, 10, 8); err == nil {
		signal := SignalOf(syscall.Signal(number))
		return signal, signal != ""
	}
	signal := SignalOf(signalNumber(strings.TrimPrefix(text, "SIG")))
	return signal, signal != ""
}

// ParseSignal reads a signal as people write it: "SIGTERM", "TERM" or "15".
func ParseSignal(text string) (Signal, bool) { return parseSignal(strings.ToUpper(text)) }

// allSignals lists the names to suggest.
func allSignals() []string {
	names := make([]string, 0, len(signalNames)+1)
	for _, name := range signalNames[1:] {
		names = append(names, "SIG"+name)
	}
	return append(names, "SIGRTMIN", "SIGRTMAX")
}
