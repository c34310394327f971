package relay

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/relayctl/relayctl/internal/protocol"
)

// restTime is for how long a worker whose engine refused is chosen only where
// there is no other. Without it the broken one, always idle, would attract
// every request first.
const restTime = 2 * time.Second

// quietLimit is after how long a silent connection is chosen only where there
// is no other: it should have pinged, and may be lost.
const quietLimit = protocol.PingEvery + 5*time.Second

// scheduler hands requests to free slots of workers: one bounded FIFO per
// model, moved on by events only.
type scheduler struct {
	maxQueue func() int

	mu     sync.Mutex
	models map[string]*modelState
	others bool // models beyond those of the settings may be served
	links  map[*link]bool
	newest map[string]*link // of each worker
	turn   uint64           // counts dispatches, to break ties by least recently used
	change chan struct{}    // closed when a slot comes free or a link goes; nil while nobody waits for that
}

// modelState is one model: its queue, and who serves it.
type modelState struct {
	name     string
	listed   bool // in the settings
	queue    []*waiter
	slots    []*slot
	running  map[string]int // by worker's name: two connections of one worker share its engine
	expected time.Time      // until then a worker is on its way back
}

// slot is what one link offers for one model.
type slot struct {
	link     *link
	model    *modelState
	capacity int
	rests    time.Time
	lastUsed uint64
	failed   atomic.Pointer[EngineFailure] // how the last request failed; nil: it did not
}

// lease is a taken slot; release gives it back, once.
type lease struct {
	scheduler *scheduler
	slot      *slot
	once      sync.Once
}

func newScheduler(maxQueue func() int) *scheduler {
	return &scheduler{
		maxQueue: maxQueue,
		models:   make(map[string]*modelState),
		links:    make(map[*link]bool),
		newest:   make(map[string]*link),
	}
}

// release frees the slot and hands it on.
func (l *lease) release() {
	l.once.Do(func() {
		s, m := l.scheduler, l.slot.model
		s.mu.Lock()
		defer s.mu.Unlock()
		name := l.slot.link.name
		if m.running[name]--; m.running[name] <= 0 {
			delete(m.running, name)
		}
		l.slot.link.running--
		s.dispatch(m)
		s.forget(m)
		s.changed()
	})
}

// rest marks the slot as one whose engine refused.
func (l *lease) rest() {
	l.scheduler.mu.Lock()
	defer l.scheduler.mu.Unlock()
	l.slot.rests = time.Now().Add(restTime)
}

// expectAll has requests for any model wait for a worker until then.
func (s *scheduler) expectAll(until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.models {
		m.expected = until
	}
}

// list makes the models of workers those of the settings. With others, workers
// bring more; without, one that is not listed is forgotten as soon as nobody
// serves it or waits for it.
func (s *scheduler) list(workers []WorkerFile, others bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.others = others
	for _, m := range s.models {
		m.listed = false
	}
	for _, worker := range workers {
		for _, name := range worker.Models {
			s.model(name).listed = true
		}
	}
	for _, m := range s.models {
		s.forget(m)
	}
}

// forget drops a model that is no longer anybody's, with mu held.
func (s *scheduler) forget(m *modelState) {
	if !s.others && !m.listed && len(m.slots) == 0 && len(m.queue) == 0 && len(m.running) == 0 {
		delete(s.models, m.name)
	}
}

// knows reports whether model is one of the stack's, or any worker's.
func (s *scheduler) knows(model string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.models[model] != nil
}

// model finds or makes a model's state, with mu held.
func (s *scheduler) model(name string) *modelState {
	m := s.models[name]
	if m == nil {
		m = &modelState{name: name, running: make(map[string]int)}
		s.models[name] = m
	}
	return m
}

// dispatch hands free slots to waiters in their order, with mu held.
func (s *scheduler) dispatch(m *modelState) {
	kept := m.queue[:0]
	for i, w := range m.queue {
		best := s.best(m, w.avoid)
		if best == nil && len(w.avoid) == 0 {
			kept = append(kept, m.queue[i:]...)
			break
		}
		if best == nil {
			kept = append(kept, w)
			continue
		}
		w.granted <- s.lend(best)
	}
	clear(m.queue[len(kept):])
	m.queue = kept
}

// lend takes a free slot, with mu held.
func (s *scheduler) lend(free *slot) *lease {
	s.turn++
	free.lastUsed = s.turn
	free.model.running[free.link.name]++
	free.link.running++
	return &lease{scheduler: s, slot: free}
}

// best is the free slot of the least loaded worker, nil where none is free.
func (s *scheduler) best(m *modelState, avoid []*link) *slot {
	now := time.Now()
	var best *slot
	for _, sl := range m.slots {
		if sl.link.held || m.running[sl.link.name] >= sl.capacity || slices.Contains(avoid, sl.link) {
			continue
		}
		if best == nil || m.before(sl, best, now) {
			best = sl
		}
	}
	return best
}

// resting reports whether another worker is to be preferred: the engine here
// has just refused, or the connection is suspiciously quiet.
func (sl *slot) resting(now time.Time) bool {
	return now.Before(sl.rests) || sl.link.conn.Quiet() > quietLimit
}

// before reports whether a is to be chosen over b: not resting, then the
// smaller share of its capacity in use, then the longer unused.
func (m *modelState) before(a, b *slot, now time.Time) bool {
	if ra, rb := a.resting(now), b.resting(now); ra != rb {
		return rb
	}
	la := m.running[a.link.name] * b.capacity
	lb := m.running[b.link.name] * a.capacity
	if la != lb {
		return la < lb
	}
	return a.lastUsed < b.lastUsed
}

// names lists the models there are, sorted.
func (s *scheduler) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.models))
}
