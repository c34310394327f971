package kind

import (
	"context"
	"fmt"
	"time"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/hostapi"
)

// How long a unit is watched after systemd called it started.
const (
	lookInterval = 200 * time.Millisecond
	settleTime   = 2 * time.Second  // it has to stay up this long
	failingTime  = 10 * time.Second // one that stopped is watched this long, to tell how often it does
)

// staysUp watches a unit after a job until it is clear whether it does. jobErr is
// the job's own failure.
func (u units) staysUp(ctx context.Context, step *Step, jobErr error) (machine.UnitState, error) {
	name := step.Resource.Name
	begun, told := time.Now(), time.Now()
	before, stopped := -1, jobErr != nil
	look := time.NewTicker(lookInterval)
	defer look.Stop()
	for {
		state, err := u.Unit(ctx, name)
		if err != nil {
			return state, err
		}
		if before < 0 {
			before = state.Restarts
		}
		stopped = stopped || !state.Running() || state.Restarts > before
		elapsed := time.Since(begun)
		switch {
		case jobErr != nil && state.Running() && elapsed >= settleTime:
			return state, u.unitError(ctx, step, name, fmt.Sprintf("runs on as before: %v", jobErr))
		case stopped && (state.Ended() || elapsed >= failingTime):
			return state, u.didNotStayUp(ctx, step, name, state, state.Restarts-before)
		case !stopped && elapsed >= settleTime:
			return state, nil
		}
		if time.Since(told) >= hostapi.TellEvery {
			told = time.Now()
			step.tell(hostapi.Progress{What: "seeing whether it stays up", Took: elapsed})
		}
		select {
		case <-ctx.Done():
			return state, context.Cause(ctx)
		case <-look.C:
		}
	}
}

// didNotStayUp says how often a unit stopped, and how it did last.
func (u units) didNotStayUp(ctx context.Context, step *Step, name string, state machine.UnitState, restarts int) error {
	stops := restarts
	if !state.Running() {
		stops++
	}
	times := "once"
	if stops > 1 {
		times = fmt.Sprintf("%d times", stops)
	}
	return u.unitError(ctx, step, name, fmt.Sprintf("did not stay up: it stopped %s, %s", times, state.LastEnd()))
}
