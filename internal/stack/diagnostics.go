package stack

import (
	"fmt"
	"io"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// WriteDiagnostics prints each diagnostic with the line that it is about:
//
//	Error: Unsupported argument
//
//	  on stack.hcl line 12, in proxy "edge":
//	  12:   adress = "203.0.113.10"
//
//	An argument named "adress" is not expected here. Did you mean "address"?
//
// A blank line stands between two of them. Texts are wrapped, and quoted lines
// cut, to width columns; 0 is no limit. No value of a variable is printed, and
// secrets in quoted lines are masked.
func (s *Sources) WriteDiagnostics(w io.Writer, diags hcl.Diagnostics, width int, color bool) error {
	for i, d := range diags {
		text := s.format(d, width, color)
		if i > 0 {
			text = "\n" + text
		}
		if _, err := io.WriteString(w, text); err != nil {
			return fmt.Errorf("print diagnostics: %w", err)
		}
	}
	return nil
}

func (s *Sources) format(d *hcl.Diagnostic, width int, color bool) string {
	red, underline, off := "", "", ""
	if color {
		red, underline, off = "\x1b[1;31m", "\x1b[4m", "\x1b[0m"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%sError:%s %s\n", red, off, printable(d.Summary))
	if d.Subject != nil {
		f, ok := s.files[d.Subject.Filename]
		fmt.Fprintf(&b, "\n  on %s line %d%s:\n", d.Subject.Filename, d.Subject.Start.Line, f.inside(*d.Subject))
		if ok {
			b.WriteString(f.quote(*d.Subject, width, underline, off))
		}
	}
	if d.Detail != "" {
		b.WriteByte('\n')
		for line := range strings.SplitSeq(d.Detail, "\n") {
			if line = printable(line); !strings.HasPrefix(line, "  ") { // else it is a command, which is not broken
				line = wrap(line, width)
			}
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// wrap breaks a text at spaces into lines of at most width columns; 0 is no
// limit. A longer word stands on a line of its own.
func wrap(text string, width int) string {
	if width <= 0 {
		return text
	}
	var b strings.Builder
	column := 0
	for i, word := range strings.Split(text, " ") {
		size := len([]rune(word))
		switch {
		case i == 0:
		case column+1+size > width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += size
	}
	return b.String()
}
