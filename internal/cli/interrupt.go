package cli

import (
	"context"
	"errors"
)

// errInterrupted is the cause of everything that ends because the user asked.
var errInterrupted = errors.New("stopped as asked")

// untilInterrupted ends the context at the first signal, so that every host
// finishes the step it is in, and the program at the second one. stop ends the
// watch.
func (a *app) untilInterrupted(ctx context.Context, p *progress) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for signals := 1; ; signals++ {
			select {
			case <-over:
				return
			case <-a.Interrupts:
			}
			if signals > 1 {
				p.stoppedHard()
				a.view.cutShort()
				a.Exit(exitError)
				return
			}
			p.stopping()
			cancel(errInterrupted)
		}
	}()
	return ctx, func() {
		close(over)
		<-ended
		cancel(nil)
	}
}
