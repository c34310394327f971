package host

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/relayctl/relayctl/internal/host/kind"
	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/plan"
)

// runner has things that run, and read others.
type runner interface {
	// Reads reports whether a thing decides how another one runs.
	Reads(runs plan.Resource, id plan.ID) bool
	// LoadAgain has a thing run with what was put back, after a job has failed.
	LoadAgain(ctx context.Context, step *kind.Step, tried machine.JobVerb) error
}

// restorer has things that go back to what is kept of them.
type restorer interface {
	// Restore puts back what a change replaced; with nothing kept there was
	// nothing.
	Restore(step *kind.Step, recent record.Recent) error
}

// goBack puts back what a unit ran with before this apply changed it, and has
// it run with that: new files that it does not take would keep it from starting
// at the next boot. What units read whose turn does not come goes back as well,
// since it may be made for this one's new files. The error is the cause, and
// tells what was put back.
func (b *batch) goBack(ctx context.Context, todo step, cause *kind.NotLoadedError) error {
	runs := todo.handler.(runner)
	back, err := b.putFormersBack(ctx, todo, runs)
	if len(back) == 0 && err == nil {
		return cause
	}
	told := *asError(cause)
	told.Message += "; put back as before: " + strings.Join(back, ", ")
	if err == nil {
		err = runs.LoadAgain(ctx, todo.Step, cause.Tried)
	}
	if err != nil {
		second := asError(err)
		told.Message += "; and that failed, too: " + second.Message
		told.Log = slices.Concat(told.Log, second.Log)
	}
	return &told
}

// putFormersBack puts back, on disk and in the manifest, what this apply
// changed since it last saw the unit of a step, and those of later steps, run
// with all their files, and lists it.
func (b *batch) putFormersBack(ctx context.Context, todo step, runs runner) (back []string, err error) {
	found := map[plan.ID]record.Recent{}
	readers := []plan.Resource{todo.Resource}
	for _, later := range todo.Later {
		if later.ID.Kind.Describe().Runs && later.Resource != nil {
			readers = append(readers, *later.Resource)
		}
	}
	for _, reader := range readers {
		for _, recent := range todo.Journal.Since(reader.Name) {
			_, canGoBack := b.host.kinds[recent.Kind].(restorer)
			if canGoBack && runs.Reads(reader, recent.ID) && !isAsBefore(recent) {
				found[recent.ID] = recent
			}
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(found), record.CompareIDs) {
		if err := b.putFormerBack(ctx, todo.Step, found[id]); err != nil {
			return back, err
		}
		name := id.Name // a path says by itself what it is
		if !id.Kind.Describe().Text {
			name = id.String()
		}
		back = append(back, name)
	}
	return back, nil
}

// isAsBefore reports whether a thing has not changed, in the end.
func isAsBefore(recent record.Recent) bool {
	attr := recent.Kind.Describe().Content
	return recent.Before.Exists == recent.Left.Exists && recent.Before.Have[attr] == recent.Left.Have[attr]
}

// putFormerBack puts back one thing. Where there was none, there is none again.
func (b *batch) putFormerBack(ctx context.Context, of *kind.Step, recent record.Recent) error {
	id, journal, restores := recent.ID, of.Journal, b.host.kinds[recent.Kind].(restorer)
	asked := plan.Resource{ID: id}
	if recent.Entry != nil && recent.Entry.As != nil {
		asked = *recent.Entry.As
	}
	now, err := of.Look().Observe(ctx, asked)
	if err != nil {
		return err
	}
	err = journal.Change(record.Change{ID: id, Action: plan.Update, Before: now, As: &asked, Undoes: recent.First})
	if err != nil {
		return err
	}
	undoing := *of
	undoing.Resource = asked
	if err := restores.Restore(&undoing, recent); err != nil {
		return err
	}
	fact, err := of.Look().Observe(ctx, asked)
	if err != nil {
		return err
	}
	entry := recent.Entry
	if entry != nil && asked.Grants { // what was revoked is not in it any more
		same := *entry
		same.Have = fact.Have
		entry = &same
	}
	return journal.Changed(record.Changed{ID: id, Left: fact, Entry: entry})
}
