package cli

import (
	"errors"
	"io/fs"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/payload"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/stack"
)

// The codes of errors that no error value stands for.
const (
	codeUsage   = "usage"
	codeStack   = "stack_file"
	codeBlocked = "blocked"
	codeStep    = "step_failed"
	codeHost    = "host_failed"
	codeOther   = "failed"
)

// codeOf is the stable name of what went wrong; other is for what has none.
func codeOf(err error, other string) string {
	for _, known := range []struct {
		err  error
		code string
	}{
		{errInterrupted, "interrupted"},
		{errYesNeeded, "yes_needed"},
		{errKeysOutNeeded, "keys_out_needed"},
		{errKeysNoFile, "keys_file"},
		{errKeysReadable, "keys_file"},
		{errKeysForeign, "keys_file"},
		{payload.ErrNone, "no_programs"},
		{engine.ErrBlocked, codeBlocked},
		{engine.ErrSameMachine, "same_machine"},
		{engine.ErrUnsupported, "unsupported_system"},
		{engine.ErrOtherStack, "other_stack"},
		{engine.ErrNewer, "newer_relayctl"},
		{engine.ErrChangedSince, "changed_since_plan"},
		{engine.ErrLocked, "locked"},
		{engine.ErrNotConnected, "not_connected"},
		{engine.ErrNoRelay, "relay_unreached"},
		{engine.ErrNoToken, "no_token"},
		{engine.ErrNoSuchApply, "no_such_apply"},
		{fs.ErrNotExist, "file"},
		{fs.ErrPermission, "file"},
	} {
		if errors.Is(err, known.err) {
			return known.code
		}
	}
	return other
}

// errorsOf takes an error apart.
func (v *view) errorsOf(err error) []jsonError {
	var onHosts engine.HostErrors
	var onHost *engine.HostError
	switch {
	case errors.As(err, &onHosts):
		var list []jsonError
		for _, one := range onHosts {
			list = append(list, v.hostErrorOf(one))
		}
		return list
	case errors.As(err, &onHost):
		return []jsonError{v.hostErrorOf(onHost)}
	}
	return []jsonError{{
		Code: codeOf(err, codeOther), Message: printable(err.Error()), Log: []string{}, Hint: printable(v.hintFor(err)),
	}}
}

func (v *view) hostErrorOf(e *engine.HostError) jsonError {
	failure := jsonError{
		Code: codeHost, Message: printable(e.Summary), Host: printable(e.Host), Log: printables(e.Log), Hint: printable(v.forThisStack(e.Hint)), State: printable(e.Did),
		At: placeOf(e.Origin),
	}
	if e.Resource.Name != "" {
		failure.Code, failure.Resource = codeStep, resourceOf(e.Resource)
	}
	failure.Code = codeOf(e.Cause, failure.Code)
	return failure
}

func (v *view) modelErrorOf(e *engine.NoToken) jsonError {
	return jsonError{Code: codeOf(e, codeOther), Message: printable(e.Summary), Model: e.Model, Log: printables(e.Log), Hint: printable(v.forThisStack(e.Hint))}
}

func (v *view) relayErrorOf(e *engine.NoRelay) jsonError {
	return jsonError{Code: codeOf(e, codeOther), Message: printable(e.Summary), Log: printables(e.Log), Hint: printable(e.Hint)}
}

func blockedOf(host string, c plan.Change) jsonError {
	failure := jsonError{Code: codeBlocked, Message: printable(thing(c.ID) + ": " + c.Block), Host: printable(host), Resource: resourceOf(c.ID), Log: []string{}}
	if c.Resource != nil {
		failure.At = placeOf(c.Resource.Origin)
	}
	if c.Adoptable {
		failure.Hint = "--adopt takes it over and keeps the original"
	}
	return failure
}

// diagnosticsOf are the mistakes in a stack file, with their ranges.
func diagnosticsOf(problems hcl.Diagnostics, sources *stack.Sources) []jsonError {
	var list []jsonError
	for _, d := range problems {
		if d.Severity != hcl.DiagError {
			continue
		}
		failure := jsonError{Code: codeStack, Message: printable(d.Summary), Detail: printable(d.Detail), Log: []string{}}
		if at := d.Subject; at != nil {
			failure.At = &jsonPlace{
				File: at.Filename, Line: at.Start.Line, Column: at.Start.Column, EndLine: at.End.Line, EndColumn: at.End.Column,
				Block: sources.Block(*at),
			}
		}
		list = append(list, failure)
	}
	return list
}

func placeOf(origin plan.Origin) *jsonPlace {
	if origin == (plan.Origin{}) {
		return nil
	}
	return &jsonPlace{File: origin.File, Line: origin.Line, Block: origin.Block}
}

func resourceOf(id plan.ID) *jsonResource {
	if id.Name == "" {
		return nil
	}
	return &jsonResource{Kind: plan.Kind(printable(string(id.Kind))), Name: printable(id.Name)}
}

// printable keeps what a host says from reaching a terminal as it is, by way of
// a program that prints it. Line ends stay.
func printable(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = plan.Printable(lines[i], false)
	}
	return strings.Join(lines, "\n")
}

func printables(texts []string) []string {
	list := []string{}
	for _, text := range texts {
		list = append(list, printable(text))
	}
	return list
}
