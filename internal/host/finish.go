package host

import (
	"fmt"
	"os"
	"time"

	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// Finish ends an apply: keys that were shown are noted, and the journal takes
// the end down.
func (h *Host) Finish(params hostapi.Finish) error {
	if h.session == nil {
		return errNotLocked()
	}
	if params.Stack != h.session.apply.Stack {
		return hostapi.BadRequest("stack %q is finished under the lock of %q", params.Stack, h.session.apply.Stack)
	}
	if params.Forget {
		return h.forgetStack(params.KeepTrust)
	}
	if err := h.store.MarkShown(params.Shown); err != nil {
		return err
	}
	journal, past := h.session.journal, h.session.ended(params)
	if err := journal.End(record.End{Past: &past, Shown: params.Shown, Hosts: params.Hosts}); err != nil {
		return err
	}
	h.session.finished = true
	oldest, err := journal.Compact()
	if err != nil {
		return err
	}
	for _, handler := range h.kinds {
		if sweeper, ok := handler.(interface{ Sweep(*record.Journal) error }); ok {
			if err := sweeper.Sweep(journal); err != nil {
				return err
			}
		}
	}
	return h.store.Sweep(oldest)
}

// ended is this apply as the history tells of it.
func (s *session) ended(params hostapi.Finish) plan.Past {
	steps := s.journal.Steps(s.apply.Number)
	past := s.apply.Past()
	past.Ended, past.Steps = time.Now().UTC().Truncate(time.Second), len(steps)
	past.State, past.Summary, past.Why = plan.PastDone, params.Summary, record.FirstLine(params.Why)
	if !params.OK {
		past.State = plan.PastFailed
	}
	for _, part := range params.Others {
		part.Why = record.FirstLine(part.Why)
		past.Others = append(past.Others, part)
	}
	if past.Summary == "" {
		past.Summary = plan.CountTaken(steps).String()
	}
	return past
}

// forgetStack removes all that relay-host keeps here and that is ours. The journal
// goes when all else is gone: as long as it is there, the next apply finds what an
// end in the middle left. Then only goes the lock: nobody may get it before.
func (h *Host) forgetStack(keepTrust bool) error {
	if err := h.store.Forget(h.session.journal, keepTrust); err != nil {
		return err
	}
	if err := os.RemoveAll(h.Path(plan.ProgramsDir)); err != nil {
		return fmt.Errorf("remove programs: %w", err)
	}
	if err := h.session.journal.Remove(); err != nil {
		return err
	}
	h.session.forgotten = true
	if err := h.session.lock.Remove(h.store.Folder()); err != nil {
		return err
	}
	os.Remove(h.store.Folder()) // only when nothing is kept
	return nil
}
