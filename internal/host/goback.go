package host

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/plan"
)

// goBack puts back what a unit ran with before this session changed it, and has
// it run with that: new files that it does not take would keep it from starting
// at the next boot. What units read whose turn does not come goes back as well,
// since it may be made for this one's new files. The error is the cause, and
// tells what was put back. What somebody revoked is good again then, as it is for
// the unit that runs.
func (u units) goBack(ctx context.Context, b *batch, step step, verb machine.JobVerb, cause error) error {
	back, err := u.putFormersBack(b, step)
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
	b.tell(step.index, fmt.Sprintf("%s takes its former files again", strings.TrimSuffix(name, ".service")))
	return u.load(ctx, b, step, verb)
}

// putFormersBack puts back, on disk and in the manifest, what this session
// changed since it last saw the unit of a step, and those of later steps, run
// with all their files, and lists it.
func (u units) putFormersBack(b *batch, step step) (back []string, err error) {
	s := u.session
	readers := []plan.Resource{step.resource}
	for _, later := range b.steps[step.index+1:] {
		if later.ID.Kind == plan.KindUnit && later.Resource != nil {
			readers = append(readers, *later.Resource)
		}
	}
	var ids []plan.ID
	for id := range s.replaced {
		if slices.ContainsFunc(readers, func(r plan.Resource) bool { return s.changed[id] > s.loaded[r.Name] && isReadBy(r, id) }) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b plan.ID) int { return strings.Compare(a.String(), b.String()) })
	for _, id := range ids {
		if err := u.putFormerBack(id, s.replaced[id]); err != nil {
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

// putFormerBack puts back one thing. Where there was none, there is none again.
func (h *Host) putFormerBack(id plan.ID, before former) error {
	var err error
	switch {
	case id.Kind == plan.KindProgram:
		err = machine.SwapLink(h.Path(filepath.Join(plan.ProgramsDir, id.Name, "current")), before.kept)
	case before.kept == "":
		err = machine.RemoveIfThere(h.Path(id.Name))
	default:
		err = h.putBack(id.Name, before.kept)
	}
	if err != nil {
		return err
	}
	if before.applied != nil {
		h.session.setApplied(*before.applied)
	} else {
		h.session.dropApplied(id)
	}
	h.session.noteChange(id) // systemd has to read a unit's file again
	delete(h.session.changed, id)
	delete(h.session.replaced, id)
	return h.saveManifest()
}

// isReadBy reports whether a thing decides how a unit runs: what it reads, its
// drop-ins, and what Caddy would resume.
func isReadBy(resource plan.Resource, id plan.ID) bool {
	if anyCovers(readsOf(resource.Unit).all(), id) {
		return true
	}
	folder := filepath.Base(filepath.Dir(id.Name))
	return id.Kind == plan.KindFile && (slices.Contains(machine.DropInFolders(resource.Name), folder) || filepath.Base(id.Name) == resource.Name ||
		id.Name == caddyAutosave && resource.Unit != nil && resource.Unit.Reloader == plan.ReloadCaddy)
}
