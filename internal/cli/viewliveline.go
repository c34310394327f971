package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

// barColumns is how wide a bar is: enough to see it move, and it leaves most of
// 80 columns to words. On a terminal of less than barWidth there is none.
const (
	barColumns = 14
	barWidth   = 50
)

// liveLines tells in at most rows lines what all hosts are at. Where there are
// more, those that are worth more are shown, and the others are counted.
func (v *view) liveLines(states *hostStates, now time.Time, width, rows int) []string {
	var shown, rest []*hostState
	for _, h := range states.list {
		if h.state != idle && (h.host != "" || !states.over) {
			shown = append(shown, h)
		}
	}
	if len(shown) > rows {
		shown, rest = mostWorth(shown, rows-1)
	}
	t := liveTable{view: v, now: now, width: max(1, width-1)} // writing the last column may break the line
	t.name = min(v.nameColumns(states), max(4, width/4))
	for _, h := range states.list {
		if h.steps > 0 {
			t.count = max(t.count, len(h.count()))
		}
	}
	var lines []string
	for _, h := range shown {
		lines = append(lines, t.row(h))
	}
	if len(rest) > 0 {
		at := len(lines)
		if at > 0 && shown[at-1].host == "" {
			at--
		}
		lines = slices.Insert(lines, at, t.plain(counts(rest)))
	}
	return lines
}

// nameColumns is how wide the widest name of a host is.
func (v *view) nameColumns(states *hostStates) int {
	widest := 0
	for _, h := range states.list {
		widest = max(widest, columns(v.clean(h.host)))
	}
	return widest
}

// mostWorth parts hosts into n that are worth most and the others, each in
// their order. What concerns the stack as a whole comes first.
func mostWorth(list []*hostState, n int) (shown, rest []*hostState) {
	worth := func(h *hostState) state {
		if h.host == "" {
			return failed
		}
		return h.state
	}
	byWorth := slices.Clone(list)
	slices.SortStableFunc(byWorth, func(x, y *hostState) int { return int(worth(x) - worth(y)) })
	for _, h := range list {
		if slices.Contains(byWorth[:n], h) {
			shown = append(shown, h)
		} else {
			rest = append(rest, h)
		}
	}
	return shown, rest
}

// counts says how those are that are not shown.
func counts(list []*hostState) string {
	number := map[state]int{}
	for _, h := range list {
		number[h.state]++
	}
	var parts []string
	for of, name := range []string{"failed", "at work", "waiting", "done"} {
		if n := number[state(of)]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, name))
		}
	}
	return plural(len(list), "more host", "more hosts") + ": " + strings.Join(parts, ", ")
}

// liveTable lays lines out in columns.
type liveTable struct {
	view  *view
	now   time.Time
	width int // of a whole line
	name  int // columns of the names
	count int // columns of the widest "7/10"; 0: nobody has steps
}

func (h *hostState) count() string { return fmt.Sprintf("%d/%d", h.step, h.steps) }

// row is a host's line: name, bar, n/m, and what it is at.
func (t *liveTable) row(h *hostState) string {
	if h.host == "" {
		return t.plain(t.words(h))
	}
	name := pad(t.view.fit(t.view.clean(h.host), t.name), t.name) + "  "
	bar, count, color := strings.Repeat(" ", barColumns), strings.Repeat(" ", t.count+2), ""
	if h.steps > 0 {
		bar, count, color = t.bar(h), pad(h.count(), t.count)+"  ", map[state]string{failed: red, done: green}[h.state]
	}
	switch {
	case t.count == 0:
		return t.plain(name + t.words(h))
	case t.width < barWidth:
		return t.plain(name + count + t.words(h))
	}
	words := t.view.fit(t.view.clean(t.words(h)), t.width-columns(name+bar+"  "+count))
	return strings.TrimRight(name+t.view.errs.paint(color, bar)+"  "+count+words, " ")
}

// plain is a line without colours.
func (t *liveTable) plain(text string) string {
	return t.view.fit(strings.TrimRight(t.view.clean(text), " "), t.width)
}

func (t *liveTable) bar(h *hostState) string {
	full, empty := "█", "░"
	if t.view.ascii {
		full, empty = "#", "."
	}
	n := min(barColumns, h.step*barColumns/h.steps)
	return strings.Repeat(full, n) + strings.Repeat(empty, barColumns-n)
}

// words say what a host is at, and for how long.
func (t *liveTable) words(h *hostState) string {
	switch h.last.Phase {
	case engine.Finished:
		return "done in " + plan.Seconds(h.last.Took)
	case engine.Failed:
		if h.last.ID.Name != "" && h.last.Steps > 0 {
			return "failed at " + thing(h.last.ID)
		}
		return "failed: " + h.last.Text
	case skipped:
		return "left as it was, since " + h.last.Text
	}
	words := goesOnVerbFirst(h.last) + figures(h.last, t.now.Sub(h.since))
	if h.last.Line != "" {
		words += ": " + h.last.Line
	}
	return words
}

// goesOnVerbFirst is goesOn with the verb first.
func goesOnVerbFirst(e engine.Event) string {
	bare := strings.TrimPrefix(thing(e.ID), string(e.ID.Kind)+" ")
	switch e.Phase {
	case engine.Connecting:
		return strings.TrimSuffix("connecting to "+e.Text, " to ")
	case engine.Uploading:
		return "uploading " + bare
	case engine.Started:
		return begins(e) + " " + bare
	case engine.Waiting:
		if e.Text == begins(e) {
			return e.Text + " " + bare
		}
	}
	return goesOn(e)
}
