package host

import (
	"context"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// Log returns the last lines of a unit's log.
func (h *Host) Log(ctx context.Context, params hostapi.UnitLog) (hostapi.LogLines, error) {
	if err := h.kinds.CheckName(plan.ID{Kind: plan.KindUnit, Name: params.Unit}); err != nil {
		return hostapi.LogLines{}, err
	}
	if params.Lines < 1 || params.Lines > machine.MaxLogLines {
		return hostapi.LogLines{}, hostapi.BadRequest("%d lines of a log", params.Lines)
	}
	lines, err := h.ReadLog(ctx, params.Lines, "-u", params.Unit)
	return hostapi.LogLines{Lines: lines}, err
}
