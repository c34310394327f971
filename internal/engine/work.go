package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// work is one host's part of an apply. It is done by one goroutine at a time.
type work struct {
	host     *host
	at       string // host that it is done on: the proxy, for the worker on its machine
	role     plan.Role
	command  string // what the lock and the history call it
	did      string // what stands when it fails; empty: how many steps were done
	teller   *teller
	locked   bool
	number   int        // of the apply that the lock is for
	last     int        // of the apply before, by the manifest
	prepared bool       // the first stage did something here
	stored   []string   // names of keys whose hash the host has taken
	failure  *HostError // the first thing that went wrong
	taken    plan.Counts
	outcome  HostOutcome
}

// stop notes a failure, unless there is none or there was one before.
func (w *work) stop(failure *HostError) {
	if failure == nil || w.failure != nil {
		return
	}
	if failure.Did == "" {
		failure.Did = w.did
	}
	if failure.Did == "" {
		failure.Did = w.stands(failure)
	}
	w.failure = failure
	w.tell(Event{Phase: Failed, ID: failure.Resource, Text: failure.Summary})
}

// stands says how far the host came. One that was lost may have come further
// than it could tell.
func (w *work) stands(failure *HostError) string {
	var lost *hostapi.LostError
	done, steps := w.outcome.Done, w.outcome.Steps
	switch {
	case done >= steps:
		return "all its steps were done"
	case errors.As(failure, &lost):
		return fmt.Sprintf("last heard of at step %d of %d; the next plan tells how far it came", done+1, steps)
	}
	return fmt.Sprintf("stopped at step %d of %d; what was not reached is as before", done+1, steps)
}

// skip notes why the steps that are left are not begun.
func (w *work) skip(reason string) {
	if w.failure == nil {
		w.outcome.Skipped = reason
	}
}

func (w *work) waitFor(name string) {
	if w.failure == nil {
		w.tell(Event{Phase: Waiting, Text: name + " to serve"})
	}
}

// tell fills in how far the work is.
func (w *work) tell(event Event) {
	event.Host, event.Step, event.Steps = w.outcome.Name, w.outcome.Done, w.outcome.Steps
	w.teller.tell(event)
}

// lock takes the host's lock, waiting for at most params.Wait, and tells who
// holds it meanwhile. That somebody holds it is a failure only where it was
// waited for.
func (w *work) lock(ctx context.Context, params hostapi.Lock) {
	locked, err := w.host.client.Lock(ctx, params, func(progress hostapi.Progress) {
		w.tell(Event{Phase: Locking, Text: progress.Text})
	})
	if err == nil {
		w.locked, w.number, w.last = true, locked.Number, locked.Last
		if locked.Number < 1 || locked.Number > maxLocked {
			w.stop(w.host.reports("that this is apply %d", locked.Number))
		}
		return
	}
	failure := w.host.requestError(ctx, "take the lock", err)
	if params.Wait == 0 && errors.Is(failure, ErrLocked) {
		return
	}
	failure.Did = "nothing was changed there"
	w.stop(failure)
}

// lockWait is how long a lock that somebody holds is waited for.
const lockWait = 60 * time.Second

func (w *work) unlock(ctx context.Context) error {
	if !w.locked {
		return nil
	}
	w.locked = false
	return w.host.client.Unlock(ctx)
}

// do brings steps about on the host and reports whether all went well.
func (w *work) do(ctx context.Context, steps []plan.Change) bool {
	if len(steps) == 0 || w.failure != nil {
		return w.failure == nil
	}
	if ctx.Err() != nil {
		w.stop(w.host.interrupted(ctx))
		return false
	}
	at, done := 0, 0 // the step that was last heard of, and how many are done
	count := func(upTo int) {
		for ; done < upTo; done++ {
			w.count(steps[done])
		}
	}
	_, err := w.host.client.Apply(ctx, hostapi.Apply{Steps: steps}, func(progress hostapi.Progress) {
		if progress.Step < 0 || progress.Step >= len(steps) {
			return
		}
		at = progress.Step
		if progress.State == hostapi.Done {
			count(at + 1)
		}
		w.progress(steps[at], progress)
	})
	if err != nil {
		w.stop(w.host.stepError(ctx, steps, at, err))
		return false
	}
	count(len(steps)) // on a slow line, progress is left out
	return true
}

// progress tells what the host says about a step.
func (w *work) progress(change plan.Change, progress hostapi.Progress) {
	event := Event{ID: change.ID, Action: change.Action, Adopt: change.Adopt, Text: progress.Text}
	switch progress.State {
	case hostapi.Started:
		event.Phase = Started
	case hostapi.Waiting:
		event.Phase = Waiting
	case hostapi.Done:
		event.Phase = Done
		event.Took = time.Duration(progress.Seconds * float64(time.Second))
	}
	if change.Counts() {
		w.tell(event)
	}
}

// count takes down a step that is done.
func (w *work) count(change plan.Change) {
	if change.ID.Kind == plan.KindKey && change.Resource != nil {
		w.stored = append(w.stored, change.ID.Name)
	}
	w.taken.Add(change.Action)
	switch change.Action {
	case plan.Create:
		w.outcome.Created++
	case plan.Update:
		w.outcome.Changed++
	case plan.Remove:
		w.outcome.Removed++
	}
	if change.Counts() {
		w.outcome.Done++
	}
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
		if !strings.Contains(said.Message, steps[at].ID.String()) {
			failure.Summary = fmt.Sprintf("%s: %s", steps[at].ID, said.Message)
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
	switch endless := errors.Is(err, hostapi.ErrEndless); {
	case ctx.Err() != nil && endless:
		err = fmt.Errorf("%w: %w", err, context.Cause(ctx))
	case ctx.Err() != nil:
		return h.interrupted(ctx)
	}
	failure := h.fail(fmt.Sprintf("%s: %s", doing, inWords(err)), err)
	var said *hostapi.Error
	var lost *hostapi.LostError
	switch {
	case errors.Is(err, hostapi.ErrEndless):
		failure.Hint = "relay-host is there and does not come to an end. Look at the host itself: is its disk, or a process, stuck?"
		return failure
	case errors.As(err, &lost):
		failure.Hint = "Was this machine asleep, the network down, or the host restarted? " +
			"relay-host finishes the step it is in, and gives its lock back by itself."
		return failure
	case !errors.As(err, &said):
		return failure
	}
	failure.Summary = fmt.Sprintf("%s: %s", doing, said.Message)
	failure.Log, failure.Hint = said.Log, said.Hint
	if reason, ok := reasons[said.Code]; ok {
		failure.Cause = fmt.Errorf("%w: %w", reason, err)
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
