package kind

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// waitForDpkg waits until no other run of apt or dpkg is on, and says who is.
func (p packages) waitForDpkg(ctx context.Context, step *Step) error {
	ctx, cancel := context.WithTimeout(ctx, dpkgLockWait)
	defer cancel()
	retry := time.NewTicker(dpkgLockInterval)
	defer retry.Stop()
	begun, told := time.Now(), time.Time{}
	for {
		holder, err := p.DpkgHolder()
		if err != nil || holder == "" {
			return err
		}
		if time.Since(told) >= hostapi.TellEvery {
			told = time.Now()
			waited := time.Since(begun)
			step.tell(hostapi.Progress{What: "waiting for " + holder, Took: waited, Amount: plan.Amount{
				Done: int64(waited.Seconds()), Total: int64(dpkgLockWait.Seconds()), Measure: plan.InSeconds,
			}})
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return dpkgStaysLocked(holder)
			}
			return context.Cause(ctx)
		case <-step.Stopped:
			return context.Canceled // nothing of the step is begun yet
		case <-retry.C:
		}
	}
}

func dpkgStaysLocked(holder string) error {
	return &hostapi.Error{
		Code:    hostapi.CodeStep,
		Message: fmt.Sprintf("waited %d min for %s", int(dpkgLockWait.Minutes()), holder),
		Hint:    "Wait until that is done. If it hangs, find out what it waits for before you end it: dpkg cut off in the middle leaves half a package.",
	}
}
