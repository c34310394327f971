package remote

import (
	"context"
	"time"
)

// keepAlive sends ping at every tick and gives up when misses of them in a row
// had no answer at the next tick. It returns nil when ctx ends.
func keepAlive(ctx context.Context, every time.Duration, misses int, ping func() error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	answers := make(chan error, 1) // one ping is out at a time
	waiting, missed := false, 0
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
			if !waiting {
				waiting = true
				go func() { answers <- ping() }()
				continue
			}
			if missed++; missed == misses {
				return &SilentError{After: time.Duration(misses) * every}
			}
		}
	}
}
