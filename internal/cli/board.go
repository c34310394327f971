package cli

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

// board is what every host is at just now, put together from the engine's
// events. It prints nothing.
type board struct {
	entries []*entry // in the order of the stack; the stack as a whole is the last
	over    bool     // the apply has ended: what stands here now is its record
}

// entry is what one host is at.
type entry struct {
	host  string // empty: the stack as a whole
	state state
	last  engine.Event // the last one that says what goes on
	since time.Time    // when that began
	step  int          // of steps that are done
	steps int          // 0: nothing is to be done there, or that is not known yet
}

// state sorts entries by how much they are worth seeing.
type state int

const (
	failed state = iota
	working
	waiting
	done
	idle // nothing to tell
)

// Phases beside those of the engine.
const (
	looking engine.Phase = "looking at it"
	atWork  engine.Phase = "at work"
	queued  engine.Phase = "waiting for its turn"
	skipped engine.Phase = "skipped" // Text says why

	stopping engine.Phase = "stopping" // the user asked for it; Text tells what that means
	stopped  engine.Phase = "stopped"  // relayctl ends at once
)

func newBoard(hosts []string) *board {
	b := &board{}
	for _, name := range hosts {
		b.entries = append(b.entries, &entry{host: name, state: idle})
	}
	return b
}

// begin makes the board that of an apply: the hosts with something to do.
func (b *board) begin(p plan.Plan, now time.Time) {
	b.entries = nil
	for _, h := range p.Hosts {
		if steps := h.Counts().Total(); steps > 0 {
			b.entries = append(b.entries, &entry{host: h.Name, state: waiting, last: engine.Event{Phase: queued}, since: now, steps: steps})
		}
	}
}

// end takes what only the outcome tells.
func (b *board) end(outcome *engine.Outcome) {
	b.over = true
	for _, h := range outcome.Hosts {
		if h.Skipped != "" {
			e := b.of(h.Name)
			e.state, e.last = waiting, engine.Event{Phase: skipped, Text: h.Skipped}
		}
	}
}

// of is a host's entry, a new one where it has none.
func (b *board) of(host string) *entry {
	for _, e := range b.entries {
		if e.host == host {
			return e
		}
	}
	e := &entry{host: host, state: idle}
	at := len(b.entries)
	if at > 0 && b.entries[at-1].host == "" {
		at--
	}
	b.entries = slices.Insert(b.entries, at, e)
	return e
}

// take takes an event in.
func (b *board) take(event engine.Event, now time.Time) {
	if event.Phase == stopping || event.Phase == stopped {
		b.over = b.over || event.Phase == stopped
		return
	}
	e := b.of(event.Host)
	if event.Steps > 0 {
		e.step, e.steps = event.Step, event.Steps
	}
	switch event.Phase {
	case engine.Left, engine.NewHostKey:
	case engine.Looked, engine.Merged, engine.Reached:
		e.state = idle
	case engine.Finished:
		e.now(done, event, now)
	case engine.Failed:
		e.now(failed, event, now)
	case engine.Connecting, engine.Started:
		e.now(working, event, now)
	case engine.Connected, engine.Locking:
		e.now(waiting, event, now)
	case engine.Waiting:
		e.waits(event, now)
	case engine.Uploading:
		switch {
		case event.Sent < event.Size:
		case event.Steps == 0:
			event = engine.Event{Host: event.Host, Phase: engine.Connecting}
		default:
			event.Phase = atWork
		}
		e.now(working, event, now)
	case engine.Done:
		event.Phase = atWork
		e.now(working, event, now)
	case engine.Proving:
		b.proves(e, event, now)
	}
	b.lookWhenAllConnected(now)
}

// now notes what a host is at; the same thing with other numbers goes on since
// it began.
func (e *entry) now(s state, event engine.Event, now time.Time) {
	before, after := withoutFigures(e.last), withoutFigures(event)
	if e.state == idle || before != after {
		e.since = now
	}
	e.state, e.last = s, event
}

// withoutFigures is what goes on, less how far it is and for how long.
func withoutFigures(event engine.Event) string {
	what, _, _ := byTheClock(doing(event))
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r == '.' {
			return -1
		}
		return r
	}, what)
}

// waits notes what a step, or a host as a whole, waits for. Where the host says
// for how long, it knows better when that began.
func (e *entry) waits(event engine.Event, now time.Time) {
	if event.ID.Name == "" {
		e.now(waiting, event, now)
		return
	}
	e.now(working, event, now)
	if _, _, elapsed := byTheClock(event.Text); now.Add(-elapsed).Before(e.since) {
		e.since = now.Add(-elapsed)
	}
}

// clock is how a host says for how long something goes on, and by what means.
var clock = regexp.MustCompile(`^(.*) \((?:([^()]*), )?([0-9]{1,6}) s\)$`)

// byTheClock takes "installing (apt, 12 s)" apart.
func byTheClock(text string) (what, means string, elapsed time.Duration) {
	m := clock.FindStringSubmatch(text)
	if m == nil {
		return text, "", 0
	}
	seconds, _ := strconv.Atoi(m[3]) // digits only
	return m[1], m[2], time.Duration(seconds) * time.Second
}

// lookWhenAllConnected notes that the hosts are looked at: that begins for all
// at once, when the last has answered or failed.
func (b *board) lookWhenAllConnected(now time.Time) {
	if slices.ContainsFunc(b.entries, func(e *entry) bool { return e.isBusy() && e.last.Phase == engine.Connecting }) {
		return
	}
	for _, e := range b.entries {
		if e.state == waiting && e.last.Phase == engine.Connected {
			e.now(working, engine.Event{Phase: looking}, now)
		}
	}
}

// proves notes what the proof waits for. The hosts have got as far as they
// will.
func (b *board) proves(e *entry, event engine.Event, now time.Time) {
	for _, host := range b.entries {
		if host.isBusy() && host != e {
			host.state = idle
		}
	}
	if e.state == idle {
		e.since = now
	}
	e.state, e.last = working, event
}

func (e *entry) isBusy() bool { return e.state == working || e.state == waiting }

// busy lists the entries that something goes on at, by name.
func (b *board) busy() []*entry {
	var list []*entry
	for _, e := range b.entries {
		if e.isBusy() && !b.over {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(x, y *entry) int { return strings.Compare(x.host, y.host) })
	return list
}
