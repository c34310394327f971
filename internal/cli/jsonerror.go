package cli

import (
	"errors"
	"io/fs"

	"github.com/hashicorp/hcl/v2"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/payload"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/stack"
)

// jsonError is something that went wrong. Code is what programs go by.
type jsonError struct {
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
		Code: codeOf(err, codeOther), Message: err.Error(), Hint: v.hintFor(err),
	}}
}

func (v *view) hostErrorOf(e *engine.HostError) jsonError {
	failure := jsonError{
		Code: codeHost, Message: e.Summary, Host: e.Host, Log: e.Log, Hint: v.forThisStack(e.Hint), State: e.Did,
		At: placeOf(e.Origin),
	}
	if e.Resource.Name != "" {
		failure.Code, failure.Resource = codeStep, resourceOf(e.Resource)
	}
	failure.Code = codeOf(e.Cause, failure.Code)
	return failure
}

func (v *view) modelErrorOf(e *engine.NoToken) jsonError {
	return jsonError{Code: codeOf(e, codeOther), Message: e.Summary, Model: e.Model, Log: e.Log, Hint: v.forThisStack(e.Hint)}
}

func (v *view) relayErrorOf(e *engine.NoRelay) jsonError {
	return jsonError{Code: codeOf(e, codeOther), Message: e.Summary, Log: e.Log, Hint: e.Hint}
}

func blockedOf(host string, c plan.Change) jsonError {
	failure := jsonError{Code: codeBlocked, Message: thing(c.ID) + ": " + c.Block, Host: host, Resource: resourceOf(c.ID)}
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
		failure := jsonError{Code: codeStack, Message: d.Summary, Detail: d.Detail}
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

func resourceOf(id plan.ID) *plan.ID {
	if id.Name == "" {
		return nil
	}
	return &id
}
