package relay

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/relayctl/relayctl/internal/protocol"
)

// link is one connection of a worker.
type link struct {
	name   string // the worker's
	hash   string // of the secret it came with
	hello  protocol.WorkerHello
	from   string // the address it comes from
	direct bool   // nothing stands between, so that nothing but its two ends closes it
	since  time.Time
	conn   *protocol.Conn

	// Guarded by scheduler.mu.
	slots   []*slot // what it serves
	running int     // requests
	held    bool    // it gets no new work
	leaving bool    // nor ever again
	left    bool    // its connection is lost, or its secret no longer good
	returns bool    // its worker was told to come back when it is closed
}

// returnTime is for how long a worker that was told to come back is waited
// for before its model counts as served by nobody.
const returnTime = 10 * time.Second

// arrive makes l its worker's newest connection, and returns the one before.
func (s *scheduler) arrive(l *link) (older *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	older = s.newest[l.name]
	s.newest[l.name] = l
	s.links[l] = true
	return older
}

// join lets l take requests for offers, or changes what it takes.
func (s *scheduler) join(l *link, offers []protocol.Offer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unlist(l)
	if l.left {
		return
	}
	for _, offer := range offers {
		m := s.model(offer.Name)
		sl := &slot{link: l, model: m, capacity: offer.Concurrency}
		m.slots = append(m.slots, sl)
		l.slots = append(l.slots, sl)
	}
	s.dispatchFor(l)
}

// leave lets l take nothing any more.
func (s *scheduler) leave(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.left, l.held = true, true
	s.unlist(l)
	s.changed()
}

// depart forgets l, which has ended. Requests for its models wait for its
// worker, if that was told to come back.
func (s *scheduler) depart(l *link) {
	s.mu.Lock()
	for _, offer := range l.hello.Models {
		if m := s.models[offer.Name]; m != nil && l.returns {
			m.expected = time.Now().Add(returnTime)
		}
	}
	delete(s.links, l)
	if s.newest[l.name] == l {
		delete(s.newest, l.name)
	}
	s.mu.Unlock()
	s.leave(l)
}

// unlist takes the slots of l out of their models, with mu held.
func (s *scheduler) unlist(l *link) {
	for _, sl := range l.slots {
		sl.model.slots = slices.DeleteFunc(sl.model.slots, func(other *slot) bool { return other == sl })
		s.forget(sl.model)
	}
	l.slots = nil
}

func (s *scheduler) dispatchFor(l *link) {
	for _, sl := range l.slots {
		s.dispatch(sl.model)
	}
}

// retire gives l no new work ever again; false where that was done before.
func (s *scheduler) retire(l *link) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	again := l.leaving
	l.leaving, l.held = true, true
	return !again
}

// pause gives links, whose workers are told to come back, no new work.
func (s *scheduler) pause(links []*link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range links {
		l.returns, l.held = true, true
	}
}

// resume gives links work again, less those that were replaced or want none,
// and returns to how many.
func (s *scheduler) resume(links []*link) (resumed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range links {
		l.returns = false
		if s.newest[l.name] == l && !l.leaving && !l.left {
			l.held = false
			s.dispatchFor(l)
			resumed++
		}
	}
	return resumed
}

// connected lists the links there are.
func (s *scheduler) connected() []*link {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.links))
}

// changed tells those who wait for links to become idle, with mu held.
func (s *scheduler) changed() {
	if s.change != nil {
		close(s.change)
		s.change = nil
	}
}

// busy counts what runs at links, and tells when that may be less.
func (s *scheduler) busy(links []*link) (running int, change <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.change == nil {
		s.change = make(chan struct{})
	}
	for _, l := range links {
		if !l.left {
			running += l.running
		}
	}
	return running, s.change
}

// waitIdle waits until none of links has a running request, or ctx ends, and
// returns how many still run.
func (s *scheduler) waitIdle(ctx context.Context, links []*link) int {
	for {
		running, change := s.busy(links)
		if running == 0 {
			return 0
		}
		select {
		case <-change:
		case <-ctx.Done():
			return running
		}
	}
}
