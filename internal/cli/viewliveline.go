package cli

import (
	"fmt"
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

// liveTable lays the lines of a board out in columns.
type liveTable struct {
	view  *view
	board *board
	now   time.Time
	width int // of a whole line
	name  int // columns of the widest name
	count int // columns of the widest "7/10"; 0: nobody has steps
}

func (v *view) newLiveTable(b *board, shown []*entry, width int, now time.Time) *liveTable {
	t := &liveTable{view: v, board: b, now: now, width: max(1, width-1)} // writing the last column may break the line
	for _, e := range b.entries {
		t.name = max(t.name, columns(v.clean(e.host)))
		if e.steps > 0 {
			t.count = max(t.count, len(e.count()))
		}
	}
	t.name = min(t.name, max(4, width/4))
	return t
}

func (e *entry) count() string { return fmt.Sprintf("%d/%d", e.step, e.steps) }

// row is a host's line: name, bar, n/m, and what it is at.
func (t *liveTable) row(e *entry) line {
	if e.host == "" {
		return t.plain(t.words(e))
	}
	name := pad(t.fit(t.view.clean(e.host), t.name), t.name)
	bar, count := "", ""
	if e.steps > 0 {
		bar, count = t.bar(e)+"  ", pad(e.count(), t.count)+"  "
	} else if t.count > 0 {
		bar, count = strings.Repeat(" ", barColumns+2), strings.Repeat(" ", t.count+2)
	}
	if t.width < barWidth {
		bar = ""
	}
	head := t.name + 2 + columns(bar) + columns(count)
	words := t.fit(t.view.clean(t.words(e)), t.width-head)
	whole := t.fit(strings.TrimRight(name+"  "+bar+count+words, " "), t.width)
	return line{text: t.paint(e, whole, bar), columns: columns(whole)}
}

// paint colours the bar by how it goes.
func (t *liveTable) paint(e *entry, whole, bar string) string {
	bar = strings.TrimRight(bar, " ")
	code := map[state]string{failed: red, done: green}[e.state]
	before, after, found := strings.Cut(whole, bar)
	if code == "" || bar == "" || !found {
		return whole
	}
	return before + t.view.errs.paint(code, bar) + after
}

func (t *liveTable) plain(text string) line {
	text = t.fit(t.view.clean(text), t.width)
	return line{text: text, columns: columns(text)}
}

func (t *liveTable) fit(text string, columns int) string {
	return fit(text, max(0, columns), t.view.ellipsis())
}

func (v *view) ellipsis() string {
	if v.ascii {
		return "..."
	}
	return "…"
}

func (t *liveTable) bar(e *entry) string {
	full, empty := "█", "░"
	if t.view.ascii {
		full, empty = "#", "."
	}
	n := min(barColumns, e.step*barColumns/e.steps)
	return strings.Repeat(full, n) + strings.Repeat(empty, barColumns-n)
}

// words say what a host is at, and for how long.
func (t *liveTable) words(e *entry) string {
	switch e.last.Phase {
	case engine.Finished:
		return "done in " + plan.Seconds(e.last.Took)
	case engine.Failed:
		if e.last.ID.Name != "" && e.last.Steps > 0 {
			return "failed at " + thing(e.last.ID)
		}
		return "failed: " + e.last.Text
	case skipped:
		return "left as it was, since " + e.last.Text
	}
	what, means, _ := byTheClock(t.doing(e))
	if elapsed := t.now.Sub(e.since).Truncate(time.Second); elapsed > 0 {
		means = strings.TrimPrefix(means+", "+plan.Seconds(elapsed), ", ")
	}
	if means == "" {
		return what
	}
	return what + " (" + means + ")"
}

// doing says what goes on, the verb first.
func (t *liveTable) doing(e *entry) string {
	event := e.last
	switch event.Phase {
	case engine.Connecting:
		return strings.TrimSuffix("connecting to "+event.Text, " to ")
	case engine.Uploading:
		return fmt.Sprintf("uploading %s %.1f of %.1f MiB", bare(event.ID), mebibytes(event.Sent), mebibytes(event.Size))
	case engine.Started:
		return begins(event) + " " + bare(event.ID)
	case engine.Waiting:
		if rest, ok := strings.CutPrefix(event.Text, begins(event)+" ("); ok {
			return begins(event) + " " + bare(event.ID) + " (" + rest
		}
	}
	return doing(event)
}

// bare names a resource behind a verb.
func bare(id plan.ID) string { return strings.TrimPrefix(thing(id), string(id.Kind)+" ") }
