package engine

import (
	"errors"
	"strings"

	"github.com/relayctl/relayctl/internal/plan"
)

// The reasons for which nothing was done at all.
var (
	// ErrNoDelivery means that keys have to be made, and Config.Keys is nil.
	ErrNoDelivery = errors.New("nobody to give new keys to")
	// ErrBlocked means that something stands in the way: the plan's changes
	// with a Block say what.
	ErrBlocked = errors.New("something stands in the way")
	// ErrSameMachine means that two workers of the stack are one machine.
	ErrSameMachine = errors.New("two workers are one machine")
	// ErrNotConnected means that no conversation with a host was begun.
	ErrNotConnected = errors.New("not connected")
	// ErrUnsupported means that a host's system is not one that relayctl runs on.
	ErrUnsupported = errors.New("system not supported")
	// ErrOtherStack means that a host belongs to another stack.
	ErrOtherStack = errors.New("host belongs to another stack")
	// ErrNewer means that a newer relayctl applied to a host.
	ErrNewer = errors.New("host was applied by a newer relayctl")
	// ErrChangedSince means that a host is no longer as the plan found it.
	ErrChangedSince = errors.New("changed since the plan")
	// ErrLocked means that somebody else works on a host.
	ErrLocked = errors.New("locked by somebody else")
	// ErrNoRelay means that no route led to the stack's relay.
	ErrNoRelay = errors.New("the relay can't be reached")
	// ErrNoToken means that a model gave no token when asked.
	ErrNoToken = errors.New("no token came")
)

// HostError is what went wrong on one host.
type HostError struct {
	Host     string
	Resource plan.ID     // zero: the host as a whole
	Origin   plan.Origin // the block that asked for it; zero: none did
	Summary  string      // one line without the host's name: "unit relay-worker.service did not stay up"
	Cause    error       // may be nil
	Log      []string    // last lines of the log that matters
	Hint     string      // what to do next, may be empty
	Did      string      // what stands on this host: "stopped at step 5 of 6; it runs what it ran before"
}

func (e *HostError) Error() string { return e.Host + ": " + e.Summary }

// Unwrap returns the cause.
func (e *HostError) Unwrap() error { return e.Cause }

// HostErrors is what went wrong on several hosts, in the order of the stack.
type HostErrors []*HostError

func (e HostErrors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "; ")
}

// Unwrap returns each host's error.
func (e HostErrors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, one := range e {
		errs[i] = one
	}
	return errs
}

// orNil keeps an empty list from being an error.
func (e HostErrors) orNil() error {
	if len(e) == 0 {
		return nil
	}
	return e
}
