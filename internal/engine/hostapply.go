package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// hostApply is one host's part of a job. It is done by one goroutine at a time.
type hostApply struct {
	host    *host
	at      string // host that it is done on: the proxy, for the worker on its machine
	role    plan.Role
	did     string // what stands when it fails; empty: how many steps were done
	events  *teller
	locked  bool
	number  int        // of the apply that the lock is for
	last    int        // of the apply before, by the manifest
	stored  []string   // names of keys whose hash the host has taken
	failure *HostError // the first thing that went wrong
	taken   plan.Counts
	outcome HostOutcome
}

// isGuest reports whether it is done on another host, under that one's lock.
func (a *hostApply) isGuest() bool { return a.at != a.outcome.Name }

// stop notes a failure, unless there is none or there was one before.
func (a *hostApply) stop(failure *HostError) {
	if failure == nil || a.failure != nil {
		return
	}
	if failure.Did == "" {
		failure.Did = a.did
	}
	if failure.Did == "" {
		failure.Did = a.stands(failure)
	}
	a.failure = failure
	a.tell(Event{Phase: Failed, ID: failure.Resource, Text: failure.Summary})
}

// stands says how far the host came. One that was lost may have come further
// than it could tell.
func (a *hostApply) stands(failure *HostError) string {
	var lost *hostapi.LostError
	done, steps := a.outcome.Done, a.outcome.Steps
	switch {
	case done >= steps:
		return "all its steps were done"
	case errors.As(failure, &lost):
		return fmt.Sprintf("last heard of at step %d of %d; the next plan tells how far it came", done+1, steps)
	}
	return fmt.Sprintf("stopped at step %d of %d; what was not reached is as before", done+1, steps)
}

// tell fills in how far the work is.
func (a *hostApply) tell(event Event) {
	event.Host, event.Step, event.Steps = a.outcome.Name, a.outcome.Done, a.outcome.Steps
	a.events.tell(event)
}

// lock takes the host's lock, waiting for at most params.Wait, and tells who
// holds it meanwhile.
func (a *hostApply) lock(ctx context.Context, params hostapi.Lock) {
	locked, err := a.host.client.Lock(ctx, params, func(progress hostapi.Progress) {
		a.tell(Event{Phase: Locking, Text: progress.What})
	})
	if err != nil {
		a.stop(a.host.requestError(ctx, "take the lock", err))
		return
	}
	a.locked, a.number, a.last = true, locked.Number, locked.Last
	if locked.Number < 1 || locked.Number > maxLocked {
		a.stop(a.host.reports("that this is apply %d", locked.Number))
	}
}

// lockWait is how long a lock that somebody holds is waited for.
const lockWait = 60 * time.Second

func (a *hostApply) unlock(ctx context.Context) error {
	if !a.locked {
		return nil
	}
	a.locked = false
	return a.host.client.Unlock(ctx)
}

// do brings steps about on the host.
func (a *hostApply) do(ctx context.Context, steps []plan.Change) {
	switch {
	case len(steps) == 0:
		return
	case ctx.Err() != nil:
		a.stop(a.host.interrupted(ctx))
		return
	}
	at, done := 0, 0 // the step that was last heard of, and how many are done
	count := func(upTo int) {
		for ; done < upTo; done++ {
			a.count(steps[done])
		}
	}
	_, err := a.host.client.Apply(ctx, hostapi.Apply{Steps: steps}, func(progress hostapi.Progress) {
		if progress.Step < 0 || progress.Step >= len(steps) {
			return
		}
		at = progress.Step
		if progress.State == hostapi.Done {
			count(at + 1)
		}
		a.progress(steps[at], progress)
	})
	if err != nil {
		a.stop(a.host.stepError(ctx, steps, at, err))
		return
	}
	count(len(steps)) // on a slow line, progress is left out
}

// progress tells what the host says about a step.
func (a *hostApply) progress(change plan.Change, progress hostapi.Progress) {
	if !change.Counts() {
		return
	}
	phases := map[hostapi.State]Phase{hostapi.Started: Started, hostapi.Waiting: Waiting, hostapi.Done: Done}
	a.tell(Event{
		Phase: phases[progress.State], ID: change.ID, Action: change.Action, Adopt: change.Adopt,
		Text: progress.What, By: progress.By, Line: progress.Line, Amount: progress.Amount, Took: progress.Took,
	})
}

// count takes down a step that is done.
func (a *hostApply) count(change plan.Change) {
	if change.ID.Kind == plan.KindKey && change.Resource != nil {
		a.stored = append(a.stored, change.ID.Name)
	}
	a.taken.Add(change.Action)
	a.outcome.Created, a.outcome.Changed, a.outcome.Removed = a.taken.Create, a.taken.Update, a.taken.Remove
	if change.Counts() {
		a.outcome.Done++
	}
}
