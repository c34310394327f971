package remote

import (
	"context"
	"time"
)

// keepAlive sends ping at every tick and gives up when, for as many ticks as
// misses, it had no answer and heard, which counts what comes, has stood still:
// on a slow line a ping waits long behind a program that is being sent. It
// returns nil when ctx ends.
func keepAlive(ctx context.Context, every time.Duration, misses int, ping func() error, heard func() int64) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	answers := make(chan error, 1) // one ping is out at a time
	waiting, missed, before := false, 0, heard()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-answers:
			if err != nil {
				return err
			}
			waiting, missed = false, 0
		case <-tick.C:
			now := heard()
			switch {
			case !waiting:
				waiting = true
				go func() { answers <- ping() }()
			case now != before:
				missed = 0
			default:
				if missed++; missed == misses {
					return &SilentError{After: time.Duration(misses) * every}
				}
			}
			before = now
		}
	}
}
