package host

import (
	"context"
	"maps"

	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/plan"
)

// What relayctl makes is removed when it leaves the stack, what it finds is
// not. A thing doesn't tell who made it, but the journal does, also where a
// change has only its beginning: it was cut off, or it failed.

// noted is a step as the journal takes it down before it is done.
func (s step) noted() record.Change {
	c := record.Change{ID: s.Change.ID, Action: s.Change.Action, Before: s.Now, Kept: s.Kept, Taken: s.Taken, Replaces: plan.Replaces(s.Change)}
	if s.Change.Resource != nil {
		c.As = asAsked(s.Resource)
	}
	return c
}

// endsUntouched takes down that a step failed before it did anything.
func (b *batch) endsUntouched(todo step, failure error) error {
	err := b.host.session.journal.Changed(record.Changed{
		ID: todo.Change.ID, Error: asError(failure).Message, Untouched: true, Same: true, Left: todo.Now, Entry: todo.Applied,
	})
	if err != nil {
		return err
	}
	return failure
}

// endsInFailure takes down what a step that failed has come to.
func (b *batch) endsInFailure(ctx context.Context, todo step, failure error) error {
	changed, err := b.host.settled(ctx, b.host.session.journal, todo.noted())
	changed.Error = asError(failure).Message
	changed.Settled = false
	if err == nil {
		b.host.session.changed = b.host.session.changed || todo.Change.Counts()
		err = b.host.session.journal.Changed(changed)
	}
	if err != nil {
		return err
	}
	return failure
}

// settlePending takes down what the changes came to that have only a beginning.
func (h *Host) settlePending(ctx context.Context, journal *record.Journal) error {
	for _, change := range journal.Pending() {
		changed, err := h.settled(ctx, journal, change)
		if err == nil {
			err = journal.Changed(changed)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// withPending is the manifest together with what changes came to that have only
// a beginning. It changes nothing on the machine.
func (h *Host) withPending(ctx context.Context, journal *record.Journal) (*plan.Manifest, error) {
	manifest := journal.Manifest()
	for _, change := range journal.Pending() {
		changed, err := h.settled(ctx, journal, change)
		if err != nil {
			return nil, err
		}
		record.Set(manifest, change.ID, changed.Entry)
	}
	return manifest, nil
}

// settled looks at what a change has come to of whose end nothing tells.
func (h *Host) settled(ctx context.Context, journal *record.Journal, c record.Change) (record.Changed, error) {
	asked := plan.Resource{ID: c.ID}
	if c.As != nil {
		asked.Sensitive = c.As.Sensitive
	}
	fact, err := h.look(journal).Observe(ctx, asked)
	if err != nil {
		return record.Changed{}, err
	}
	changed := record.Changed{ID: c.ID, Left: fact, Settled: true, Same: fact.Exists == c.Before.Exists && maps.Equal(fact.Have, c.Before.Have)}
	changed.Entry, err = h.entryOf(ctx, journal, c, fact)
	return changed, err
}

// entryOf is what the manifest says of a thing that a change was begun for and
// that is found so.
func (h *Host) entryOf(ctx context.Context, journal *record.Journal, c record.Change, fact plan.Fact) (*plan.Applied, error) {
	before := journal.Entry(c.ID)
	isNew := !c.Before.Exists || c.As != nil && c.As.Want[plan.AttrContent] != (plan.Value{}) // else it was found
	isSwapped := c.As == nil || c.As.Want[plan.AttrContent] == (plan.Value{}) || c.As.Want[plan.AttrContent].Text == fact.Have[plan.AttrContent]
	entry := newEntry(journal, c, fact)
	brought, isBrought := h.kinds[c.Kind].(maker)
	switch {
	case c.As == nil && c.Taken != nil && !fact.Exists: // moved aside
		entry.Have, entry.Made = c.Before.Have, false
		return entry, nil
	case c.As == nil && (before == nil || !fact.Exists || !maps.Equal(fact.Have, before.Have) && before.Kept != ""):
		return nil, nil // it has gone, or its original is back
	case before != nil && (c.As == nil || !fact.Exists || !isSwapped):
		return before, nil
	case before != nil:
		entry.Made, entry.Kept, entry.Taken = before.Made, before.Kept, before.Taken
		return entry, nil
	case !fact.Exists, !isSwapped:
		return nil, nil
	case isBrought:
		var err error
		if entry.Made, err = brought.IsMade(ctx, journal, c.Name); err != nil {
			return nil, err
		}
		isTaken := c.Taken != nil && !maps.Equal(c.Taken.Before, fact.Have)
		if !entry.Made && !isTaken {
			return nil, nil
		}
		return entry, nil
	case !isNew:
		return nil, nil
	}
	return entry, nil
}

// newEntry is the entry of a thing that a change made.
func newEntry(journal *record.Journal, c record.Change, fact plan.Fact) *plan.Applied {
	begun, _ := journal.Begun()
	entry := newApplied(fact, begun.Number)
	entry.Made, entry.Taken, entry.As = true, c.Taken, c.As
	if c.Kind.Describe().Text {
		entry.Kept = c.Kept
	}
	return &entry
}
