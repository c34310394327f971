package cli

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/relayctl/relayctl/internal/plan"
)

// errInterrupted is the cause of everything that ends because the user asked.
var errInterrupted = errors.New("stopped as asked")

// stopGrace is how long all may take to stop after the first signal: a host has
// 2 minutes for the step it is in, and one for each end of an apply after that.
const stopGrace = 5 * time.Minute

// untilInterrupted ends the context at the first signal, so that every host
// finishes the step it is in, and the program at the second one, or when nothing
// has come to an end in stopGrace. stop ends the watch.
func (a *app) untilInterrupted(ctx context.Context, p *progress) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-over:
			return
		case <-a.Interrupts:
		}
		again := cmp.Or(a.command, "apply")
		p.stopping()
		cancel(errInterrupted)
		grace := time.NewTimer(stopGrace)
		defer grace.Stop()
		select {
		case <-over:
			return
		case <-a.Interrupts:
			p.stopped("Stopped at once. Each host ends its step by itself; run " + again + " again to go on.")
		case <-grace.C:
			p.stopped("Stopped: not every host came to an end within " + plan.Seconds(stopGrace) +
				". Each ends its step by itself; run " + again + " again to go on.")
		}
		a.view.cutShort()
		a.Exit(exitError)
	}()
	return ctx, func() {
		close(over)
		<-ended
		cancel(nil)
	}
}
