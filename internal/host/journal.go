package host

import (
	"context"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// Journal returns the last lines of a unit's log.
func (h *Host) Journal(ctx context.Context, params hostapi.Journal) (hostapi.JournalLines, error) {
	if err := checkName(plan.ID{Kind: plan.KindUnit, Name: params.Unit}); err != nil {
		return hostapi.JournalLines{}, err
	}
	if params.Lines < 1 || params.Lines > machine.MaxJournalLines {
		return hostapi.JournalLines{}, badRequest("%d lines of a log", params.Lines)
	}
	lines, err := h.ReadJournal(ctx, params.Lines, "-u", params.Unit)
	return hostapi.JournalLines{Lines: lines}, err
}
