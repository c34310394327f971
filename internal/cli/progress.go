package cli

import (
	"context"
	"sync"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

// progress follows what happens on the hosts and has it shown.
type progress struct {
	mu    sync.Mutex // guards all below, and what shown prints
	board *board
	shown progressView       // nil: nobody looks
	aside func()             // makes room for what somebody else prints; nil: it needs none
	told  func(engine.Event) // prints what the engine says as it is; nil: nobody does
}

// progressView shows a board to one kind of reader. Its methods are called one
// at a time.
type progressView interface {
	// hear tells an event, which the board has taken in.
	hear(e engine.Event, now time.Time)
	// beat tells that time has passed.
	beat(now time.Time)
}

// redraws is the time between two looks at the board: ten in a second are
// smooth enough to read.
const redraws = 100 * time.Millisecond

func newProgress(v *view, hosts []string) *progress {
	p := &progress{board: newBoard(hosts)}
	switch {
	case v.live != nil:
		live := &liveView{view: v, board: p.board, size: v.live}
		p.shown = live
		p.aside = live.aside
		v.errs.aside = func() { p.locked(live.aside) }
		if v.out.terminal {
			v.out.aside = v.errs.aside
		}
	case v.json == nil:
		p.shown = newPlainView(v, p.board, hosts)
	}
	if v.json != nil && v.json.kind == typeResult {
		p.told = v.json.hear
	}
	return p
}

func (p *progress) locked(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	do()
}

// start lets time pass on the board until ctx ends; stop waits for the end.
func (p *progress) start(ctx context.Context) (stop func()) {
	if p.shown == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(redraws)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-tick.C:
				p.locked(func() { p.shown.beat(now) })
			}
		}
	}()
	return func() {
		cancel()
		<-ended
		p.locked(p.asideIfShown)
	}
}

// hear takes an event of the engine.
func (p *progress) hear(e engine.Event) {
	p.locked(func() {
		now := time.Now()
		p.board.take(e, now)
		if p.told != nil && e.Phase != stopping && e.Phase != stopped {
			p.told(e)
		}
		if p.shown != nil {
			p.shown.hear(e, now)
		}
	})
}

// begin tells that an apply begins.
func (p *progress) begin(planned plan.Plan) {
	p.locked(func() { p.board.begin(planned, time.Now()) })
}

// end tells that an apply has ended: the board is its record from now on.
func (p *progress) end(outcome *engine.Outcome) {
	p.locked(func() {
		p.board.end(outcome)
		p.asideIfShown()
	})
}

func (p *progress) asideIfShown() {
	if p.aside != nil {
		p.aside()
	}
}

// stopping says what is waited for after the user asked to stop.
func (p *progress) stopping() {
	p.hear(engine.Event{Phase: stopping, Text: "Stopping: every host finishes the step it is in. Ctrl-C again stops at once."})
}

// stoppedLate says that relayctl ends by itself, while a host goes on.
func (p *progress) stoppedLate() {
	p.hear(engine.Event{Phase: stopped, Text: "Stopped: not every host came to an end within " + plan.Seconds(stopGrace) +
		". Each ends its step by itself; run apply again to go on."})
}

// stoppedHard says what becomes of the hosts when relayctl ends at once.
func (p *progress) stoppedHard() {
	p.hear(engine.Event{Phase: stopped, Text: "Stopped at once. Each host ends its step by itself; run apply again to go on."})
}
