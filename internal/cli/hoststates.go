package cli

import (
	"slices"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

// hostStates is what every host is at just now, put together from the engine's
// events. It prints nothing.
type hostStates struct {
	list []*hostState // in the order of the stack; the stack as a whole is the last
	over bool         // the apply has ended: what stands here now is its record
}

// hostState is what one host is at.
type hostState struct {
	host  string // empty: the stack as a whole
	state state
	last  engine.Event // the last one that says what goes on
	since time.Time    // when that began
	step  int          // of steps that are done
	steps int          // 0: nothing is to be done there, or that is not known yet
}

// state sorts hosts by how much they are worth seeing.
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

// begin makes the states those of an apply: of the hosts with something to do.
func (s *hostStates) begin(p plan.Plan, now time.Time) {
	s.list = nil
	for _, h := range p.Hosts {
		if steps := h.Counts().Total(); steps > 0 {
			s.list = append(s.list, &hostState{host: h.Name, state: waiting, last: engine.Event{Phase: queued}, since: now, steps: steps})
		}
	}
}

// end takes what only the outcome tells.
func (s *hostStates) end(outcome *engine.Outcome) {
	s.over = true
	for _, h := range outcome.Hosts {
		if h.Skipped != "" {
			host := s.of(h.Name)
			host.state, host.last = waiting, engine.Event{Phase: skipped, Text: h.Skipped}
		}
	}
}

// of is a host's state, a new one where it has none.
func (s *hostStates) of(host string) *hostState {
	at := slices.IndexFunc(s.list, func(h *hostState) bool { return h.host == host })
	if at < 0 {
		at = beforeStack(s.list)
		s.list = slices.Insert(s.list, at, &hostState{host: host, state: idle})
	}
	return s.list[at]
}

// beforeStack is where a list ends, or the stack as a whole stands in it.
func beforeStack(list []*hostState) int {
	if at := len(list) - 1; at >= 0 && list[at].host == "" {
		return at
	}
	return len(list)
}

// take takes an event in.
func (s *hostStates) take(event engine.Event, now time.Time) {
	if event.Phase == stopping || event.Phase == stopped {
		s.over = s.over || event.Phase == stopped
		return
	}
	h := s.of(event.Host)
	if event.Steps > 0 {
		h.step, h.steps = event.Step, event.Steps
	}
	switch event.Phase {
	case engine.Looked, engine.Merged, engine.Reached:
		h.state = idle
	case engine.Finished:
		h.now(done, event, now)
	case engine.Failed:
		h.now(failed, event, now)
	case engine.Connecting, engine.Started:
		h.now(working, event, now)
	case engine.Connected, engine.Locking:
		h.now(waiting, event, now)
	case engine.Waiting: // of a step, or of the host as a whole
		if event.ID.Name == "" {
			h.now(waiting, event, now)
			break
		}
		h.now(working, event, now)
		if began := now.Add(-event.Took); began.Before(h.since) { // the host knows better
			h.since = began
		}
	case engine.Uploading:
		switch {
		case event.Amount.Done < event.Amount.Total:
		case event.Steps == 0:
			event = engine.Event{Host: event.Host, Phase: engine.Connecting}
		default:
			event.Phase = atWork
		}
		h.now(working, event, now)
	case engine.Done:
		event.Phase = atWork
		h.now(working, event, now)
	case engine.Proving:
		for _, other := range s.list { // they have got as far as they will
			if other.isBusy() && other != h {
				other.state = idle
			}
		}
		if h.state == idle {
			h.since = now
		}
		h.state, h.last = working, event
	}
	s.lookWhenAllConnected(now)
}

// now notes what a host is at; what goes on still does so since it began.
func (h *hostState) now(s state, event engine.Event, now time.Time) {
	if h.state == idle || goesOn(h.last) != goesOn(event) {
		h.since = now
	}
	h.state, h.last = s, event
}

// lookWhenAllConnected notes that the hosts are looked at: that begins for all
// at once, when the last has answered or failed.
func (s *hostStates) lookWhenAllConnected(now time.Time) {
	if slices.ContainsFunc(s.list, func(h *hostState) bool { return h.isBusy() && h.last.Phase == engine.Connecting }) {
		return
	}
	for _, h := range s.list {
		if h.state == waiting && h.last.Phase == engine.Connected {
			h.now(working, engine.Event{Phase: looking}, now)
		}
	}
}

func (h *hostState) isBusy() bool { return h.state == working || h.state == waiting }

// busy lists the hosts that something goes on at, by name.
func (s *hostStates) busy() []*hostState {
	if s.over {
		return nil
	}
	list := filter(s.list, (*hostState).isBusy)
	slices.SortFunc(list, func(x, y *hostState) int { return strings.Compare(x.host, y.host) })
	return list
}
