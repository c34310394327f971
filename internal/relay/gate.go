package relay

import (
	"context"
	"sync"
	"time"
)

// gate counts the requests that are inside, and lets the relay stop without
// leaving one behind.
type gate struct {
	mu     sync.Mutex
	shut   bool
	inside map[*request]bool
	empty  chan struct{} // closed when the last one leaves; nil while nobody waits
}

// enter lets rq in; false once the gate is closed.
func (g *gate) enter(rq *request) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return false
	}
	if g.inside == nil {
		g.inside = make(map[*request]bool)
	}
	g.inside[rq] = true
	return true
}

func (g *gate) leave(rq *request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.inside, rq)
	if len(g.inside) == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}

// close lets nobody in any more and returns how many are inside.
func (g *gate) close() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
	return len(g.inside)
}

func (g *gate) closed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shut
}

func (g *gate) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.inside)
}

// cut ends all that are inside, with reason as their context's cause.
func (g *gate) cut(reason error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for rq := range g.inside {
		rq.cancel(reason)
	}
}

// wait waits until nobody is inside, for limit at most, and returns how many
// still are.
func (g *gate) wait(ctx context.Context, limit time.Duration) int {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		g.mu.Lock()
		left := len(g.inside)
		if g.empty == nil {
			g.empty = make(chan struct{})
		}
		empty := g.empty
		g.mu.Unlock()
		if left == 0 {
			return 0
		}
		select {
		case <-empty:
		case <-ctx.Done():
			return left
		}
	}
}
