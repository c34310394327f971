package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
)

// liveView shows a board on a terminal: a line per host, drawn again in place.
// It draws with little more than what every terminal since the VT100 does, and
// never hides the cursor: killed at any moment, it leaves the terminal in order,
// with the cursor below the lines.
type liveView struct {
	view  *view
	board *board
	size  func() (columns, rows int) // of the terminal; asked at each drawing, since it may change

	awake bool      // something goes on that may be drawn
	began time.Time // when it began
	drawn []int     // columns of each line that stands on the terminal
	frame string    // these lines, and for which size
	stood bool      // the record of the apply stands: nothing is drawn any more
}

// unseen is how long something goes on before it is drawn at all: what is over
// at once would only flicker.
const unseen = 300 * time.Millisecond

// beat draws the lines where they are not as they were.
func (l *liveView) beat(now time.Time) {
	if l.awake && (len(l.drawn) > 0 || now.Sub(l.began) >= unseen) {
		l.draw(now)
	}
}

// hear prints what stays, above the lines.
func (l *liveView) hear(e engine.Event, now time.Time) {
	if !l.awake {
		l.awake, l.began = !l.stood, now
	}
	switch e.Phase {
	case engine.Left, engine.NewHostKey, engine.Reached:
		l.say(l.labelled(e), now)
	case engine.Failed:
		if e.Steps > 0 && e.ID.Name != "" { // else the line says it, and the whole error comes soon
			l.say(l.labelled(e), now)
		}
	case stopping:
		l.say(l.view.paragraphs(0, e.Text), now)
	case stopped:
		l.aside()
		l.print(l.view.paragraphs(0, e.Text), true)
	}
}

// labelled tells what is over, behind the name of its host.
func (l *liveView) labelled(e engine.Event) string {
	name := 0
	for _, entry := range l.board.entries {
		name = max(name, columns(l.view.clean(entry.host)))
	}
	return pad(l.view.clean(e.Host), name+2) + strings.TrimLeft(l.view.wrapped(name+2, happened(e)), " ")
}

// say prints a text above the lines.
func (l *liveView) say(text string, now time.Time) {
	shown := len(l.drawn) > 0
	l.erase()
	l.print(text, true)
	if shown {
		l.draw(now)
	}
}

// aside makes room for what somebody else prints: the record of an apply is
// left standing, anything else goes.
func (l *liveView) aside() {
	if l.awake && l.board.over {
		l.erase()
		lines := l.view.liveLines(l.board, time.Now(), l.width(), len(l.board.entries)+1)
		l.print(joined(lines), true)
		l.stood = true
	} else {
		l.erase()
	}
	l.awake, l.drawn, l.frame = false, nil, ""
}

func (l *liveView) width() int {
	columns, _ := l.size()
	return columns
}

// draw brings the lines on the terminal to where the board is.
func (l *liveView) draw(now time.Time) {
	columns, rows := l.size()
	lines := l.view.liveLines(l.board, now, columns, max(1, rows-1)) // the cursor stands below them
	text := joined(lines)
	frame := fmt.Sprint(columns, rows, text)
	if frame == l.frame {
		return
	}
	l.print(l.up(columns, rows)+strings.ReplaceAll(text, "\n", clearLine+"\n")+clearBelow, false)
	l.frame, l.drawn = frame, widths(lines)
}

// erase takes the lines from the terminal.
func (l *liveView) erase() {
	if len(l.drawn) == 0 {
		return
	}
	l.print(l.up(l.size())+clearBelow, false)
	l.drawn, l.frame = nil, ""
}

// Control sequences of ECMA-48.
const (
	clearLine  = "\x1b[K" // from the cursor to the end of the line
	clearBelow = "\x1b[J" // from the cursor to the end of the screen
)

// up moves the cursor to where the first line begins. On a terminal that became
// narrower since, a line may have been broken into several.
func (l *liveView) up(columns, rows int) string {
	n := 0
	for _, width := range l.drawn {
		n += 1 + max(0, width-1)/max(1, columns)
	}
	n = min(n, max(0, rows-1)) // the rest has left the screen
	if n == 0 {
		return "\r"
	}
	return fmt.Sprintf("\r\x1b[%dA", n)
}

func (l *liveView) print(text string, stays bool) {
	l.view.errs.print(text, stays) // the page keeps its failure
}

// line is one line on the terminal.
type line struct {
	text    string // with its colours
	columns int
}

func joined(lines []line) string {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(line.text + "\n")
	}
	return b.String()
}

func widths(lines []line) []int {
	var list []int
	for _, line := range lines {
		list = append(list, line.columns)
	}
	return list
}

// liveLines tells in at most rows lines what all are at. Where there are more,
// those that are worth more are shown, and the others are counted.
func (v *view) liveLines(b *board, now time.Time, width, rows int) []line {
	var shown []*entry
	for _, e := range b.entries {
		if e.state != idle && (e.host != "" || !b.over) {
			shown = append(shown, e)
		}
	}
	var rest []*entry
	if len(shown) > rows {
		shown, rest = mostWorth(shown, rows-1)
	}
	table := v.newLiveTable(b, shown, width, now)
	var lines []line
	for _, e := range shown {
		lines = append(lines, table.row(e))
	}
	if len(rest) > 0 {
		at := len(lines)
		if at > 0 && shown[at-1].host == "" {
			at--
		}
		lines = slices.Insert(lines, at, table.plain(counts(rest)))
	}
	return lines
}

// mostWorth parts entries into n that are worth most and the others, each in
// their order.
func mostWorth(entries []*entry, n int) (shown, rest []*entry) {
	byWorth := slices.Clone(entries)
	slices.SortStableFunc(byWorth, func(x, y *entry) int { return int(x.worth() - y.worth()) })
	chosen := byWorth[:n]
	for _, e := range entries {
		if slices.Contains(chosen, e) {
			shown = append(shown, e)
		} else {
			rest = append(rest, e)
		}
	}
	return shown, rest
}

// worth puts what concerns the stack as a whole first.
func (e *entry) worth() state {
	if e.host == "" {
		return failed
	}
	return e.state
}

// counts says how those are that are not shown.
func counts(entries []*entry) string {
	number := map[state]int{}
	for _, e := range entries {
		number[e.state]++
	}
	var parts []string
	for _, part := range []struct {
		state state
		name  string
	}{{failed, "failed"}, {working, "at work"}, {waiting, "waiting"}, {done, "done"}} {
		if n := number[part.state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, part.name))
		}
	}
	return fmt.Sprintf("%s: %s", plural(len(entries), "more host", "more hosts"), strings.Join(parts, ", "))
}
