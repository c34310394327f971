package cli

import (
	"cmp"
	"errors"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// diagnostics prints what is wrong in a stack file.
func (v *view) diagnostics(problems hcl.Diagnostics) {
	if v.json != nil {
		v.json.fail(mistakesOf(problems, v.sources)...)
		return
	}
	v.sources.WriteDiagnostics(v.errs, problems, v.width, v.errs.color) // nowhere else to tell a failure
}

// usageError prints what is wrong with the command line.
func (v *view) usageError(err error, command string, meant []string) {
	text, see := err.Error(), "See: "+command+" --help"
	if len(meant) > 0 {
		text += ". Did you mean " + strings.Join(meant, " or ") + "?"
	}
	if v.json != nil {
		v.json.fail(failure{Code: codeUsage, Message: text, Hint: see})
		return
	}
	v.heading(text)
	v.errs.printf("\n%s\n", see)
}

// failed prints an error that was not told yet, and returns errTold. What is no
// error to print passes.
func (v *view) failed(err error) error {
	if err == nil || errors.Is(err, errTold) || errors.Is(err, errChanges) {
		return err
	}
	for _, f := range v.failuresOf(err) {
		v.fail(f)
	}
	return errTold
}

// fail prints what went wrong, and the line of the stack file that asked for it.
func (v *view) fail(f failure) {
	if v.json != nil {
		v.json.fail(f)
		return
	}
	v.heading(strings.TrimPrefix(cmp.Or(f.Host, f.Model)+": "+f.Message, ": "))
	if f.At != nil && f.At.File != "" && v.sources != nil {
		if snippet := v.sources.Snippet(v.sources.Line(f.At.File, f.At.Line)); snippet != "" {
			v.errs.printf("\n%s", snippet)
		}
	}
	if len(f.Log) > 0 {
		v.errs.printf("\n")
		v.log(v.errs, 4, f.Log)
	}
	v.hint(f.Hint)
	if f.State != "" {
		v.errs.printf("\n%s", v.wrapped(0, f.Host+": "+f.State+"."))
	}
}

func (v *view) heading(text string) {
	v.gap()
	_, rest, _ := strings.Cut(v.wrapped(0, "Error: "+text), " ")
	v.errs.printf("%s %s", v.errs.paint(boldRed, "Error:"), rest)
}

// gap leaves a blank line between what is on the screen already and what comes.
func (v *view) gap() {
	if v.errs.isUsed() || v.out.isUsed() {
		v.errs.printf("\n")
	}
}

// logLines is how much of a log is shown: what fits a screen beside the rest.
const logLines = 12

func (v *view) log(to *page, indent int, lines []string) {
	for _, line := range lines[max(0, len(lines)-logLines):] {
		to.printf("%s%s\n", strings.Repeat(" ", indent), v.clean(strings.TrimRight(line, "\n")))
	}
}

func (v *view) hint(text string) {
	if text != "" {
		v.errs.printf("\n%s", v.paragraphs(2, text))
	}
}

// paragraphs is wrapped for each line of a text of ours. An indented line is a
// command, which is not broken.
func (v *view) paragraphs(indent int, text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, "\n"); strings.HasPrefix(line, "  ") {
			b.WriteString(strings.Repeat(" ", indent) + v.clean(line) + "\n")
			continue
		}
		b.WriteString(v.wrapped(indent, line))
	}
	return b.String()
}

// cutShort ends what is printed for machines when relayctl ends at once.
func (v *view) cutShort() {
	if v.json != nil {
		v.failed(errInterrupted)
		v.json.finish(exitError)
	}
}
