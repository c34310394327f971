package host

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

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
	ended string    // how that step ended, where not as its action says
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
		if err := checkStep(change); err != nil {
			return hostapi.AppliedSteps{}, err
		}
	}
	if err := h.keepMACKey(); err != nil {
		return hostapi.AppliedSteps{}, fmt.Errorf("keep key for digests: %w", err)
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
		failure = stepError(err, noStep)
	}
	return done, failure
}

// checkStep refuses what no plan holds.
func checkStep(change plan.Change) error {
	if change.Block != "" {
		return badRequest("%s is blocked: %s", change.ID, change.Block)
	}
	if change.Action == plan.Attention {
		return nil
	}
	if err := checkName(change.ID); err != nil {
		return err
	}
	if leaves(change) == (change.Resource != nil) {
		return badRequest("%s %s: with a resource or without?", change.Action, change.ID)
	}
	if change.Resource != nil && change.Resource.ID != change.ID {
		return badRequest("%s is to become %s", change.ID, change.Resource.ID)
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

// end settles what is left over of the batch, however it ended.
func (b *batch) end(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	var err error
	if b.host.session.unitFiles {
		err = b.host.reloadUnitFiles(ctx)
	}
	if followed := b.host.followRestored(ctx, b); err == nil {
		err = followed
	}
	return err
}

// timed does one step and tells how it goes.
func (b *batch) timed(ctx context.Context, index int) (plan.Fact, error) {
	if ctx.Err() != nil {
		return plan.Fact{}, &hostapi.Error{Code: hostapi.CodeCancelled, Message: "cancelled"}
	}
	b.began, b.ended = time.Now(), ""
	b.hear(hostapi.Progress{Step: index, State: hostapi.Started})
	fact, err := b.journaled(ctx, index)
	if err != nil {
		return plan.Fact{}, err
	}
	b.hear(hostapi.Progress{Step: index, State: hostapi.Done, What: b.ended, Took: time.Since(b.began)})
	return fact, nil
}

// journaled does one step between its two lines in the journal. The end of asked
// interrupts it where its kind allows that.
func (b *batch) journaled(asked context.Context, index int) (plan.Fact, error) {
	ctx := context.WithoutCancel(asked)
	if b.steps[index].Action == plan.Attention {
		return b.steps[index].Fact, nil
	}
	journal := b.host.session.journal
	todo, err := b.ready(ctx, index)
	if noted := journal.Change(todo.noted()); noted != nil {
		return plan.Fact{}, noted
	}
	if err != nil {
		return plan.Fact{}, b.endsUntouched(todo, err)
	}
	left, err := b.bounded(asked, todo)
	if err != nil {
		return plan.Fact{}, b.endsInFailure(ctx, todo, err)
	}
	fact, err := b.host.observeOne(ctx, b.host.look(), todo.resource)
	if err == nil {
		err = b.mustBeAsWanted(todo, fact)
	}
	if err != nil {
		return plan.Fact{}, b.endsInFailure(ctx, todo, err)
	}
	b.host.session.noteChange(todo.change)
	changed := record.Changed{ID: fact.ID, Left: fact, Same: maps.Equal(fact.Have, todo.now.Have)}
	if !leaves(todo.change) {
		changed.Entry = b.entry(todo, fact, left)
	} else if todo.change.Adopt {
		changed.Entry = todo.movedAside()
	}
	return fact, journal.Changed(changed)
}

// bounded does a step, for as long as one of its kind may take.
func (b *batch) bounded(asked context.Context, todo step) (outcome, error) {
	kind := todo.change.ID.Kind.Describe()
	if !kind.Interruptible {
		asked = context.WithoutCancel(asked)
	}
	ctx, cancel := context.WithTimeoutCause(asked, kind.Takes(), fmt.Errorf("not done within %s", plan.Seconds(kind.Takes())))
	defer cancel()
	return b.do(ctx, todo)
}

// ready finds out all that a step needs, and keeps what it will replace.
func (b *batch) ready(ctx context.Context, index int) (todo step, err error) {
	h, change := b.host, b.steps[index]
	todo = step{index: index, change: change, resource: plan.Resource{ID: change.ID}, now: change.Fact}
	todo.applied = h.session.journal.Entry(change.ID)
	if change.Resource != nil {
		if todo.resource, err = h.settle(*change.Resource); err != nil {
			return todo, err
		}
	}
	now, err := h.observeOne(ctx, h.look(), todo.resource)
	if err != nil {
		return todo, err
	}
	todo.now, todo.taken = now, h.session.takenOver(todo, now)
	todo.done = !leaves(change) && change.Action != plan.Take && !change.ID.Kind.Describe().Runs && asWanted(todo.resource, now)
	if change.Action == plan.Take && !asWanted(todo.resource, now) {
		return todo, changedSince(change.ID, differences(wanted(todo.resource), now.Have))
	}
	if todo.done || change.Action == plan.Take || !todo.touches() {
		return todo, nil
	}
	if err := b.checkSince(todo); err != nil {
		return todo, err
	}
	todo.kept, err = h.keepWhatGoes(todo)
	return todo, err
}

// touches reports whether a step does anything to the machine. What was found is
// only forgotten, and what is gone as it should be needs nothing.
func (s step) touches() bool {
	switch s.change.Action {
	case plan.Take:
		return false
	case plan.Forget: // what was moved aside is in nobody's way any more
		return s.isMovedAside() && !s.now.Exists
	case plan.Remove:
		if s.change.Adopt {
			return s.now.Exists
		}
		if s.applied == nil && s.change.ID.Kind.Describe().Known {
			return s.now.Exists // stayed when the stack was taken away: nobody else makes these
		}
		return s.madeBefore() && (s.now.Exists || s.applied.Kept != "")
	}
	return true
}

// do does a step.
func (b *batch) do(ctx context.Context, todo step) (outcome, error) {
	h, id := b.host, todo.change.ID
	worker, _ := h.worker(id.Kind)
	switch {
	case todo.done:
		if id.Kind == plan.KindPackage {
			h.session.packages = true // it came since the plan, and brought what packages bring
		}
		return outcome{made: todo.madeBefore() || b.isMaking(todo)}, nil
	case todo.change.Action == plan.Take:
		if !id.Kind.Describe().Runs { // a unit goes with its file
			return outcome{made: id.Kind.Describe().Credential}, nil // which nobody else makes
		}
		made, err := h.isMade(ctx, id)
		return outcome{made: made}, err
	case !todo.touches():
		return outcome{}, nil
	case todo.change.Action == plan.PutBack, todo.change.Action == plan.Forget:
		return outcome{}, b.giveBack(ctx, todo)
	case todo.change.Adopt && leaves(todo.change):
		return outcome{}, h.moveAside(id.Name)
	case leaves(todo.change):
		if id.Kind == plan.KindDirectory { // what was put back may have a unit leave the folder
			if err := h.followRestored(ctx, b); err != nil {
				return outcome{}, err
			}
		}
		return outcome{}, worker.remove(ctx, b, todo)
	}
	return worker.bring(ctx, b, todo)
}

// isMaking reports whether an earlier end of this same apply kept the manifest
// from learning who made the thing.
func (b *batch) isMaking(todo step) bool {
	return !todo.change.ID.Kind.Describe().ComesAlong // what came along with a package goes with it
}

// mustBeAsWanted holds that a step has come to what it should.
func (b *batch) mustBeAsWanted(todo step, fact plan.Fact) error {
	if leaves(todo.change) || fact.Kind.Describe().Runs || asWanted(todo.resource, fact) {
		return nil
	}
	return fmt.Errorf("%s is not as it was just made: %s", fact.ID, differences(wanted(todo.resource), fact.Have))
}

// entry is the manifest's of a step that was done.
func (b *batch) entry(todo step, fact plan.Fact, left outcome) *plan.Applied {
	entry := b.host.session.newApplied(fact)
	entry.Made, entry.With, entry.Taken, entry.As = left.made, left.with, todo.taken, asAsked(todo.resource)
	if todo.applied == nil {
		if todo.change.ID.Kind == plan.KindFile {
			entry.Kept = todo.kept
		}
		return &entry
	}
	entry.Made, entry.Kept = entry.Made || todo.applied.Made, todo.applied.Kept
	if len(entry.With) == 0 {
		entry.With = todo.applied.With
	}
	same := entry.Made == todo.applied.Made && entry.Taken == todo.applied.Taken
	if same && maps.Equal(fact.Have, todo.applied.Have) {
		entry.Number, entry.Time = todo.applied.Number, todo.applied.Time
	}
	return &entry
}

// asAsked is how a thing was asked for, as the record keeps it: the stack file
// that it came from will have changed when that is asked for again.
func asAsked(resource plan.Resource) *plan.Resource {
	resource.Origin, resource.Kept = plan.Origin{}, ""
	return &resource
}

// settle gives a resource the values that only this machine could give.
func (h *Host) settle(resource plan.Resource) (plan.Resource, error) {
	resource.Sensitive = resource.Sensitive || isSecretFile(resource)
	if resource.From == nil || resource.Kind == plan.KindSecret {
		for name, value := range resource.Want {
			if !value.IsKnown() && !isOwnMaking(resource.Kind, name) {
				return resource, badRequest("%s: %s is not known", resource.ID, name)
			}
		}
		return resource, nil
	}
	content, err := h.render(*resource.From)
	if err != nil {
		return resource, err
	}
	digest, err := h.digest(content, resource.Sensitive)
	if err != nil {
		return resource, err
	}
	resource.Want = maps.Clone(resource.Want)
	if resource.Want == nil {
		resource.Want = map[string]plan.Value{}
	}
	resource.Want[plan.AttrContent] = plan.Known(digest)
	return resource, nil
}

// isSecretFile reports whether a file is filled from something secret.
func isSecretFile(resource plan.Resource) bool {
	return resource.From != nil &&
		(resource.From.Kind == plan.KindSecret || strings.Contains(resource.From.Name, "/"))
}

// isOwnMaking reports whether making the thing gives it the attribute.
func isOwnMaking(kind plan.Kind, attribute string) bool {
	return kind.Describe().MadeOnHost && attribute != plan.AttrDomain
}

// wanted is what a resource should be, as far as it is settled. Whether a key
// was shown is not up to a step, and until when its former hash is good shows
// in another attribute.
func wanted(resource plan.Resource) map[string]string {
	want := map[string]string{}
	for name, value := range resource.Want {
		if value.IsKnown() && name != plan.AttrShown && name != plan.AttrUntil {
			want[name] = value.Text
		}
	}
	return want
}

// asWanted reports whether a thing needs no step any more.
func asWanted(resource plan.Resource, fact plan.Fact) bool {
	return fact.Exists && differences(wanted(resource), fact.Have) == ""
}
