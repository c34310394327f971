package cli

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

// livePrinter shows hosts on a terminal: a line each, drawn again in place. It
// draws with little more than what every terminal since the VT100 does, and
// never hides the cursor: killed at any moment, it leaves the terminal in order,
// with the cursor below the lines.
type livePrinter struct {
	view   *view
	states *hostStates
	size   func() (columns, rows int) // of the terminal; asked at each drawing, since it may change

	awake bool      // something goes on that may be drawn
	began time.Time // when it began
	drawn []string  // the lines that stand on the terminal
	on    [2]int    // columns and rows of the terminal that they were drawn on
	stood bool      // the record of the apply stands: nothing is drawn any more
}

// unseen is how long something goes on before it is drawn at all: what is over
// at once would only flicker.
const unseen = 300 * time.Millisecond

// beat draws the lines where they are not as they were.
func (l *livePrinter) beat(now time.Time) {
	if l.awake && (len(l.drawn) > 0 || now.Sub(l.began) >= unseen) {
		l.draw(now)
	}
}

// wake has the lines drawn soon.
func (l *livePrinter) wake(now time.Time) {
	if !l.awake {
		l.awake, l.began = !l.stood, now
	}
}

// hear prints what stays, above the lines.
func (l *livePrinter) hear(e engine.Event, now time.Time) {
	l.wake(now)
	text := ""
	switch e.Phase {
	case engine.Failed:
		if e.Steps == 0 || e.ID.Name == "" { // the line says it, and the whole error comes soon
			return
		}
		fallthrough
	case engine.Left, engine.NewHostKey, engine.Reached:
		text = l.view.hanging(l.view.nameColumns(l.states)+2, l.view.clean(e.Host), happened(e))
	case engine.NotFollowed:
		text = l.view.hanging(2, "!", happened(e))
	case stopped:
		l.aside()
		fallthrough
	case stopping:
		text = l.view.paragraphs(0, e.Text)
	default:
		return
	}
	shown := len(l.drawn) > 0
	l.erase()
	l.print(text, true)
	if shown {
		l.draw(now)
	}
}

// aside makes room for what somebody else prints: the record of an apply is
// left standing, anything else goes.
func (l *livePrinter) aside() {
	l.erase()
	if l.awake && l.states.over {
		width, _ := l.size()
		l.print(joined(l.view.liveLines(l.states, time.Now(), width, len(l.states.list)+1)), true)
		l.stood = true
	}
	l.awake = false
}

// draw brings the lines on the terminal to where the hosts are.
func (l *livePrinter) draw(now time.Time) {
	columns, rows := l.size()
	lines := l.view.liveLines(l.states, now, columns, max(1, rows-1)) // the cursor stands below them
	if on := [2]int{columns, rows}; l.on != on || !slices.Equal(l.drawn, lines) {
		l.print(l.up(columns, rows)+wrapOff+strings.ReplaceAll(joined(lines), "\n", clearLine+"\n")+wrapOn+clearBelow, false)
		l.drawn, l.on = lines, on
	}
}

// erase takes the lines from the terminal.
func (l *livePrinter) erase() {
	if len(l.drawn) > 0 {
		l.print(l.up(l.size())+clearBelow, false)
		l.drawn = nil
	}
}

// Control sequences, of ECMA-48 and the VT100.
const (
	clearLine  = "\x1b[K"   // from the cursor to the end of the line
	clearBelow = "\x1b[J"   // from the cursor to the end of the screen
	wrapOff    = "\x1b[?7l" // what is wider than the terminal, as Chinese may be, is cut
	wrapOn     = "\x1b[?7h"
)

// up moves the cursor to where the first line begins. On a terminal that became
// narrower since, a line may have been broken into several.
func (l *livePrinter) up(width, rows int) string {
	n := 0
	for _, line := range l.drawn {
		n += 1 + max(0, columns(color.ReplaceAllString(line, ""))-1)/max(1, width)
	}
	n = min(n, max(0, rows-1)) // the rest has left the screen
	if n == 0 {
		return "\r"
	}
	return fmt.Sprintf("\r\x1b[%dA", n)
}

var color = regexp.MustCompile("\x1b\\[[0-9;]*m")

func (l *livePrinter) print(text string, stays bool) {
	l.view.errs.print(text, stays) // the page keeps its failure
}

func joined(lines []string) string { return strings.Join(append(lines, ""), "\n") }

// barColumns is how wide a bar is: enough to see it move, and it leaves most of
// 80 columns to words. On a terminal of less than barWidth there is none.
const (
	barColumns = 14
	barWidth   = 50
)

// liveLines tells in at most rows lines what all hosts are at. Where there are
// more, those that are worth more are shown, and the others are counted.
func (v *view) liveLines(states *hostStates, now time.Time, width, rows int) []string {
	var rest []*hostState
	shown := filter(states.list, func(h *hostState) bool { return h.state != idle && (h.host != "" || !states.over) })
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
		lines = slices.Insert(lines, beforeStack(shown), t.plain(counts(rest)))
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
	return filter(list, func(h *hostState) bool { return slices.Contains(byWorth[:n], h) }), filter(list, func(h *hostState) bool { return slices.Contains(byWorth[n:], h) })
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
	name := fmt.Sprintf("%-*s  ", t.name, t.view.fit(t.view.clean(h.host), t.name))
	bar, count, color := strings.Repeat(" ", barColumns), strings.Repeat(" ", t.count+2), ""
	if h.steps > 0 {
		full, empty := "█", "░"
		if t.view.ascii {
			full, empty = "#", "."
		}
		n := min(barColumns, h.step*barColumns/h.steps)
		bar, color = strings.Repeat(full, n)+strings.Repeat(empty, barColumns-n), map[state]string{failed: red, done: green}[h.state]
		count = fmt.Sprintf("%-*s  ", t.count, h.count())
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

// words say what a host is at, and for how long.
func (t *liveTable) words(h *hostState) string {
	switch h.last.Phase {
	case engine.Finished:
		return "done in " + plan.Seconds(h.last.Took)
	case engine.Failed:
		if h.last.ID.Name != "" && h.last.Steps > 0 {
			return "failed at " + h.last.ID.Title()
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
	bare := strings.TrimPrefix(e.ID.Title(), string(e.ID.Kind)+" ")
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
