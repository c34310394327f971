package relay

import (
	"context"
	"errors"
	"slices"
	"time"
)

// The ways a request gets no slot.
var (
	errUnknownModel = errors.New("unknown model")
	errNoWorker     = errors.New("no worker serves the model now")
	errQueueFull    = errors.New("the model's queue is full")
	errQueueTimeout = errors.New("no slot came free in time")
	errNoOther      = errors.New("no other worker serves the model")
)

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
	granted chan *lease // capacity 1
}

// acquire waits for a slot until ctx ends or the claim's wait has passed.
func (s *scheduler) acquire(ctx context.Context, c claim) (*lease, error) {
	w := &waiter{claim: c, granted: make(chan *lease, 1)}
	m, err := s.enqueue(w)
	if err != nil {
		return nil, err
	}
	select {
	case l := <-w.granted: // mostly at once, without a timer
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
	s.withdraw(m, w)
	return nil, err
}

func (s *scheduler) enqueue(w *waiter) (*modelState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.models[w.model]
	switch {
	case m == nil:
		return nil, errUnknownModel
	case len(w.avoid) > 0 && !m.servedBeyond(w.avoid):
		return nil, errNoOther
	case !w.again && len(m.slots) == 0 && !time.Now().Before(m.expected):
		return nil, errNoWorker
	}
	m.insert(w)
	s.dispatch(m)
	if !w.again && len(w.granted) == 0 && len(m.queue) > s.maxQueue() {
		m.remove(w)
		return nil, errQueueFull
	}
	return m, nil
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
func (s *scheduler) withdraw(m *modelState, w *waiter) {
	s.mu.Lock()
	m.remove(w)
	s.mu.Unlock()
	select {
	case l := <-w.granted:
		l.release()
	default:
	}
}

// servedBeyond reports whether a link outside avoid serves the model.
func (m *modelState) servedBeyond(avoid []*link) bool {
	for _, sl := range m.slots {
		if !slices.Contains(avoid, sl.link) {
			return true
		}
	}
	return false
}

func (m *modelState) remove(w *waiter) {
	for i, other := range m.queue {
		if other == w {
			m.queue = append(m.queue[:i], m.queue[i+1:]...)
			return
		}
	}
}
