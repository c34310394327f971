package host

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/plan"
)

// What is taken over from somebody else is told as long as the host belongs to
// the stack, so that its owner can go back.

// takenOver says what a step takes over, or what an earlier one did; nil:
// nothing.
func (s *session) takenOver(todo step) *plan.TakenOver {
	if todo.applied != nil && todo.applied.Taken != nil {
		return todo.applied.Taken
	}
	if !todo.change.Adopt {
		return nil
	}
	taken := &plan.TakenOver{Number: s.number, Time: time.Now().UTC().Truncate(time.Second)}
	if todo.change.ID.Kind == plan.KindUnit {
		taken.Before = todo.now.Have
		if found := todo.change.Fact; found.Exists {
			taken.Before = found.Have // a step before may have stopped it along with another
		}
	}
	return taken
}

// markTaken says that a unit is about to be taken over: how it was is known no
// more afterwards. For files the copy that is kept tells.
func (h *Host) markTaken(todo step) error {
	if todo.change.ID.Kind != plan.KindUnit || todo.applied != nil && todo.applied.Taken != nil {
		return nil
	}
	taken := h.session.takenOver(todo)
	if taken == nil {
		return nil
	}
	return h.markMaking(making{ID: todo.change.ID, Taken: taken})
}

// isTaken reports whether a unit that was about to be taken over is another
// than it was.
func isTaken(one making, fact plan.Fact) bool {
	return one.Taken != nil && fact.Kind == plan.KindUnit && !maps.Equal(one.Taken.Before, fact.Have)
}

// moveAside takes a file of somebody else away that overrides a unit of ours.
// It is in the manifest, with where it is kept, before it goes.
func (b *batch) moveAside(ctx context.Context, todo step) (plan.Fact, error) {
	h, path := b.host, todo.change.ID.Name
	if todo.change.ID.Kind != plan.KindFile {
		return plan.Fact{}, badRequest("%s can't be moved aside", todo.change.ID)
	}
	if err := b.checkSince(todo); err != nil || !todo.now.Exists {
		return todo.now, err
	}
	kept, err := h.keepFormer(path, 0)
	if err != nil {
		return plan.Fact{}, err
	}
	entry := h.session.newApplied(todo.now)
	entry.Kept, entry.Taken = kept, h.session.takenOver(step{change: todo.change})
	h.session.setApplied(entry)
	if err := h.saveManifest(); err != nil {
		return plan.Fact{}, err
	}
	err = h.InFolder(path, func(name string) error {
		if err := os.Remove(name); err != nil {
			return err
		}
		return machine.SyncDir(filepath.Dir(name))
	})
	if err != nil {
		return plan.Fact{}, fmt.Errorf("move aside: %w", err)
	}
	h.session.replaced[todo.change.ID] = former{kept: kept, applied: todo.applied}
	h.session.noteChange(todo.change.ID)
	return h.observeOne(ctx, h.newLook(h.session.manifest), todo.resource)
}

// isMovedAside reports whether the step is about a file that moveAside took
// away.
func (s step) isMovedAside() bool {
	return s.change.ID.Kind == plan.KindFile && s.applied != nil && !s.applied.Made && s.applied.Taken != nil
}

// moveBack puts what moveAside took away in its place again.
func (h *Host) moveBack(entry plan.Applied) error {
	if !strings.HasPrefix(entry.Name, plan.CaddyHome+"/") { // which is Caddy's own to make
		if err := os.MkdirAll(filepath.Dir(h.Path(entry.Name)), 0o755); err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
	}
	if err := h.putBack(entry.Name, entry.Kept); err != nil {
		return err
	}
	h.session.noteChange(entry.ID)
	h.session.restored = append(h.session.restored, entry.Name)
	return nil
}
