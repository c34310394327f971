package remote

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// errNoAnswer is the cause of a context that ended because a host took too long.
var errNoAnswer = fmt.Errorf("no answer in time: %w", context.DeadlineExceeded)

// patience ends a context when nothing was done in time. The operator's own
// time does not count.
type patience struct {
	timer *time.Timer
	long  time.Duration

	mu      sync.Mutex
	waiting int  // for the operator
	over    bool // it ended its context
}

// withPatience is a context that ends after long, unless it is stopped before.
func withPatience(ctx context.Context, long time.Duration) (context.Context, *patience, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	p := &patience{long: long}
	p.timer = time.AfterFunc(long, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.waiting == 0 {
			p.over = true
			cancel(errNoAnswer)
		}
	})
	return ctx, p, func() {
		p.timer.Stop()
		cancel(nil)
	}
}

// whileAsked stops the clock for as long as the operator is waited for; it
// begins anew after that.
func (p *patience) whileAsked(ask func()) {
	p.count(1)
	defer p.count(-1)
	ask()
}

func (p *patience) count(more int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting += more; p.waiting > 0 {
		p.timer.Stop()
	} else if !p.over {
		p.timer.Reset(p.long)
	}
}

// ranOut reports whether a context ended because a host took too long.
func ranOut(ctx context.Context) bool { return errors.Is(context.Cause(ctx), context.DeadlineExceeded) }
