package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// Finish ends an apply: keys that were shown are noted, and manifest and
// history take it down.
func (h *Host) Finish(params hostapi.Finish) error {
	if h.session == nil {
		return errNotLocked()
	}
	if params.Stack != h.session.stack {
		return badRequest("stack %q is finished under the lock of %q", params.Stack, h.session.stack)
	}
	if params.Forget {
		return h.forgetStack()
	}
	if err := h.markShown(params.Shown); err != nil {
		return err
	}
	for _, name := range params.Shown {
		h.noteShown(name)
	}
	if params.Hosts != nil {
		h.session.manifest.Hosts = params.Hosts
	}
	if err := h.saveManifest(); err != nil {
		return err
	}
	if err := h.session.journal.sync(); err != nil {
		return err
	}
	if err := h.appendHistory(h.session.ended(params)); err != nil {
		return err
	}
	h.session.finished = true
	return h.sweepGenerations()
}

// ended is this apply as the history tells of it.
func (s *session) ended(params hostapi.Finish) plan.Past {
	past := s.past
	past.Ended, past.Steps = time.Now().UTC().Truncate(time.Second), len(s.journal.steps)
	past.State, past.Summary, past.Why = plan.PastDone, params.Summary, firstLine(params.Why)
	if !params.OK {
		past.State = plan.PastFailed
	}
	for _, part := range params.Others {
		part.Why = firstLine(part.Why)
		past.Others = append(past.Others, part)
	}
	if past.Summary == "" {
		past.Summary = plan.CountTaken(s.journal.steps).String()
	}
	return past
}

// forgetStack removes all that relay-host keeps here, but for originals of
// files that relayctl replaced: they are not ours. The manifest goes when all
// else is gone: as long as it is there, the next apply finds what an end in the
// middle left. Then only goes the lock: nobody may get it before.
func (h *Host) forgetStack() error {
	entries, err := os.ReadDir(h.stored())
	if err != nil {
		return fmt.Errorf("list store: %w", err)
	}
	for _, entry := range entries {
		switch entry.Name() {
		case "generations", "manifest.json", "lock":
			continue
		}
		if err := os.RemoveAll(h.stored(entry.Name())); err != nil {
			return fmt.Errorf("remove store: %w", err)
		}
	}
	if err := h.forgetGenerations(); err != nil {
		return err
	}
	if err := machine.RemoveIfThere(h.stored("manifest.json")); err != nil {
		return fmt.Errorf("remove manifest: %w", err)
	}
	h.session.forgotten = true
	if err := machine.RemoveIfThere(h.stored("lock")); err != nil {
		return fmt.Errorf("remove lock: %w", err)
	}
	os.Remove(h.stored())               // only when nothing is kept
	os.Remove(h.Path(plan.ProgramsDir)) // only when nothing is left in it
	h.macKey = nil
	return nil
}

func (h *Host) forgetGenerations() error {
	generations, err := os.ReadDir(h.stored("generations"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list generations: %w", err)
	}
	for _, generation := range generations {
		if generation.Name() == "0" {
			continue
		}
		if err := os.RemoveAll(h.stored("generations", generation.Name())); err != nil {
			return fmt.Errorf("remove generation: %w", err)
		}
	}
	os.Remove(h.stored("generations")) // only when nothing is kept
	return nil
}
