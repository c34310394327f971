package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// The reasons for which something was not done.
var (
	ErrNoDelivery   = errors.New("nobody to give new keys to")  // keys have to be made, and Config.Keys is nil
	ErrBlocked      = errors.New("something stands in the way") // the plan's changes with a Block say what
	ErrSameMachine  = errors.New("two workers are one machine")
	ErrNotConnected = errors.New("not connected")        // no conversation with a host was begun
	ErrUnsupported  = errors.New("system not supported") // a host's system is not one that relayctl runs on
	ErrOtherStack   = errors.New("host belongs to another stack")
	ErrNewer        = errors.New("host was applied by a newer relayctl")
	ErrChangedSince = errors.New("changed since the plan")
	ErrLocked       = errors.New("locked by somebody else")
	ErrNoRelay      = errors.New("the relay can't be reached") // no route led to the stack's relay
	ErrNoToken      = errors.New("no token came")              // a model gave none when asked
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

// stepError is why a host stopped in the middle of steps; at is the last one
// that was heard of.
func (h *host) stepError(ctx context.Context, steps []plan.Change, at int, err error) *HostError {
	failure := h.requestError(ctx, "apply", err)
	var said *hostapi.Error
	switch {
	case ctx.Err() != nil:
		return failure
	case !errors.As(err, &said):
		failure.Summary = fmt.Sprintf("%s: %s", steps[at].ID, inWords(err))
	case said.Step < 0 || said.Step >= len(steps):
		return failure
	default:
		at = said.Step
		failure.Summary = said.Message
		if id := steps[at].ID.String(); !strings.Contains(said.Message, id) {
			failure.Summary = id + ": " + said.Message
		}
	}
	failure.isAbout(steps[at])
	return failure
}

// isAbout points a failure at a change and at the line that asked for it.
func (e *HostError) isAbout(change plan.Change) {
	e.Resource = change.ID
	if wanted := change.Resource; wanted != nil && wanted.Origin != (plan.Origin{}) {
		e.Origin = wanted.Origin
	}
}

// interrupted is why a host stopped because relayctl was told to.
func (h *host) interrupted(ctx context.Context) *HostError {
	return h.fail("stopped as asked", context.Cause(ctx))
}

// requestError makes an error of what a request ended with, or says that it was
// interrupted.
func (h *host) requestError(ctx context.Context, doing string, err error) *HostError {
	endless := errors.Is(err, hostapi.ErrEndless)
	if ctx.Err() != nil {
		if !endless {
			return h.interrupted(ctx)
		}
		err = fmt.Errorf("%w: %w", err, context.Cause(ctx))
	}
	failure := h.fail(doing+": "+inWords(err), err)
	var said *hostapi.Error
	var lost *hostapi.LostError
	switch {
	case endless:
		failure.Hint = "relay-host is there and does not come to an end. Look at the host itself: is its disk, or a process, stuck?"
	case errors.As(err, &lost):
		failure.Hint = "Was this machine asleep, the network down, or the host restarted? " +
			"relay-host finishes the step it is in, and gives its lock back by itself."
	case errors.As(err, &said):
		failure.Summary, failure.Log, failure.Hint = doing+": "+said.Message, said.Log, said.Hint
		if reason, ok := reasons[said.Code]; ok {
			failure.Cause = fmt.Errorf("%w: %w", reason, err)
		}
	}
	return failure
}

// inWords is an error for people. Where a conversation ended, why it did is all
// they want to know: not which request waited for its answer just then.
func inWords(err error) string {
	var lost *hostapi.LostError
	if errors.As(err, &lost) {
		return strings.Replace(err.Error(), lost.Error(), lost.Cause.Error(), 1)
	}
	return err.Error()
}

// reasons are the errors of this package that relay-host's codes stand for.
var reasons = map[hostapi.Code]error{
	hostapi.CodeUnsupported:  ErrUnsupported,
	hostapi.CodeOtherStack:   ErrOtherStack,
	hostapi.CodeNewer:        ErrNewer,
	hostapi.CodeChangedSince: ErrChangedSince,
	hostapi.CodeLocked:       ErrLocked,
	hostapi.CodeCancelled:    context.Canceled,
}
