package host

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/relayctl/relayctl/internal/host/kind"
	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// step is a change about to be made.
type step struct {
	*kind.Step
	handler kind.Handler
	done    bool // it is as it should be already
}

// step is what there is to say of the step at index before the machine is looked
// at.
func (b *batch) step(index int) *kind.Step {
	session := b.host.session
	s := &kind.Step{
		Apply: session.apply, Journal: session.journal, Began: b.began, Stopped: b.stopped,
		Look: func() *kind.Look { return b.host.look(session.journal) },
		Hear: func(at hostapi.Progress) {
			at.Step = index
			b.hear(at)
		},
	}
	if index >= 0 && index < len(b.steps) {
		s.Change, s.Later = b.steps[index], b.steps[index+1:]
	}
	return s
}

// What some handlers can do beside what all can.
type (
	// keeper has things with something in them.
	keeper interface {
		// Keep keeps what a step is about to replace or take away, and returns
		// where; empty: it need not be kept.
		Keep(step *kind.Step) (string, error)
	}
	// filler has things that are filled from what only this machine has.
	filler interface {
		Fill(from plan.ID) (content []byte, isSecret bool, err error)
	}
	// returner has things that may have been somebody else's.
	returner interface {
		// Return has a thing as it was before it was taken over.
		Return(ctx context.Context, step *kind.Step) (kind.Outcome, error)
	}
	// maker has things that others bring.
	maker interface {
		// IsMade reports whether relayctl made a thing.
		IsMade(ctx context.Context, journal *record.Journal, name string) (bool, error)
	}
)

// ready finds out all that a step needs, and keeps what it will replace.
func (b *batch) ready(ctx context.Context, index int) (todo step, err error) {
	h, change := b.host, b.steps[index]
	todo = step{Step: b.step(index), handler: h.kinds[change.ID.Kind]}
	todo.Resource, todo.Now, todo.Applied = plan.Resource{ID: change.ID}, change.Fact, todo.Journal.Entry(change.ID)
	if change.Resource != nil {
		if todo.Resource, err = h.settle(*change.Resource); err != nil {
			return todo, err
		}
	}
	now, err := todo.Look().Observe(ctx, todo.Resource)
	if err != nil {
		return todo, err
	}
	todo.Now, todo.Taken = now, todo.takesOver(now)
	todo.done = !leaves(change) && change.Action != plan.Take && !change.ID.Kind.Describe().Runs && asWanted(todo.Resource, now)
	if change.Action == plan.Take && !asWanted(todo.Resource, now) {
		return todo, hostapi.ChangedSince(change.ID, differences(wanted(todo.Resource), now.Have))
	}
	if todo.done || change.Action == plan.Take || !todo.touches() {
		return todo, nil
	}
	if err := b.mustBeAsPlanned(todo); err != nil {
		return todo, err
	}
	if keeps, ok := todo.handler.(keeper); ok && now.Exists {
		todo.Kept, err = keeps.Keep(todo.Step)
	}
	return todo, err
}

// touches reports whether a step does anything to the machine. What was found is
// only forgotten, and what is gone as it should be needs nothing.
func (s step) touches() bool {
	switch s.Change.Action {
	case plan.Take:
		return false
	case plan.Forget: // what was moved aside is in nobody's way any more
		return s.IsMovedAside() && !s.Now.Exists
	case plan.Remove:
		if s.Change.Adopt {
			return s.Now.Exists
		}
		if s.Applied == nil && s.Change.ID.Kind.Describe().Known {
			return s.Now.Exists // stayed when the stack was taken away: nobody else makes these
		}
		return s.MadeBefore() && (s.Now.Exists || s.Applied.Kept != "")
	}
	return true
}

// do does a step.
func (b *batch) do(ctx context.Context, todo step) (kind.Outcome, error) {
	id, of := todo.Change.ID, todo.Change.ID.Kind.Describe()
	if of.Brings && !leaves(todo.Change) && todo.Change.Action != plan.Take {
		b.host.session.brought = true // also where it came since the plan
	}
	switch {
	case todo.done: // who made it the manifest may not have learned: an earlier end of this apply kept it from that
		return kind.Outcome{Made: todo.MadeBefore() || !of.ComesAlong}, nil // what came along with a package goes with it
	case todo.Change.Action == plan.Take:
		brought, ok := todo.handler.(maker)
		if !ok {
			return kind.Outcome{Made: of.Credential}, nil // which nobody else makes
		}
		made, err := brought.IsMade(ctx, todo.Journal, id.Name)
		return kind.Outcome{Made: made}, err
	case !todo.touches():
		return kind.Outcome{}, nil
	case todo.Change.Action == plan.PutBack, todo.Change.Action == plan.Forget:
		returns, ok := todo.handler.(returner)
		if !ok || todo.Applied == nil || todo.Applied.Taken == nil {
			return kind.Outcome{}, nil // it was given back before
		}
		return returns.Return(ctx, todo.Step)
	case leaves(todo.Change):
		if of.Folder && len(b.host.session.restored) > 0 { // what was put back may have a unit leave the folder
			if err := b.follow(ctx, len(b.steps)-1); err != nil {
				return kind.Outcome{}, err
			}
		}
		return todo.handler.Remove(ctx, todo.Step)
	}
	return todo.handler.Bring(ctx, todo.Step)
}

// mustBeAsWanted holds that a step has come to what it should.
func (s step) mustBeAsWanted(fact plan.Fact) error {
	if leaves(s.Change) || fact.Kind.Describe().Runs || asWanted(s.Resource, fact) {
		return nil
	}
	return fmt.Errorf("%s is not as it was just made: %s", fact.ID, differences(wanted(s.Resource), fact.Have))
}

// entry is the manifest's of a step that was done.
func (b *batch) entry(todo step, fact plan.Fact, left kind.Outcome) *plan.Applied {
	entry := newApplied(fact, todo.Apply.Number)
	entry.Made, entry.With, entry.Taken, entry.As = left.Made, left.With, todo.Taken, asAsked(todo.Resource)
	if todo.Applied == nil {
		if fact.Kind.Describe().Text {
			entry.Kept = todo.Kept
		}
		return &entry
	}
	entry.Made, entry.Kept = entry.Made || todo.Applied.Made, todo.Applied.Kept
	if len(entry.With) == 0 {
		entry.With = todo.Applied.With
	}
	same := entry.Made == todo.Applied.Made && entry.Taken == todo.Applied.Taken
	if same && maps.Equal(fact.Have, todo.Applied.Have) {
		entry.Number, entry.Time = todo.Applied.Number, todo.Applied.Time
	}
	return &entry
}

// takesOver says what the step takes over from somebody else, or what an earlier
// one did; nil: nothing. That is told as long as the host belongs to the stack, so
// that its owner can go back, and is given back when that is asked for.
func (s step) takesOver(now plan.Fact) *plan.TakenOver {
	if s.Applied != nil && s.Applied.Taken != nil {
		return s.Applied.Taken
	}
	if !s.Change.Adopt {
		return nil
	}
	taken := &plan.TakenOver{Number: s.Apply.Number, Time: time.Now().UTC().Truncate(time.Second)}
	if s.Change.ID.Kind.Describe().Runs {
		taken.Before = now.Have
		if found := s.Change.Fact; found.Exists {
			taken.Before = found.Have // a step before may have stopped it along with another
		}
	}
	return taken
}

// movedAside is the manifest's entry of a file that the step took away, or that
// was gone by then.
func (s step) movedAside() *plan.Applied {
	if !s.Now.Exists {
		return s.Applied
	}
	return &plan.Applied{ID: s.Change.ID, Have: s.Now.Have, Kept: s.Kept, Taken: s.Taken, Number: s.Taken.Number, Time: s.Taken.Time}
}

// newApplied is the manifest's entry for a fact that an apply left.
func newApplied(fact plan.Fact, number int) plan.Applied {
	return plan.Applied{ID: fact.ID, Have: fact.Have, Number: number, Time: time.Now().UTC().Truncate(time.Second)}
}

// asAsked is how a thing was asked for, as the record keeps it: the stack file
// that it came from will have changed when that is asked for again.
func asAsked(resource plan.Resource) *plan.Resource {
	resource.Origin, resource.Kept = plan.Origin{}, ""
	return &resource
}

// settle gives a resource the values that only this machine could give.
func (h *Host) settle(resource plan.Resource) (plan.Resource, error) {
	fills, ok := h.kinds[resource.Kind].(filler)
	if resource.From == nil || !ok {
		for name, value := range resource.Want {
			if !value.IsKnown() && !isOwnMaking(resource.Kind, name) {
				return resource, hostapi.BadRequest("%s: %s is not known", resource.ID, name)
			}
		}
		return resource, nil
	}
	content, isSecret, err := fills.Fill(*resource.From)
	if err != nil {
		return resource, err
	}
	resource.Sensitive = resource.Sensitive || isSecret
	digest, err := h.store.Digest(content, resource.Sensitive)
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
