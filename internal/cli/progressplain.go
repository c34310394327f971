package cli

import (
	"fmt"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
)

// plainPrinter shows hosts where lines can't be drawn again: an event a line.
// When nothing has happened for a while it says what everybody is at, so that a
// wait is never silent.
type plainPrinter struct {
	view   *view
	states *hostStates
	width  int // of the column of host names

	last    time.Time         // of the last line
	said    map[string]string // what a host waited for when that was said last
	proving map[string]int    // how often each wait of the proof was told
}

// silence is the longest time without a line; nobody should wait for 10 s
// without knowing what for.
const silence = 9 * time.Second

func newPlainPrinter(v *view, states *hostStates, hosts []string) *plainPrinter {
	p := &plainPrinter{view: v, states: states, last: time.Now(), said: map[string]string{}, proving: map[string]int{}}
	for _, name := range hosts {
		p.width = max(p.width, len(name))
	}
	return p
}

// beat says what everybody is at, if nothing was said for long.
func (p *plainPrinter) beat(now time.Time) {
	if now.Sub(p.last) < silence {
		return
	}
	for _, e := range p.states.busy() {
		elapsed := e.last.Took
		if elapsed == 0 { // the host does not say
			elapsed = now.Sub(e.since).Round(time.Second)
		}
		p.line(e.host, still(e.last)+figures(e.last, elapsed))
	}
}

// hear gives an event a line, where it is worth one.
func (p *plainPrinter) hear(e engine.Event, _ time.Time) {
	switch e.Phase {
	case engine.Connecting, engine.Connected, engine.Merged, engine.Looked:
	case engine.Left, engine.NewHostKey, engine.Reached, engine.Done, engine.Finished:
		p.line(e.Host, happened(e))
	case engine.NotFollowed:
		p.line("", "! "+happened(e))
	case engine.Failed:
		if e.Steps > 0 { // else the whole error comes at once
			p.line(e.Host, happened(e))
		}
	case engine.Proving: // most models answer at once: only what is told a second time gets a line
		text := doing(e)
		if p.proving[text]++; p.proving[text] == 2 {
			p.line("", text)
		}
	case stopping:
		p.view.errs.printf("\n") // behind the ^C of the terminal
		p.line("", e.Text)
		for _, busy := range p.states.busy() {
			p.line(busy.host, doing(busy.last))
		}
	case stopped:
		p.line("", e.Text)
	default:
		p.waits(e)
	}
}

// waits gives something that goes on a line, when it is something new; what
// takes long is said again by beat. For how long it takes is no difference.
func (p *plainPrinter) waits(e engine.Event) {
	text := doing(e)
	if e.Phase == engine.Uploading { // before much of it is sent
		text = fmt.Sprintf("%s: uploading %.1f MiB", e.ID.Title(), mebibytes(e.Amount.Total))
	}
	// A quick step is over before anybody has read that it began.
	isQuick := e.Phase == engine.Started && !e.ID.Kind.Describe().Slow || e.Phase == engine.Uploading && e.Steps == 0
	if what := goesOn(e); !isQuick && p.said[e.Host] != what {
		p.said[e.Host] = what
		p.line(e.Host, text)
	}
}

func (p *plainPrinter) line(host, text string) {
	p.last = time.Now()
	if host != "" {
		text = fmt.Sprintf("%-*s  %s", p.width, host, text)
	}
	p.view.errs.printf("%s\n", p.view.clean(text))
}
