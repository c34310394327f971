package host

import (
	"slices"
	"time"

	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// History tells of former applies. It changes nothing on the machine.
func (h *Host) History(params hostapi.History) (hostapi.HistoryTold, error) {
	if params.Last < 0 || params.Last > hostapi.MaxPast {
		return hostapi.HistoryTold{}, badRequest("the last %d applies", params.Last)
	}
	journal, held, err := h.remembered()
	if err != nil {
		return hostapi.HistoryTold{}, err
	}
	told := hostapi.HistoryTold{Applies: applies(journal, held || h.session != nil)}
	told.Applies = slices.DeleteFunc(told.Applies, func(one plan.Past) bool { return one.Stack != params.Stack })
	if n := len(told.Applies) - params.Last; n > 0 {
		told.Applies, told.More = told.Applies[n:], true
	}
	if params.Steps > 0 {
		told.Steps = journal.Steps(params.Steps)
	}
	if manifest := journal.Manifest(); manifest != nil && manifest.Stack == params.Stack {
		told.Originals = originals(manifest)
	}
	return told, nil
}

// applies lists all applies, in their order: those that have ended, and one that
// runs, or was cut off.
func applies(journal *record.Journal, runs bool) []plan.Past {
	past := journal.Past()
	if open, ok := journal.CutOff(); ok {
		if runs {
			open.State, open.Ended, open.At = plan.PastRunning, time.Time{}, nil
		}
		past = append(past, open)
	}
	slices.SortStableFunc(past, func(a, b plan.Past) int { return a.Number - b.Number })
	return past
}

// originals lists what was taken over from somebody else, in the order in
// which that was done.
func originals(manifest *plan.Manifest) []plan.Original {
	var list []plan.Original
	for _, entry := range manifest.Resources {
		if entry.Taken != nil {
			original := plan.Original{ID: entry.ID, TakenOver: *entry.Taken, Kept: entry.Kept}
			if entry.Kind == plan.KindUnit && entry.Made {
				original.HiddenBy = plan.UnitsDir + "/" + entry.Name
			}
			list = append(list, original)
		}
	}
	slices.SortStableFunc(list, func(a, b plan.Original) int { return a.Time.Compare(b.Time) })
	return list
}

// Former tells how things were after an apply that later ones changed. It
// changes nothing on the machine.
func (h *Host) Former(params hostapi.Former) (hostapi.FormerTold, error) {
	journal, _, err := h.remembered()
	if err != nil {
		return hostapi.FormerTold{}, err
	}
	formers, err := journal.Formers(params.To)
	if err != nil {
		return hostapi.FormerTold{}, badRequest("%v", err)
	}
	for i := range formers {
		if formers[i].Lost, err = h.lost(formers, i); err == nil && formers[i].Lost == "" {
			err = h.formerGrants(journal, &formers[i])
		}
		if err != nil {
			return hostapi.FormerTold{}, err
		}
	}
	return hostapi.FormerTold{Formers: formers, Oldest: journal.Oldest(), Last: journal.Last()}, nil
}
