package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/plan"
)

// What is taken over from somebody else is told as long as the host belongs to
// the stack, so that its owner can go back, and is given back when that is asked
// for.

// takenOver says what a step takes over, or what an earlier one did; nil:
// nothing.
func (s *session) takenOver(todo step, now plan.Fact) *plan.TakenOver {
	if todo.applied != nil && todo.applied.Taken != nil {
		return todo.applied.Taken
	}
	if !todo.change.Adopt {
		return nil
	}
	taken := &plan.TakenOver{Number: s.apply.Number, Time: time.Now().UTC().Truncate(time.Second)}
	if todo.change.ID.Kind == plan.KindUnit {
		taken.Before = now.Have
		if found := todo.change.Fact; found.Exists {
			taken.Before = found.Have // a step before may have stopped it along with another
		}
	}
	return taken
}

// moveAside takes a file of somebody else away that overrides a unit of ours,
// and that is kept.
func (h *Host) moveAside(path string) error {
	err := h.InFolder(path, func(name string) error {
		if err := machine.RemoveIfThere(name); err != nil {
			return err
		}
		return machine.SyncDir(filepath.Dir(name))
	})
	if err != nil {
		return fmt.Errorf("move aside: %w", err)
	}
	return nil
}

// isMovedAside reports whether the step is about a file that an earlier one
// moved aside.
func (s step) isMovedAside() bool {
	return s.change.ID.Kind == plan.KindFile && s.applied != nil && !s.applied.Made && s.applied.Taken != nil
}

// movedAside is the manifest's entry of a file that the step took away, or that
// was gone by then.
func (s step) movedAside() *plan.Applied {
	if !s.now.Exists {
		return s.applied
	}
	return &plan.Applied{ID: s.change.ID, Have: s.now.Have, Kept: s.kept, Taken: s.taken, Number: s.taken.Number, Time: s.taken.Time}
}

// giveBack gives back what was taken over: a file stands in its place again, a
// unit is as it was.
func (b *batch) giveBack(ctx context.Context, todo step) error {
	h, entry := b.host, todo.applied
	switch {
	case entry == nil || entry.Taken == nil:
		return nil // it was given back before
	case todo.change.ID.Kind == plan.KindUnit:
		return units{h}.giveBack(ctx, b, todo)
	case todo.now.Exists:
		return nil // somebody put something there since
	}
	if !strings.HasPrefix(entry.Name, plan.CaddyHome+"/") { // which is Caddy's own to make
		if err := os.MkdirAll(filepath.Dir(h.Path(entry.Name)), 0o755); err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
	}
	h.session.restored = append(h.session.restored, entry.Name)
	return h.putBack(entry.Name, entry.Kept)
}

// giveBack has a unit of somebody else as it was before it was taken over.
func (u units) giveBack(ctx context.Context, b *batch, todo step) error {
	name, before := todo.change.ID.Name, todo.applied.Taken.Before
	state, err := u.present(ctx, name)
	if err != nil || !state.Exists {
		return err
	}
	if state.Masked() {
		if err := u.configure(ctx, machine.UnmaskUnit, name); err != nil {
			return err
		}
	}
	if before[plan.AttrEnabled] == plan.Yes && !state.Enabled() {
		if err := u.configure(ctx, machine.EnableUnit, name); err != nil {
			return err
		}
	}
	if before[plan.AttrRunning] != plan.Yes || state.Running() {
		return nil
	}
	return u.job(ctx, b, todo.index, machine.StartUnit, name)
}

// putBack copies a kept file to its place.
func (h *Host) putBack(path, kept string) error {
	err := h.InFolder(path, func(name string) error { return machine.CopyFile(h.Path(kept), name) })
	if err != nil {
		return fmt.Errorf("put %s back: %w", path, err)
	}
	return nil
}
