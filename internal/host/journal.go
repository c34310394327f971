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
	lines, err := h.readJournal(ctx, params.Lines, "-u", params.Unit)
	return hostapi.JournalLines{Lines: lines}, err
}

// ownLog is the end of what a unit said itself since a time; where it said
// nothing, of what systemd says about it.
func (h *Host) ownLog(ctx context.Context, unit string, since time.Time) ([]string, error) {
	begin := fmt.Sprintf("--since=@%d", since.Unix())
	lines, err := h.readJournal(ctx, maxJournalLines, begin, "_SYSTEMD_UNIT="+unit)
	if err == nil && len(lines) == 0 {
		lines, err = h.readJournal(ctx, maxJournalLines, begin, "-u", unit)
	}
	lines = counted(lines)
	return lines[max(0, len(lines)-journalInFail):], err
}

// counted tells a line that follows on itself once, and how often it came: a
// unit that stops at once is started again, and says the same.
func counted(lines []string) []string {
	var told []string
	for i := 0; i < len(lines); {
		times := 1
		for i+times < len(lines) && lines[i+times] == lines[i] {
			times++
		}
		if times > 1 {
			told = append(told, fmt.Sprintf("%s (%d times)", lines[i], times))
		} else {
			told = append(told, lines[i])
		}
		i += times
	}
	return told
}

func (h *Host) readJournal(ctx context.Context, count int, selection ...string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, journalTimeout)
	defer cancel()
	args := append([]string{"--no-pager", "-q", "-o", "cat", "-n", strconv.Itoa(count)}, selection...)
	output, err := h.runner.Run(ctx, Command{Name: "journalctl", Args: args})
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	lines := []string{}
	for line := range strings.Lines(strings.ToValidUTF8(string(output), "?")) {
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			lines = append(lines, line)
		}
	}
	return lines, nil
}
