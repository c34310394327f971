package host

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// Bounds of a question to the journal.
const (
	maxJournalLines = 200
	journalTimeout  = 20 * time.Second
)

// Journal returns the last lines of a unit's log.
func (h *Host) Journal(ctx context.Context, params hostapi.Journal) (hostapi.JournalLines, error) {
	if err := checkName(plan.ID{Kind: plan.KindUnit, Name: params.Unit}); err != nil {
		return hostapi.JournalLines{}, err
	}
	if params.Lines < 1 || params.Lines > maxJournalLines {
		return hostapi.JournalLines{}, badRequest("%d lines of a log", params.Lines)
	}
	ctx, cancel := context.WithTimeout(ctx, journalTimeout)
	defer cancel()
	output, err := h.runner.Run(ctx, Command{Name: "journalctl", Args: []string{
		"--no-pager", "-q", "-o", "cat", "-n", strconv.Itoa(params.Lines), "-u", params.Unit,
	}})
	if err != nil {
		return hostapi.JournalLines{}, fmt.Errorf("read log of %s: %w", params.Unit, err)
	}
	lines := []string{}
	for line := range strings.Lines(strings.ToValidUTF8(string(output), "?")) {
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			lines = append(lines, line)
		}
	}
	return hostapi.JournalLines{Lines: lines}, nil
}
