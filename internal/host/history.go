package host

import (
	"fmt"
	"slices"
	"time"

	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// History tells of former applies. It changes nothing on the machine.
func (h *Host) History(params hostapi.History) (hostapi.HistoryTold, error) {
	if params.Last < 0 || params.Last > hostapi.MaxPast {
		return hostapi.HistoryTold{}, hostapi.BadRequest("the last %d applies", params.Last)
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
			if entry.Kind.Describe().Runs && entry.Made {
				original.HiddenBy = plan.UnitsDir + "/" + entry.Name
			}
			list = append(list, original)
		}
	}
	slices.SortStableFunc(list, func(a, b plan.Original) int { return a.Time.Compare(b.Time) })
	return list
}

// formerTeller has things that do not go back to just what they were, or can't.
type formerTeller interface {
	// Former tells what going back comes to, and why it can't be.
	Former(journal *record.Journal, former *plan.Former) error
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
		return hostapi.FormerTold{}, hostapi.BadRequest("%v", err)
	}
	for i := range formers {
		if teller, ok := h.kinds[formers[i].Kind].(formerTeller); ok {
			err = teller.Former(journal, &formers[i])
		}
		if err == nil && formers[i].Lost == "" {
			formers[i].Lost, err = h.withoutOwner(formers, i)
		}
		if err != nil {
			return hostapi.FormerTold{}, err
		}
	}
	return hostapi.FormerTold{Formers: formers, Oldest: journal.Oldest(), Last: journal.Last()}, nil
}

// withoutOwner says why one of formers can't come back as it was: whose it was is
// gone, and does not come back with it; empty: it can.
func (h *Host) withoutOwner(formers []plan.Former, i int) (string, error) {
	former := formers[i]
	owner, group := former.Before.Have[plan.AttrOwner], former.Before.Have[plan.AttrGroup]
	if owner == "" || former.Entry == nil {
		return "", nil
	}
	accounts, err := h.Accounts()
	if err != nil {
		return "", err
	}
	_, _, gone := accounts.Owner(owner, group)
	comes := slices.ContainsFunc(formers, func(f plan.Former) bool {
		return f.Kind == plan.KindUser && f.Before.Exists && (f.Name == owner || f.Name == group)
	})
	if gone == nil || comes {
		return "", nil
	}
	return fmt.Sprintf("it was %s's: %v; make them on the host, or change the stack file and apply", owner, gone), nil
}
