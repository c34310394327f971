package cli

import (
	"strings"

	"github.com/aymanbagabas/go-udiff"

	"github.com/relayctl/relayctl/internal/plan"
)

// contextLines is how many unchanged lines stand around a change in a diff.
const contextLines = 3

// unified prints the way from one text to another. A file that is new is shown
// as a whole.
func (v *view) unified(indent int, nameBefore, nameAfter, before, after string) {
	text, err := udiff.ToUnified(nameBefore, nameAfter, before, udiff.Lines(before, after), contextLines)
	if err != nil { // edits of our own making always fit
		text = err.Error()
	}
	for line := range strings.Lines(text) {
		v.out.printf("%s\n", strings.TrimRight(strings.Repeat(" ", indent)+v.diffLine(strings.TrimSuffix(line, "\n")), " "))
	}
}

func (v *view) diffLine(line string) string {
	fields := strings.Split(line, "\t")
	for i := range fields {
		fields[i] = plan.Printable(fields[i], v.ascii)
	}
	line = strings.Join(fields, "\t")
	switch {
	case strings.HasPrefix(line, "+"):
		return v.out.paint(green, line)
	case strings.HasPrefix(line, "-"):
		return v.out.paint(red, line)
	case strings.HasPrefix(line, "@"):
		return v.out.paint(cyan, line)
	}
	return line
}
