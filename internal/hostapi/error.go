package hostapi

import (
	"fmt"

	"github.com/relayctl/relayctl/internal/plan"
)

// Error is why a request failed.
type Error struct {
	Code    Code     `json:"code"`
	Message string   `json:"message"`        // what went wrong, for people
	Step    int      `json:"step"`           // index into Apply.Steps; -1 where there is none
	Log     []string `json:"log,omitempty"`  // last lines of the log that matters
	Hint    string   `json:"hint,omitempty"` // what to do next
}

func (e *Error) Error() string { return fmt.Sprintf("relay-host: %s", e.Message) }

// Code sorts errors for the program that gets them.
type Code string

// The codes.
const (
	CodeBadRequest   Code = "bad_request"   // a message that makes no sense; a defect of ours
	CodeUnsupported  Code = "unsupported"   // this system is not one that relayctl runs on
	CodeLocked       Code = "locked"        // somebody else holds the lock; Message names them
	CodeNotLocked    Code = "not_locked"    // a change was asked for without the lock
	CodeOtherStack   Code = "other_stack"   // the manifest names another stack
	CodeNewer        Code = "newer"         // the manifest was written by a newer relayctl
	CodeChangedSince Code = "changed_since" // a thing is no longer as the plan found it
	CodeStep         Code = "step"          // a step failed; what ran before runs on
	CodeCancelled    Code = "cancelled"     // as asked
	CodeInternal     Code = "internal"
)

// NoStep is Error.Step where there is none.
const NoStep = -1

// BadRequest is an error on a message that makes no sense.
func BadRequest(format string, args ...any) error {
	return &Error{Code: CodeBadRequest, Message: fmt.Sprintf(format, args...), Step: NoStep}
}

// ChangedSince is an error on a thing that is no longer as the plan found it.
func ChangedSince(id plan.ID, how string) error {
	return &Error{
		Code:    CodeChangedSince,
		Message: fmt.Sprintf("%s changed since the plan: %s", id, how),
		Hint:    "Something changed on the host meanwhile. Look again: relayctl plan",
	}
}
