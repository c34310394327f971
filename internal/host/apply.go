package host

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

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
// step that is done is in the manifest before the next begins, so that an end
// at any moment loses nothing.
func (h *Host) Apply(ctx context.Context, params hostapi.Apply, hear func(hostapi.Progress)) (hostapi.AppliedSteps, error) {
	if h.session == nil {
		return hostapi.AppliedSteps{}, errNotLocked()
	}
	for _, change := range params.Steps {
		if err := checkStep(change); err != nil {
			return hostapi.AppliedSteps{}, err
		}
	}
	b := &batch{host: h, steps: params.Steps, hear: hear, stopped: ctx.Done()}
	if err := b.begin(ctx); err != nil {
		return hostapi.AppliedSteps{}, err
	}
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
	leaves := change.Action == plan.Remove || change.Action == plan.Forget
	if leaves == (change.Resource != nil) {
		return badRequest("%s %s: with a resource or without?", change.Action, change.ID)
	}
	if change.Resource != nil && change.Resource.ID != change.ID {
		return badRequest("%s is to become %s", change.ID, change.Resource.ID)
	}
	return nil
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

// begin writes down what is about to happen, before anything does.
func (b *batch) begin(ctx context.Context) error {
	if err := b.host.keepMACKey(); err != nil {
		return fmt.Errorf("keep key for digests: %w", err)
	}
	var things []making
	for _, change := range b.steps {
		if change.Action == plan.Create && !change.Fact.Exists {
			things = append(things, step{resource: *change.Resource}.making(""))
		}
	}
	if err := b.host.markMaking(things...); err != nil {
		return err
	}
	return b.host.intendRestarts(b.steps)
}

// end settles what is left over of the batch, however it ended.
func (b *batch) end(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	err := b.host.settleMaking(ctx)
	if b.host.session.unitFiles {
		if reload := b.host.reloadUnitFiles(ctx); err == nil {
			err = reload
		}
	}
	if followed := b.host.followRestored(ctx, b); err == nil {
		err = followed
	}
	if dropped := b.host.dropVainIntents(); err == nil {
		err = dropped
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
	fact, err := b.journaled(context.WithoutCancel(ctx), index)
	if err != nil {
		return plan.Fact{}, err
	}
	b.hear(hostapi.Progress{Step: index, State: hostapi.Done, Text: b.ended, Seconds: time.Since(b.began).Seconds()})
	return fact, nil
}

// journaled does one step with its lines in the journal.
func (b *batch) journaled(ctx context.Context, index int) (plan.Fact, error) {
	change := b.steps[index]
	if change.Action == plan.Attention {
		return change.Fact, nil
	}
	if err := b.host.beginStep(change); err != nil {
		return plan.Fact{}, err
	}
	fact, err := b.do(ctx, index)
	b.host.endStep(err)
	return fact, err
}

func (b *batch) do(ctx context.Context, index int) (plan.Fact, error) {
	change := b.steps[index]
	h, s := b.host, b.host.session
	todo := step{index: index, change: change, resource: plan.Resource{ID: change.ID}}
	var err error
	if change.Resource != nil {
		if todo.resource, err = h.settle(*change.Resource); err != nil {
			return plan.Fact{}, err
		}
	}
	if todo.now, err = h.observeOne(ctx, h.newLook(s.manifest), todo.resource); err != nil {
		return plan.Fact{}, err
	}
	todo.applied = findApplied(s.manifest, change.ID)
	switch change.Action {
	case plan.Remove, plan.Forget:
		if change.Adopt {
			return b.moveAside(ctx, todo)
		}
		return b.leave(ctx, todo)
	case plan.Take:
		return b.take(ctx, todo)
	}
	return b.bring(ctx, todo)
}

// bring does a step that makes or changes something.
func (b *batch) bring(ctx context.Context, todo step) (plan.Fact, error) {
	h, id := b.host, todo.change.ID
	worker, _ := h.worker(id.Kind)
	if id.Kind != plan.KindUnit && asWanted(todo.resource, todo.now) {
		if id.Kind == plan.KindPackage {
			h.session.packages = true // it came since the plan, and brought what packages bring
		}
		return todo.now, b.record(todo, todo.now, outcome{made: b.isMaking(todo)})
	}
	if err := b.checkSince(todo); err != nil {
		return plan.Fact{}, err
	}
	if err := h.markTaken(todo); err != nil {
		return plan.Fact{}, err
	}
	left, err := worker.bring(ctx, b, todo)
	if err != nil {
		return plan.Fact{}, err
	}
	fact, err := h.observeOne(ctx, h.newLook(h.session.manifest), todo.resource)
	if err != nil {
		return plan.Fact{}, err
	}
	if id.Kind != plan.KindUnit && !asWanted(todo.resource, fact) {
		return plan.Fact{}, fmt.Errorf("%s is not as it was just made: %s", id, differences(wanted(todo.resource), fact.Have))
	}
	if plan.Replaces(todo.change) && !maps.Equal(fact.Have, todo.now.Have) {
		h.session.noteChange(id)
	}
	return fact, b.record(todo, fact, left)
}

// isMaking reports whether an earlier end of this same apply kept the manifest
// from learning who made the thing.
func (b *batch) isMaking(todo step) bool {
	switch todo.change.ID.Kind {
	case plan.KindPackage, plan.KindUser, plan.KindDirectory:
		return false // what came along with a package, say, goes with it
	}
	return true
}

// record takes a done step into the manifest.
func (b *batch) record(todo step, fact plan.Fact, left outcome) error {
	s := b.host.session
	entry := s.newApplied(fact)
	entry.Made, entry.Kept, entry.Taken = left.made, left.kept, s.takenOver(todo)
	if todo.applied != nil {
		entry.Made = entry.Made || todo.applied.Made
		if entry.Kept == "" {
			entry.Kept = todo.applied.Kept
		}
		same := entry.Made == todo.applied.Made && entry.Kept == todo.applied.Kept && entry.Taken == todo.applied.Taken
		if same && maps.Equal(fact.Have, todo.applied.Have) {
			return nil
		}
	}
	s.setApplied(entry)
	return b.host.saveManifest()
}

// take enters a thing that is as it should be into the manifest, as found. A
// unit goes with its file.
func (b *batch) take(ctx context.Context, todo step) (plan.Fact, error) {
	var left outcome
	if !asWanted(todo.resource, todo.now) {
		return plan.Fact{}, changedSince(todo.change.ID, differences(wanted(todo.resource), todo.now.Have))
	}
	if todo.change.ID.Kind == plan.KindUnit {
		var err error
		if left.made, err = b.host.isMade(ctx, b.host.session.manifest, todo.change.ID); err != nil {
			return plan.Fact{}, err
		}
	}
	return todo.now, b.record(todo, todo.now, left)
}

// leave takes a thing away, if relayctl made it and it is there or its original
// is to be put back, and out of the manifest.
func (b *batch) leave(ctx context.Context, todo step) (plan.Fact, error) {
	h, id := b.host, todo.change.ID
	if todo.change.Action == plan.Remove && todo.madeBefore() && (todo.now.Exists || todo.applied.Kept != "") {
		if err := b.checkSince(todo); err != nil {
			return plan.Fact{}, err
		}
		if id.Kind == plan.KindDirectory { // what was put back may have a unit leave the folder
			if err := h.followRestored(ctx, b); err != nil {
				return plan.Fact{}, err
			}
		}
		worker, _ := h.worker(id.Kind)
		if err := worker.remove(ctx, b, todo); err != nil {
			return plan.Fact{}, err
		}
		h.session.noteChange(id)
	}
	if todo.isMovedAside() && !todo.now.Exists {
		if err := h.moveBack(*todo.applied); err != nil {
			return plan.Fact{}, err
		}
	}
	h.session.dropApplied(id)
	if err := h.saveManifest(); err != nil {
		return plan.Fact{}, err
	}
	return h.observeOne(ctx, h.newLook(h.session.manifest), todo.resource)
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
	return (kind == plan.KindCA || kind == plan.KindSecret) && attribute != plan.AttrDomain
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
