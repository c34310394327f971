package host

import (
	"maps"
	"time"

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
