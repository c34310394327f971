package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
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

// hear prints what stays, above the lines.
func (l *livePrinter) hear(e engine.Event, now time.Time) {
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
func (l *livePrinter) labelled(e engine.Event) string {
	return l.view.hanging(l.view.nameColumns(l.states)+2, l.view.clean(e.Host), happened(e))
}

// say prints a text above the lines.
func (l *livePrinter) say(text string, now time.Time) {
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
		l.print(l.up(columns, rows)+strings.ReplaceAll(joined(lines), "\n", clearLine+"\n")+clearBelow, false)
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

// Control sequences of ECMA-48.
const (
	clearLine  = "\x1b[K" // from the cursor to the end of the line
	clearBelow = "\x1b[J" // from the cursor to the end of the screen
)

// up moves the cursor to where the first line begins. On a terminal that became
// narrower since, a line may have been broken into several.
func (l *livePrinter) up(width, rows int) string {
	n := 0
	for _, line := range l.drawn {
		n += 1 + max(0, columns(unpainted(line))-1)/max(1, width)
	}
	n = min(n, max(0, rows-1)) // the rest has left the screen
	if n == 0 {
		return "\r"
	}
	return fmt.Sprintf("\r\x1b[%dA", n)
}

func (l *livePrinter) print(text string, stays bool) {
	l.view.errs.print(text, stays) // the page keeps its failure
}

func joined(lines []string) string {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(line + "\n")
	}
	return b.String()
}
