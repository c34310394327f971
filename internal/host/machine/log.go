package machine

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Bounds of a question for a log.
const (
	MaxLogLines = 200
	logTimeout  = 20 * time.Second
	lastWords   = 10 // lines of its log that an error on a unit carries
)

// OwnLog is the end of what a unit said itself since a time; where it said
// nothing, of what systemd says about it.
func (m *Machine) OwnLog(ctx context.Context, unit string, since time.Time) ([]string, error) {
	begin := fmt.Sprintf("--since=@%d", since.Unix())
	lines, err := m.ReadLog(ctx, MaxLogLines, begin, "_SYSTEMD_UNIT="+unit)
	if err == nil && len(lines) == 0 {
		lines, err = m.ReadLog(ctx, MaxLogLines, begin, "-u", unit)
	}
	lines = counted(lines)
	return lines[max(0, len(lines)-lastWords):], err
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

// ReadLog returns the last lines of a selection of what systemd keeps, at most count.
func (m *Machine) ReadLog(ctx context.Context, count int, selection ...string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	args := append([]string{"--no-pager", "-q", "-o", "cat", "-n", strconv.Itoa(count)}, selection...)
	output, err := m.Runner.Run(ctx, Command{Name: "journalctl", Args: args})
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
