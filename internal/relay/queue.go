package relay

import (
	"context"
	"errors"
	"slices"
	"time"
)

// errNoOther is a claim that nobody is left for.
var errNoOther = errors.New("no other worker serves the model")

// claim is what a request asks of the scheduler.
type claim struct {
	model string
	wait  time.Duration // at most, for a free slot
	again bool          // it was served before and nothing of the answer delivered: it goes before the others
	avoid []*link       // not to these
}

// waiter is a request in a queue.
type waiter struct {
	claim
	model   *modelState
	granted chan *lease // capacity 1
}

// acquire waits for a slot until ctx ends or the claim's wait has passed.
func (s *scheduler) acquire(ctx context.Context, c claim) (*lease, error) {
	w, err := s.enqueue(c)
	if err != nil {
		return nil, err
	}
	select {
	case l := <-w.granted:
		return l, nil
	default:
	}
	timeout := time.NewTimer(c.wait)
	defer timeout.Stop()
	select {
	case l := <-w.granted:
		return l, nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-timeout.C:
		err = errQueueTimeout
	}
	s.withdraw(w)
	return nil, err
}

// enqueue queues c, and gives it a slot at once where there is one.
func (s *scheduler) enqueue(c claim) (*waiter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.models[c.model]
	switch {
	case m == nil:
		return nil, errUnknownModel
	case len(c.avoid) > 0 && !m.servedBeyond(c.avoid):
		return nil, errNoOther
	case !c.again && len(m.slots) == 0 && !time.Now().Before(m.expected):
		return nil, errNoWorker
	}
	w := &waiter{claim: c, model: m, granted: make(chan *lease, 1)}
	at := len(m.queue)
	if first := slices.IndexFunc(m.queue, func(other *waiter) bool { return !other.again }); c.again && first >= 0 {
		at = first // after the others that are tried again
	}
	m.queue = slices.Insert(m.queue, at, w)
	s.dispatch(m)
	if !w.again && len(w.granted) == 0 && len(m.queue) > s.maxQueue() {
		m.remove(w)
		return nil, errQueueFull
	}
	return w, nil
}

// withdraw takes w out of the queue, and gives back a slot that came for it at
// the last moment.
func (s *scheduler) withdraw(w *waiter) {
	s.mu.Lock()
	w.model.remove(w)
	s.forget(w.model)
	s.mu.Unlock()
	select {
	case l := <-w.granted:
		l.release()
	default:
	}
}

// servedBeyond reports whether a link outside avoid serves the model.
func (m *modelState) servedBeyond(avoid []*link) bool {
	return slices.ContainsFunc(m.slots, func(sl *slot) bool { return !slices.Contains(avoid, sl.link) })
}

func (m *modelState) remove(w *waiter) {
	m.queue = slices.DeleteFunc(m.queue, func(other *waiter) bool { return other == w })
}
