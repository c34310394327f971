package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/relayctl/relayctl/internal/host/kind"
	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// batch is one request to apply.
type batch struct {
	host  *Host
	steps []plan.Change
	hear  func(hostapi.Progress)
	began time.Time // the step that it is at
	// stopped is closed when no further step is to be begun. A step that has
	// begun goes on to its end: half a step is worse than a late end.
	stopped <-chan struct{}
}

// Apply brings steps about, in order, and stops at the first that fails. Every
// step is in the journal before it is done, and its end before the next begins,
// so that an end at any moment loses nothing.
func (h *Host) Apply(ctx context.Context, params hostapi.Apply, hear func(hostapi.Progress)) (hostapi.AppliedSteps, error) {
	if h.session == nil {
		return hostapi.AppliedSteps{}, errNotLocked()
	}
	for _, change := range params.Steps {
		if err := h.checkStep(change); err != nil {
			return hostapi.AppliedSteps{}, err
		}
	}
	if err := h.store.KeepMACKey(); err != nil {
		return hostapi.AppliedSteps{}, err
	}
	b := &batch{host: h, steps: params.Steps, hear: hear, stopped: ctx.Done()}
	var done hostapi.AppliedSteps
	var failure error
	for i := range b.steps {
		fact, err := b.timed(ctx, i)
		if err != nil {
			failure = stepError(err, i)
			break
		}
		done.Facts = append(done.Facts, fact)
	}
	if err := b.end(ctx); err != nil && failure == nil {
		failure = stepError(err, hostapi.NoStep)
	}
	return done, failure
}

// checkStep refuses what no plan holds.
func (h *Host) checkStep(change plan.Change) error {
	if change.Block != "" {
		return hostapi.BadRequest("%s is blocked: %s", change.ID, change.Block)
	}
	if change.Action == plan.Attention {
		return nil
	}
	if err := h.kinds.CheckName(change.ID); err != nil {
		return err
	}
	if leaves(change) == (change.Resource != nil) {
		return hostapi.BadRequest("%s %s: with a resource or without?", change.Action, change.ID)
	}
	if change.Resource != nil && change.Resource.ID != change.ID {
		return hostapi.BadRequest("%s is to become %s", change.ID, change.Resource.ID)
	}
	return nil
}

// leaves reports whether a thing is not ours any more after a change.
func leaves(change plan.Change) bool {
	return change.Action == plan.Remove || change.Action == plan.Forget || change.Action == plan.PutBack
}

// stepError is the error of a step as it travels.
func stepError(err error, step int) error {
	told := *asError(err)
	told.Step = step
	if told.Code == hostapi.CodeInternal {
		told.Code = hostapi.CodeStep
	}
	return &told
}

// follower has things that follow what others come to.
type follower interface {
	// Follow has them take files that were put back, as paths.
	Follow(ctx context.Context, step *kind.Step, restored []string) error
}

// end settles what is left over of the batch, however it ended.
func (b *batch) end(ctx context.Context) error {
	return b.follow(context.WithoutCancel(ctx), len(b.steps)-1)
}

// follow has all that stays take the files that were put back.
func (b *batch) follow(ctx context.Context, index int) error {
	restored := b.host.session.restored
	b.host.session.restored = nil
	var failure error
	for _, handler := range b.host.kinds {
		if follows, ok := handler.(follower); ok {
			failure = errors.Join(failure, follows.Follow(ctx, b.step(index), restored))
		}
	}
	return failure
}

// timed does one step and tells how it goes.
func (b *batch) timed(ctx context.Context, index int) (plan.Fact, error) {
	if ctx.Err() != nil {
		return plan.Fact{}, &hostapi.Error{Code: hostapi.CodeCancelled, Message: "cancelled"}
	}
	b.began = time.Now()
	b.hear(hostapi.Progress{Step: index, State: hostapi.Started})
	fact, ended, err := b.journaled(ctx, index)
	if err != nil {
		return plan.Fact{}, err
	}
	b.hear(hostapi.Progress{Step: index, State: hostapi.Done, What: ended, Took: time.Since(b.began)})
	return fact, nil
}

// journaled does one step between its two lines in the journal, and says how it
// ended where not as its action says. The end of asked interrupts it where its kind
// allows that.
func (b *batch) journaled(asked context.Context, index int) (fact plan.Fact, ended string, err error) {
	if b.steps[index].Action == plan.Attention {
		return b.steps[index].Fact, "", nil
	}
	ctx, session := context.WithoutCancel(asked), b.host.session
	todo, err := b.ready(ctx, index)
	if noted := session.journal.Change(todo.noted()); noted != nil {
		return fact, "", noted
	}
	if err != nil {
		return fact, "", b.endsUntouched(todo, err)
	}
	left, err := b.bounded(asked, todo)
	if err == nil {
		fact, err = b.host.look(session.journal).Observe(ctx, todo.Resource)
	}
	if err == nil {
		err = todo.mustBeAsWanted(fact)
	}
	if err != nil {
		return fact, "", b.endsInFailure(ctx, todo, err)
	}
	session.changed = session.changed || todo.Change.Counts()
	if left.Restored {
		session.restored = append(session.restored, todo.Change.ID.Name)
	}
	changed := record.Changed{ID: fact.ID, Left: fact, Same: maps.Equal(fact.Have, todo.Now.Have)}
	if !leaves(todo.Change) {
		changed.Entry = b.entry(todo, fact, left)
	} else if todo.Change.Adopt {
		changed.Entry = todo.movedAside()
	}
	return fact, left.Ended, session.journal.Changed(changed)
}

// describe is what there is to know of a kind.
var describe = plan.Kind.Describe

// bounded does a step, for as long as one of its kind may take.
func (b *batch) bounded(asked context.Context, todo step) (kind.Outcome, error) {
	of := describe(todo.Change.ID.Kind)
	if !of.Interruptible {
		asked = context.WithoutCancel(asked)
	}
	ctx, cancel := context.WithTimeoutCause(asked, of.Takes(), fmt.Errorf("not done within %s", plan.Seconds(of.Takes())))
	defer cancel()
	left, err := b.do(ctx, todo)
	if refused := (*kind.NotLoadedError)(nil); errors.As(err, &refused) {
		err = b.goBack(ctx, todo, refused)
	}
	return left, err
}
