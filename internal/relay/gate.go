package relay

import (
	"context"
	"sync"
	"time"
)

// gate counts the requests that are inside, and lets the relay stop without
// leaving one behind.
type gate struct {
	mu       sync.Mutex
	inside   map[*request]bool
	all      sync.WaitGroup
	stopping context.Context // ends when nobody is let in any more
	stop     context.CancelFunc
}

func newGate() *gate {
	g := &gate{inside: make(map[*request]bool)}
	g.stopping, g.stop = context.WithCancel(context.Background())
	return g
}

// enter lets rq in; false once the gate is closed.
func (g *gate) enter(rq *request) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed() {
		return false
	}
	g.inside[rq] = true
	g.all.Add(1)
	return true
}

func (g *gate) leave(rq *request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.inside, rq)
	g.all.Done()
}

func (g *gate) closed() bool { return g.stopping.Err() != nil }

func (g *gate) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.inside)
}

// close lets nobody in any more.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stop()
}

// cut ends all that are inside, with reason as their context's cause.
func (g *gate) cut(reason error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for rq := range g.inside {
		rq.cancel(reason)
	}
}

// wait waits until nobody is inside any more of a closed gate, or ctx ends or
// limit has passed, and returns how many still are.
func (g *gate) wait(ctx context.Context, limit time.Duration) int {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	empty := make(chan struct{})
	go func() {
		g.all.Wait()
		close(empty)
	}()
	select {
	case <-empty:
	case <-ctx.Done():
	}
	return g.count()
}
