package host

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/hostapi"
)

// How long a unit is watched after systemd called it started.
const (
	lookInterval = 200 * time.Millisecond
	settleTime   = 2 * time.Second  // it has to stay up this long
	failingTime  = 10 * time.Second // one that stopped is watched this long, to tell how often it does
	settingsTime = 15 * time.Second // for a service to publish the settings that it was told to load
)

// verify watches a unit after a job until it is clear whether it stays up and
// has taken its settings. jobErr is the job's own failure.
func (u units) verify(ctx context.Context, b *batch, step step, jobErr error) (machine.UnitState, error) {
	name := step.resource.Name
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
			return state, u.unitError(ctx, b, name, fmt.Sprintf("runs on as before: %v", jobErr))
		case stopped && (state.Ended() || elapsed >= failingTime):
			return state, u.didNotStayUp(ctx, b, name, state, state.Restarts-before)
		case !stopped && elapsed >= settleTime:
			return u.tookSettings(ctx, b, step, state)
		}
		if time.Since(told) >= tellEvery {
			told = time.Now()
			b.tell(step.index, hostapi.Progress{What: "seeing whether it stays up", Took: elapsed})
		}
		select {
		case <-ctx.Done():
			return state, context.Cause(ctx)
		case <-look.C:
		}
	}
}

// tookSettings waits until a service publishes the digest of its present
// settings. One that publishes none is believed.
func (u units) tookSettings(ctx context.Context, b *batch, step step, state machine.UnitState) (machine.UnitState, error) {
	unit := step.resource.Unit
	begun, told := time.Now(), time.Now()
	look := time.NewTicker(lookInterval)
	defer look.Stop()
	for {
		if unit == nil || len(unit.Settings) == 0 {
			return state, nil
		}
		present, err := u.settingsDigest(unit.Settings)
		if err != nil {
			return state, err
		}
		published, ok := publishedDigest(state)
		if !ok || published == present {
			return state, nil
		}
		if _, why, refused := strings.Cut(state.StatusText, reloadRefused); refused {
			return state, u.unitError(ctx, b, step.resource.Name, "runs, but refused its new settings: "+why)
		}
		if time.Since(begun) >= settingsTime {
			return state, u.unitError(ctx, b, step.resource.Name, "runs, but did not take its new settings")
		}
		if time.Since(told) >= tellEvery {
			told = time.Now()
			b.tell(step.index, hostapi.Progress{What: step.resource.Name + " is loading its settings", Took: time.Since(begun)})
		}
		select {
		case <-ctx.Done():
			return state, context.Cause(ctx)
		case <-look.C:
		}
		if state, err = u.Unit(ctx, step.resource.Name); err != nil {
			return state, err
		}
	}
}

// didNotStayUp says how often a unit stopped, and how it did last.
func (u units) didNotStayUp(ctx context.Context, b *batch, name string, state machine.UnitState, restarts int) error {
	stops := restarts
	if !state.Running() {
		stops++
	}
	times := "once"
	if stops > 1 {
		times = fmt.Sprintf("%d times", stops)
	}
	return u.unitError(ctx, b, name, fmt.Sprintf("did not stay up: it stopped %s, %s", times, state.LastEnd()))
}

// reloadRefused begins what a service says of settings that it can't load.
const reloadRefused = "reload refused: "

// unitError is an error on a unit with the end of what it said since the step
// began.
func (h *Host) unitError(ctx context.Context, b *batch, name, text string) *hostapi.Error {
	lines, err := h.OwnLog(ctx, name, b.began)
	if err != nil {
		lines = []string{"its log could not be read: " + err.Error()}
	}
	return &hostapi.Error{
		Code: hostapi.CodeStep, Message: fmt.Sprintf("unit %s %s", name, text), Log: lines,
		Hint: "More of its log, on the host:\n  journalctl -u " + strings.TrimSuffix(name, ".service") + " -n 50",
	}
}
