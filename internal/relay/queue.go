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
	l, w, err := s.enqueue(c)
	if w == nil {
		return l, err
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

// enqueue takes a slot for c, or queues it; an error where it can have neither.
func (s *scheduler) enqueue(c claim) (*lease, *waiter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.models[c.model]
	switch {
	case m == nil:
		return nil, nil, errUnknownModel
	case len(c.avoid) > 0 && !m.servedBeyond(c.avoid):
		return nil, nil, errNoOther
	case !c.again && len(m.slots) == 0 && !time.Now().Before(m.expected):
		return nil, nil, errNoWorker
	}
	if len(m.queue) == 0 {
		if free := s.best(m, c.avoid); free != nil {
			return s.lend(free), nil, nil
		}
	}
	w := &waiter{claim: c, model: m, granted: make(chan *lease, 1)}
	m.insert(w)
	s.dispatch(m)
	if !w.again && len(w.granted) == 0 && len(m.queue) > s.maxQueue() {
		m.remove(w)
		return nil, nil, errQueueFull
	}
	return nil, w, nil
}

// insert queues w: at the end, or after the others that are tried again.
func (m *modelState) insert(w *waiter) {
	at := len(m.queue)
	if w.again {
		if at = slices.IndexFunc(m.queue, func(other *waiter) bool { return !other.again }); at < 0 {
			at = len(m.queue)
		}
	}
	m.queue = slices.Insert(m.queue, at, w)
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
