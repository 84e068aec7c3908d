package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"svc.d/reconciler/logs"
	"svc.d/reconciler/logs/cri"
)

func TestATerminalShowsLinesWithTheirReplica(t *testing.T) {
	tests := map[string]struct {
		text   string
		colour bool
		want   string
	}{
		"a line":                            {"hello", false, "web-0 | hello\n"},
		"no text":                           {"", false, "web-0 | \n"},
		"what would steer the terminal":     {"a\x1b[2Jb\x07\x7f\tc\r", false, "web-0 | a^[[2Jb^G^?\tc\n"},
		"what would in eight bits":          {"ä\u009b2J\x9b2J\xff…", false, "web-0 | ä<9b>2J<9b>2J\xff…\n"},
		"colours stay, and end":             {"\x1b[1;31mred", false, "web-0 | \x1b[1;31mred\x1b[0m\n"},
		"a sequence that is cut off":        {"\x1b[31", false, "web-0 | ^[[31\n"},
		"a carriage return within the line": {"10%\r20%", false, "web-0 | 10%^M20%\n"},
		"controls of C1":                    {"\x9b2J\u009b2J\u00a0\u00e9\u20ac\xff\xc3", false, "web-0 | <9b>2J<9b>2J\u00a0\u00e9\u20ac\xff\xc3\n"},
		"the name has the replica's colour": {"hello", true, "\x1b[93mweb-0 | \x1b[0mhello\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			entry := append(cri.AppendHeader(nil, time.Unix(0, 0), cri.Stdout, false), test.text...)
			newTerminal(&out, &out, test.colour).Entries(logs.Replica{Service: "web"}, append(entry, '\n'))
			if diff := cmp.Diff(test.want, out.String()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestTheNamesOnATerminalAreAligned(t *testing.T) {
	var out bytes.Buffer
	terminal := newTerminal(&out, &out, false)
	entry := append(cri.AppendHeader(nil, time.Unix(0, 0), cri.Stdout, false), "x\n"...)
	for _, name := range []string{"longer", "web"} {
		terminal.Entries(logs.Replica{Service: name}, entry)
	}
	if diff := cmp.Diff("longer-0 | x\nweb-0    | x\n", out.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestAFloodHidesNeitherOtherServicesNorOurOwnLines(t *testing.T) {
	g := newGate()
	q := newLogQueue(g, lost)
	q.Write([]byte("first\n"))
	<-g.entered // and hangs in the writer
	terminal := newTerminal(share{q, quietQueueBytes}, share{q, floodQueueBytes}, false)
	entry := append(cri.AppendHeader(nil, time.Unix(0, 0), cri.Stdout, false), "hello\n"...)
	flood := bytes.Repeat(entry, 2*logQueueBytes/len(entry))
	terminal.Entries(logs.Replica{Service: "flood"}, flood)
	terminal.Entries(logs.Replica{Service: "web"}, entry)
	terminal.Entries(logs.Replica{Service: "flood"}, flood)
	q.Write([]byte("ours\n"))
	close(g.open)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nweb-0   | hello\n", "\nours\n"} {
		if !strings.Contains(g.String(), want) {
			t.Errorf("%q is missing", want)
		}
	}
}
