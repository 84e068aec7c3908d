package status

import (
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// Case is what Why tells of: what was asked, and all that could be found out. Now,
// and either Daemon with Services or Absence, must be given; whatever else is
// missing is not told of.
type Case struct {
	Now time.Time
	// Asked is the name as it was typed; empty asks for everything. Service and
	// Ordinal are what it means: no service is a name that nobody declares, the
	// ordinal -1 all replicas.
	Asked   string
	Service string
	Ordinal int32
	// Width is how many columns there are; 0 is 100, which is also the most that is used.
	Width int
	// Near finds the service whose name is most like the given one; empty is none.
	Near func(name string) string

	Services []Service // all there are
	Daemon   *Daemon   // nil: none answers
	Absence  *Absence  // then

	// Output is what the replica that Suspect names wrote last.
	Output Output
	// Sent are the events that tell of signals which people have sent to that replica.
	Sent []Event
	// Listeners are who listens on one of PortsInQuestion.
	Listeners []Listener
	// OOMKills counts the processes that the kernel has killed for want of memory
	// since the machine booted; -1 is not known.
	OOMKills int64
}

// Output is the end of what a run has written.
type Output struct {
	Lines    []string
	Previous bool   // of the run that ended last; else of the present one
	Refused  string // why it cannot be read; empty when it could be
}

// Listener is a process that listens on a TCP port, or has a UDP port.
type Listener struct {
	Port    int
	Address string // "127.0.0.1:8080"
	UDP     bool
	Pid     int32 // 0: the asker may not see whose it is
	Program string
	Replica string // the replica of ours whose process it is; empty is somebody else
}

// Absence is what can be known while no daemon answers.
type Absence struct {
	Error    string // why it could not be asked
	Refused  bool   // there may be one, and the asker may not ask it
	Silent   bool   // somebody listens, and does not answer
	StateDir string
	Unread   string   // why its records could not be read; empty when they could be
	Dir      string   // of manifests; empty: no daemon has run since the boot
	Ended    bool     // it had stopped everything
	Living   []string // "web-0 (pid 12)", recorded as running, and alive
	Gone     []string // recorded as running, and not alive any more
	Damaged  []string // replicas whose records cannot be read
}

// Why writes why what was asked for is as it is, on one screen where that is
// possible: what is wanted, what is observed, the chain of reasons, and what will
// happen next. Moments are shown in the time zone of Now.
func Why(w io.Writer, c *Case) error {
	s := &screen{now: c.Now, width: screenWidth}
	if c.Width > 0 {
		s.width = min(max(c.Width, narrowest), screenWidth)
	}
	switch target := c.service(c.Service); {
	case c.Daemon == nil:
		c.absent(s)
	case c.Asked == "":
		c.everything(s)
	case target == nil:
		c.unknown(s)
	default:
		c.one(s, target)
	}
	_, err := io.WriteString(w, s.out.String())
	return err
}

// service finds a service by its name; nil is none.
func (c *Case) service(name string) *Service {
	for i := range c.Services {
		if c.Services[i].Metadata.Name == name {
			return &c.Services[i]
		}
	}
	return nil
}

// near is Near, where it is given.
func (c *Case) near(name string) string {
	if c.Near == nil {
		return ""
	}
	return c.Near(name)
}

const (
	screenWidth  = 100
	narrowest    = 40
	screenHeight = 24
	keyWidth     = 11
)

// screen is text in a column beside keys.
type screen struct {
	out   strings.Builder
	now   time.Time
	lines int
	width int
}

// row writes one line, cut at the width. An empty key continues the one above.
func (s *screen) row(key, text string) { s.write(key, cut(text, s.width-keyWidth)) }

func (s *screen) write(key, text string) {
	if key != "" {
		key += ":"
	}
	line := key + strings.Repeat(" ", max(keyWidth-len(key), 1)) + text
	s.out.WriteString(strings.TrimRight(line, " ") + "\n")
	s.lines++
}

// maxText is how much of a text is shown: a probe may say much.
const maxText = 1000

// say writes a text, folded at blanks. Its further lines begin three columns in,
// where no text of its own does: those are an even number in.
func (s *screen) say(key, text string) {
	indent := len(text) - len(strings.TrimLeft(text, " "))
	for n, line := range fold(cut(text[indent:], maxText), s.width-keyWidth-indent) {
		if n > 0 {
			key = ""
		}
		s.write(key, strings.Repeat(" ", indent)+line)
	}
}

// all says several texts below one key.
func (s *screen) all(key string, texts []string) {
	for n, text := range texts {
		if n > 0 {
			key = ""
		}
		s.say(key, text)
	}
}

// height is how many lines texts take that are said.
func (s *screen) height(texts []string) int {
	n := 0
	for _, text := range texts {
		n += len(fold(text, s.width-keyWidth))
	}
	return n
}

// title writes a line without a key.
func (s *screen) title(text string) {
	for _, line := range fold(text, s.width) {
		s.out.WriteString(line + "\n")
		s.lines++
	}
}

// fold breaks a text into lines of a width, at blanks: what is longer than a line,
// as a path may be, is left whole, so that it can be copied. The second and further
// lines are three columns in.
func fold(text string, width int) []string {
	line, lines := "", []string(nil)
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width:
			lines = append(lines, line)
			line = "   " + word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}

// cut shortens a text to a width, and what a terminal would obey to what it shows.
func cut(text string, width int) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0:
			return '?'
		}
		return r
	}, text)
	if runes := []rune(text); len(runes) > width {
		return string(runes[:width-3]) + "..."
	}
	return text
}

// moment shows a time of today by the clock, another one with its day, and its
// distance from now.
func moment(at, now time.Time) string {
	if at.IsZero() {
		return "an unknown time"
	}
	at = at.In(now.Location())
	layout := time.TimeOnly
	if at.Format(time.DateOnly) != now.Format(time.DateOnly) {
		layout = time.DateTime
	}
	if d := at.Sub(now); d > 0 {
		return at.Format(layout) + " (in " + roundedUp(d) + ")"
	}
	return at.Format(layout) + " (" + Age(now.Sub(at)) + " ago)"
}
