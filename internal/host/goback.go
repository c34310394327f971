package host

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// goBack puts back what a unit ran with before this apply changed it, and has
// it run with that: new files that it does not take would keep it from starting
// at the next boot. What units read whose turn does not come goes back as well,
// since it may be made for this one's new files. The error is the cause, and
// tells what was put back.
func (u units) goBack(ctx context.Context, b *batch, step step, verb machine.JobVerb, cause error) error {
	back, err := u.putFormersBack(ctx, b, step)
	if len(back) == 0 && err == nil {
		return cause
	}
	told := *asError(cause)
	told.Message += "; put back as before: " + strings.Join(back, ", ")
	if err == nil {
		err = u.loadAgain(ctx, b, step, verb)
	}
	if err != nil {
		second := asError(err)
		told.Message += "; and that failed, too: " + second.Message
		told.Log = slices.Concat(told.Log, second.Log)
	}
	return &told
}

// loadAgain has a unit run with the files that were put back.
func (u units) loadAgain(ctx context.Context, b *batch, step step, verb machine.JobVerb) error {
	name := step.resource.Name
	state, err := u.present(ctx, name)
	if err != nil {
		return err
	}
	if !state.Running() {
		verb = machine.RestartUnit
	}
	b.tell(step.index, hostapi.Progress{What: strings.TrimSuffix(name, ".service") + " takes its former files again"})
	return u.load(ctx, b, step, verb)
}

// putFormersBack puts back, on disk and in the manifest, what this apply
// changed since it last saw the unit of a step, and those of later steps, run
// with all their files, and lists it.
func (u units) putFormersBack(ctx context.Context, b *batch, step step) (back []string, err error) {
	found := map[plan.ID]record.Recent{}
	readers := []plan.Resource{step.resource}
	for _, later := range b.steps[step.index+1:] {
		if later.ID.Kind == plan.KindUnit && later.Resource != nil {
			readers = append(readers, *later.Resource)
		}
	}
	for _, reader := range readers {
		for _, recent := range u.session.journal.Since(reader.Name) {
			if isReadBy(reader, recent.ID) && !isAsBefore(recent) {
				found[recent.ID] = recent
			}
		}
	}
	for _, id := range sortedIDs(found) {
		if err := u.putFormerBack(ctx, found[id]); err != nil {
			return back, err
		}
		if id.Kind == plan.KindProgram {
			back = append(back, id.String())
		} else {
			back = append(back, id.Name)
		}
	}
	return back, nil
}

// isAsBefore reports whether a thing has not changed, in the end.
func isAsBefore(recent record.Recent) bool {
	attr := plan.AttrContent
	if recent.Kind == plan.KindProgram {
		attr = plan.AttrDigest
	}
	return recent.Before.Exists == recent.Left.Exists && recent.Before.Have[attr] == recent.Left.Have[attr]
}

// putFormerBack puts back one thing. Where there was none, there is none again.
func (h *Host) putFormerBack(ctx context.Context, recent record.Recent) error {
	id, journal := recent.ID, h.session.journal
	asked := plan.Resource{ID: id}
	if recent.Entry != nil && recent.Entry.As != nil {
		asked = *recent.Entry.As
	}
	now, err := h.observeOne(ctx, h.look(), asked)
	if err != nil {
		return err
	}
	change := plan.Change{ID: id, Action: plan.Update, Resource: &asked}
	err = journal.Change(record.Change{ID: id, Action: plan.Update, Before: now, As: &asked, Undoes: recent.First})
	if err != nil {
		return err
	}
	if err := h.restore(recent, asked.Grants); err != nil {
		return err
	}
	h.session.noteChange(change) // systemd has to read a unit's file again
	fact, err := h.observeOne(ctx, h.look(), asked)
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

// restore puts a file or a program back as it was kept; with nothing kept there
// was none.
func (h *Host) restore(recent record.Recent, grants bool) error {
	id, kept := recent.ID, recent.Kept
	switch {
	case id.Kind == plan.KindProgram:
		return machine.SwapLink(h.Path(filepath.Join(plan.ProgramsDir, id.Name, "current")), filepath.Base(kept))
	case kept == "":
		return h.InFolder(id.Name, machine.RemoveIfThere)
	case grants:
		return h.restoreGrants(id, kept)
	}
	return h.putBack(id.Name, kept)
}

// isReadBy reports whether a thing decides how a unit runs: what it reads, its
// drop-ins, and what Caddy would resume.
func isReadBy(resource plan.Resource, id plan.ID) bool {
	if plan.AnyCovers(readsOf(resource.Unit).All(), id) {
		return true
	}
	folder := filepath.Base(filepath.Dir(id.Name))
	return id.Kind == plan.KindFile && (slices.Contains(machine.DropInFolders(resource.Name), folder) || filepath.Base(id.Name) == resource.Name ||
		id.Name == caddyAutosave && resource.Unit != nil && resource.Unit.Lifecycle == plan.LifecycleCaddy)
}

func sortedIDs[V any](of map[plan.ID]V) []plan.ID {
	ids := make([]plan.ID, 0, len(of))
	for id := range of {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b plan.ID) int { return strings.Compare(a.String(), b.String()) })
	return ids
}
