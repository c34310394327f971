package cli

import (
	"cmp"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/payload"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/stack"
)

// failure is something that went wrong, as it is told. Code is what programs
// go by.
type failure struct {
	Code     string     `json:"code"`
	Message  string     `json:"message" text:"lines"`
	Detail   string     `json:"detail,omitempty" text:"lines"`
	Host     string     `json:"host,omitempty"`
	Model    string     `json:"model,omitempty"`
	Resource *plan.ID   `json:"resource,omitempty"`
	At       *jsonPlace `json:"at,omitempty"`
	Log      []string   `json:"log" text:"lines"`
	Hint     string     `json:"hint,omitempty" text:"lines"`
	State    string     `json:"state,omitempty" text:"lines"` // what stands on the host now
}

// jsonPlace is a place in the stack file.
type jsonPlace struct {
	File      string `json:"file" text:"verbatim"`
	Line      int    `json:"line"`
	Column    int    `json:"column,omitempty"`
	EndLine   int    `json:"end_line,omitempty"`
	EndColumn int    `json:"end_column,omitempty"`
	Block     string `json:"block,omitempty"`
}

// The codes of errors that no error value stands for.
const (
	codeUsage   = "usage"
	codeStack   = "stack_file"
	codeBlocked = "blocked"
	codeStep    = "step_failed"
	codeHost    = "host_failed"
	codeOther   = "failed"
)

// known is what is known of an error: its stable name, if it has one of its
// own, and what to do about it, the same whatever was typed.
type known struct {
	err        error
	code, hint string
}

func knownOf(err error) known {
	for _, one := range []known{
		{errInterrupted, "interrupted", ""},
		{errYesNeeded, "yes_needed", ""},
		{errKeysOutNeeded, "keys_out_needed", "Add --keys-out FILE: they are written there. Nothing was changed."},
		{errKeysNoFile, "keys_file", ""},
		{errKeysReadable, "keys_file", ""},
		{errKeysForeign, "keys_file", ""},
		{errPasswordEmpty, "password_file", ""},
		{errPasswordLong, "password_file", ""},
		{errPasswordReadable, "password_file", ""},
		{errPasswordNoFile, "password_file", ""},
		{payload.ErrNone, "no_programs", ""},
		{engine.ErrBlocked, codeBlocked, ""},
		{engine.ErrSameMachine, "same_machine", ""},
		{engine.ErrUnsupported, "unsupported_system", ""},
		{engine.ErrOtherStack, "other_stack", ""},
		{engine.ErrNewer, "newer_relayctl", ""},
		{engine.ErrChangedSince, "changed_since_plan", "Somebody else was at work there. Look again: relayctl plan"},
		{engine.ErrLocked, "locked", ""},
		{engine.ErrNotConnected, "not_connected", ""},
		{engine.ErrNoRelay, "relay_unreached", ""},
		{engine.ErrNoToken, "no_token", ""},
		{engine.ErrNoSuchApply, "no_such_apply", "These are in it: relayctl history"},
		{fs.ErrNotExist, "file", ""},
		{fs.ErrPermission, "file", ""},
		{errLastAway, "", "Undo it when that host is there, or say with --to how far the others go back. The numbers are in the history: relayctl history"},
		{errNotConfirmed, "", "Nothing was changed."},
		{errNobodyForKey, "", "It is shown once: run this on a terminal, or add --keys-out FILE. Nothing was changed."},
		{errOwnKey, "", "Change the variable that it comes from, and apply."},
		{engine.ErrNotApplied, "", "Apply the stack first: relayctl apply"},
		{engine.ErrDrift, "", "Nothing was rotated. Look at what is to be done first: relayctl plan"},
		{engine.ErrNoDelivery, "", "This apply makes API keys, which are shown once: run it on a terminal, or add --keys-out FILE. Nothing was changed."},
		{errNoSSH, "", "It comes with OpenSSH; on Debian and Ubuntu:\n  apt-get install openssh-client"},
		{engine.ErrNoCA, "", "It is made by the first apply: relayctl apply"},
	} {
		if errors.Is(err, one.err) {
			return one
		}
	}
	return known{}
}

// codeOf is the stable name of what went wrong; other is for what has none.
func codeOf(err error, other string) string { return cmp.Or(knownOf(err).code, other) }

// failuresOf takes an error apart.
func (v *view) failuresOf(err error) []failure {
	var onHosts engine.HostErrors
	var onHost *engine.HostError
	var noToken *engine.NoToken
	switch {
	case errors.As(err, &onHosts):
		var list []failure
		for _, one := range onHosts {
			list = append(list, v.failuresOf(one)...)
		}
		return list
	case errors.As(err, &onHost):
		f := failure{
			Code: codeHost, Message: onHost.Summary, Host: onHost.Host, Resource: resourceOf(onHost.Resource), At: placeOf(onHost.Origin),
			Log: onHost.Log, Hint: v.forThisStack(onHost.Hint), State: onHost.Did,
		}
		if f.Resource != nil {
			f.Code = codeStep
		}
		f.Code = codeOf(onHost.Cause, f.Code)
		return []failure{f}
	}
	f := failure{Code: codeOf(err, codeOther), Message: err.Error(), Hint: v.hintFor(err)}
	if errors.As(err, &noToken) {
		f.Message, f.Model, f.Log, f.Hint = noToken.Summary, noToken.Model, noToken.Log, v.forThisStack(noToken.Hint)
	}
	return []failure{f}
}

// hintFor says what to do about an error that is about the stack as a whole.
func (v *view) hintFor(err error) string {
	var private *privateFileError
	switch {
	case errors.Is(err, errNoTerminal), errors.Is(err, errYesNeeded):
		what := strings.NewReplacer("-secret", "", "rollback", "roll back").Replace(v.command)
		return "To " + what + " without being asked:\n  " + v.theSame("--yes")
	case errors.Is(err, errKeysReadable) && errors.As(err, &private):
		return "Keys would not stay secret in it. Make it yours alone:\n  chmod 600 " + shellPath(private.path)
	case errors.Is(err, errPasswordReadable) && errors.As(err, &private):
		return "A password does not stay secret in it. Make it yours alone:\n  chmod 600 " + shellPath(private.path)
	}
	return v.forThisStack(knownOf(err).hint)
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
	words := slices.Insert(names(v.typed, shellWord), 1, flag)
	return "relayctl " + strings.Join(words, " ")
}

// mistakesOf are the mistakes in a stack file, with their ranges.
func mistakesOf(problems hcl.Diagnostics, sources *stack.Sources) []failure {
	var list []failure
	for _, d := range problems {
		if d.Severity != hcl.DiagError {
			continue
		}
		f := failure{Code: codeStack, Message: d.Summary, Detail: d.Detail}
		if at := d.Subject; at != nil {
			f.At = &jsonPlace{
				File: at.Filename, Line: at.Start.Line, Column: at.Start.Column, EndLine: at.End.Line, EndColumn: at.End.Column,
				Block: sources.Block(*at),
			}
		}
		list = append(list, f)
	}
	return list
}

func placeOf(origin plan.Origin) *jsonPlace {
	if origin == (plan.Origin{}) {
		return nil
	}
	return &jsonPlace{File: origin.File, Line: origin.Line, Block: origin.Block}
}

func resourceOf(id plan.ID) *plan.ID {
	if id.Name == "" {
		return nil
	}
	return &id
}

// diagnostics prints what is wrong in a stack file.
func (v *view) diagnostics(problems hcl.Diagnostics) {
	v.json.fail(mistakesOf(problems, v.sources)...)
	v.sources.WriteDiagnostics(v.errs, problems, v.width, v.errs.color) // nowhere else to tell a failure
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
	v.json.fail(f)
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

func (v *view) hint(text string) {
	if text != "" {
		v.errs.printf("\n%s", v.paragraphs(2, text))
	}
}
