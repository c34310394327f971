package plan

import (
	"io"
	"strings"

	"github.com/aymanbagabas/go-udiff"
)

// WriteDiff prints the way from a file's text to another one.
func WriteDiff(w io.Writer, name, before, after string, options TextOptions) error {
	p := &page{TextOptions: options}
	p.diff(0, name+" (as it is)", name+" (after fmt)", texts{before: before, after: after})
	_, err := io.WriteString(w, p.b.String())
	return err
}

// contextLines is how many unchanged lines stand around a change in a diff.
const contextLines = 3

// unified prints the way from one text to another. A file that is new is shown
// as a whole.
func (p *page) unified(name string, t texts) {
	p.diff(8, name+" (on the host)", name+" (after apply)", t)
}

func (p *page) diff(indent int, before, after string, t texts) {
	edits := udiff.Lines(t.before, t.after)
	text, err := udiff.ToUnified(before, after, t.before, edits, contextLines)
	if err != nil { // edits of our own making always fit
		text = err.Error()
	}
	for line := range strings.Lines(text) {
		p.diffLine(indent, strings.TrimSuffix(line, "\n"))
	}
}

func (p *page) diffLine(indent int, line string) {
	fields := strings.Split(line, "\t")
	for i := range fields {
		fields[i] = Printable(fields[i], p.ASCII)
	}
	line = strings.Join(fields, "\t")
	code := ""
	switch {
	case strings.HasPrefix(line, "+"):
		code = green
	case strings.HasPrefix(line, "-"):
		code = red
	case strings.HasPrefix(line, "@"):
		code = cyan
	}
	if code != "" {
		line = p.paint(code, line)
	}
	p.b.WriteString(strings.TrimRight(strings.Repeat(" ", indent)+line, " ") + "\n")
}
