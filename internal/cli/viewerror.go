package cli

import (
	"cmp"
	"errors"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/stack"
)

// diagnostics prints what is wrong in a stack file.
func (v *view) diagnostics(problems hcl.Diagnostics) {
	if v.json != nil {
		v.json.fail(diagnosticsOf(problems, v.sources)...)
		return
	}
	v.sources.WriteDiagnostics(v.errs, problems, v.width, v.errs.color) // nowhere else to tell a failure
}

// usageError prints what is wrong with the command line.
func (v *view) usageError(err error, command string, meant []string) {
	text := err.Error()
	if len(meant) > 0 {
		text += ". Did you mean " + strings.Join(meant, " or ") + "?"
	}
	if v.json != nil {
		v.json.fail(jsonError{Code: codeUsage, Message: text, Hint: "See: " + command + " --help"})
		return
	}
	v.heading(text)
	v.errs.printf("\nSee: %s --help\n", command)
}

// failed prints an error that was not told yet, and returns errTold. What is no
// error to print passes.
func (v *view) failed(err error) error {
	if err == nil || errors.Is(err, errTold) || errors.Is(err, errChanges) {
		return err
	}
	if v.json != nil {
		v.json.fail(v.errorsOf(err)...)
		return errTold
	}
	var onHosts engine.HostErrors
	var onHost *engine.HostError
	switch {
	case errors.As(err, &onHosts):
		for _, one := range onHosts {
			v.hostError(one)
		}
	case errors.As(err, &onHost):
		v.hostError(onHost)
	default:
		v.heading(err.Error())
		v.hint(v.hintFor(err))
	}
	return errTold
}

// hostError prints what went wrong on a host and the line of the stack file
// that asked for it.
func (v *view) hostError(e *engine.HostError) {
	if v.json != nil {
		v.json.fail(v.hostErrorOf(e))
		return
	}
	v.heading(e.Host + ": " + e.Summary)
	v.place(e.Origin)
	v.log(e.Log)
	v.hint(v.forThisStack(e.Hint))
	if e.Did != "" {
		v.errs.printf("\n%s", v.wrapped(0, e.Host+": "+e.Did+"."))
	}
}

// relayError prints why the relay was not reached.
func (v *view) relayError(e *engine.NoRelay) {
	v.heading(e.Summary)
	v.log(e.Log)
	v.hint(e.Hint)
}

// modelError prints why a model gave no token.
func (v *view) modelError(e *engine.NoToken) {
	v.heading(e.Model + ": " + e.Summary)
	v.log(e.Log)
	v.hint(v.forThisStack(e.Hint))
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

// place quotes the stack file.
func (v *view) place(origin plan.Origin) {
	if v.sources == nil || origin.File == "" {
		return
	}
	if snippet := v.sources.Snippet(v.sources.Line(origin.File, origin.Line)); snippet != "" {
		v.errs.printf("\n%s", snippet)
	}
}

// logLines is how much of a log is shown: what fits a screen beside the rest.
const logLines = 12

func (v *view) log(lines []string) {
	if len(lines) == 0 {
		return
	}
	v.errs.printf("\n")
	for _, line := range lines[max(0, len(lines)-logLines):] {
		v.errs.printf("    %s\n", v.clean(strings.TrimRight(line, "\n")))
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

// forThisStack lets a hint that ends in a command be pasted as it is.
func (v *view) forThisStack(hint string) string {
	text, command, ok := strings.Cut(hint, ": relayctl ")
	if !ok || strings.TrimSpace(command) == "" || strings.Contains(command, "\n") || v.about.file == "" {
		return hint
	}
	return text + ":\n  " + v.about.again(command)
}

// theSame is the command line as it was typed, with a flag more: so that it does
// what was asked for, and to the stack that it was asked for.
func (v *view) theSame(flag string) string {
	words := []string{"relayctl"}
	for i, arg := range v.typed {
		if words = append(words, stack.ShellWord(arg)); i == 0 {
			words = append(words, flag)
		}
	}
	return strings.Join(words, " ")
}

// hintFor says what to do about an error that is about the stack as a whole.
func (v *view) hintFor(err error) string {
	var keys *keyFileError
	var noTerminal noTerminalError
	switch {
	case errors.As(err, &noTerminal), errors.Is(err, errYesNeeded):
		what, _, _ := strings.Cut(cmp.Or(noTerminal.command, "apply"), "-")
		return "To " + what + " without being asked:\n  " + v.theSame("--yes")
	case errors.Is(err, errKeysReadable) && errors.As(err, &keys):
		return "Keys would not stay secret in it. Make it yours alone:\n  chmod 600 " + stack.ShellPath(keys.path)
	}
	return v.forThisStack(hintOf(err))
}

// hintOf is the hint for an error, the same whatever was typed.
func hintOf(err error) string {
	for _, known := range []struct {
		err  error
		hint string
	}{
		{errNotConfirmed, "Nothing was changed."},
		{errKeysOutNeeded, "Add --keys-out FILE: they are written there. Nothing was changed."},
		{errNobodyForKey, "It is shown once: run this on a terminal, or add --keys-out FILE. Nothing was changed."},
		{errOwnKey, "Change the variable that it comes from, and apply."},
		{engine.ErrNotApplied, "Apply the stack first: relayctl apply"},
		{engine.ErrDrift, "Nothing was rotated. Look at what is to be done first: relayctl plan"},
		{engine.ErrNoDelivery, "This apply makes API keys, which are shown once: run it on a terminal, or add --keys-out FILE. Nothing was changed."},
		{engine.ErrNoSuchApply, "These are in it: relayctl history"},
		{engine.ErrNoCA, "It is made by the first apply: relayctl apply"},
		{engine.ErrChangedSince, "Somebody else was at work there. Look again: relayctl plan"},
	} {
		if errors.Is(err, known.err) {
			return known.hint
		}
	}
	return ""
}

// cutShort ends what is printed for machines when relayctl ends at once.
func (v *view) cutShort() {
	if v.json != nil {
		v.failed(errInterrupted)
		v.json.finish(exitError)
	}
}
