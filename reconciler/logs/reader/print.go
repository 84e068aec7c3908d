package reader

import (
	"bufio"
	"io"

	"svc.d/reconciler/logs/cri"
)

// Printer is a Sink that writes lines as text, byte for byte. A line that comes
// in pieces is put together, unless another one comes in between: then it is
// broken there.
type Printer struct {
	// Timestamps has each line begin with its time, as in the files.
	Timestamps bool
	// Prefix is what each line of a replica begins with; nil is nothing.
	Prefix func(Replica) string
	// Flush is called when there is nothing more for now, after all was
	// written. It may be nil.
	Flush func() error

	out  *bufio.Writer
	open bool // the last line goes on
	last Line
}

// NewPrinter returns a printer to a writer.
func NewPrinter(w io.Writer) *Printer { return &Printer{out: bufio.NewWriterSize(w, 32<<10)} }

// Line writes a line. It may be kept until Idle.
func (p *Printer) Line(l *Line) error {
	goesOn := p.open && l.Rest && l.Replica == p.last.Replica && l.kind == p.last.kind
	if p.open && !goesOn {
		p.out.WriteByte('\n')
	}
	if !goesOn {
		p.head(l)
	}
	_, err := p.out.Write(l.Text)
	p.open, p.last = l.More, Line{Replica: l.Replica, kind: l.kind}
	if !l.More {
		err = p.out.WriteByte('\n') // an error stays
	}
	return err
}

func (p *Printer) head(l *Line) {
	if p.Prefix != nil {
		p.out.WriteString(p.Prefix(l.Replica))
	}
	if p.Timestamps {
		p.out.Write(l.Time.UTC().AppendFormat(p.out.AvailableBuffer(), cri.Stamp+" "))
	}
}

// Idle writes what was kept.
func (p *Printer) Idle() error {
	if err := p.out.Flush(); err != nil || p.Flush == nil {
		return err
	}
	return p.Flush()
}
