package kind

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// systemd is the machine's service manager as steps work with it.
type systemd struct {
	*machine.Machine
	unread bool // files of units were changed, which it has not read all yet
}

// changes notes that a file is about to be changed.
func (s *systemd) changes(path string) { s.unread = s.unread || machine.IsUnitFile(path) }

// read has systemd read the files of all units.
func (s *systemd) read(ctx context.Context) error {
	if err := s.Systemd.Configure(ctx, machine.ReloadUnitFiles, ""); err != nil {
		return err
	}
	s.unread = false
	return nil
}

// present is how a unit is once systemd has read its present file.
func (s *systemd) present(ctx context.Context, name string) (machine.UnitState, error) {
	if s.unread {
		if err := s.read(ctx); err != nil {
			return machine.UnitState{}, err
		}
	}
	state, err := s.Unit(ctx, name)
	if err == nil && state.NeedsReload {
		if err = s.read(ctx); err == nil {
			state, err = s.Unit(ctx, name)
		}
	}
	return state, err
}

func (s *systemd) configure(ctx context.Context, verb machine.ConfigureVerb, name string) error {
	if err := s.Systemd.Configure(ctx, verb, name); err != nil {
		return err
	}
	return s.read(ctx)
}

// jobTimeout bounds one start, stop or reload by systemd.
const jobTimeout = 5 * time.Minute

// doing says what systemd is at.
var doing = map[machine.JobVerb]string{
	machine.StartUnit: "starting", machine.StopUnit: "stopping", machine.RestartUnit: "restarting", machine.ReloadUnit: "reloading",
}

// job has systemd do something with a unit and tells how long it takes.
func (s *systemd) job(ctx context.Context, step *Step, verb machine.JobVerb, name string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, jobTimeout, fmt.Errorf("not done within %s", plan.Seconds(jobTimeout)))
	defer cancel()
	return step.while(hostapi.Progress{What: doing[verb], By: "systemd"}, func(func(string)) error { return s.Systemd.Job(ctx, verb, name) })
}

// unitError is an error on a unit with the end of what it said since the step
// began.
func (s *systemd) unitError(ctx context.Context, step *Step, name, text string) *hostapi.Error {
	lines, err := s.OwnLog(ctx, name, step.Began)
	if err != nil {
		lines = []string{"its log could not be read: " + err.Error()}
	}
	return &hostapi.Error{
		Code: hostapi.CodeStep, Message: fmt.Sprintf("unit %s %s", name, text), Log: lines,
		Hint: "More of its log, on the host:\n  journalctl -u " + strings.TrimSuffix(name, ".service") + " -n 50",
	}
}

// How long a unit is watched after systemd called it started.
const (
	lookInterval = 200 * time.Millisecond
	settleTime   = 2 * time.Second  // it has to stay up this long
	failingTime  = 10 * time.Second // one that stopped is watched this long, to tell how often it does
)

// staysUp watches a unit after a job until it is clear whether it does. jobErr is
// the job's own failure.
func (s *systemd) staysUp(ctx context.Context, step *Step, jobErr error) (state machine.UnitState, err error) {
	name, begun := step.Resource.Name, time.Now()
	before, stopped := -1, jobErr != nil
	err = step.while(hostapi.Progress{What: "seeing whether it stays up"}, func(func(string)) error {
		for {
			if state, err = s.Unit(ctx, name); err != nil {
				return err
			}
			if before < 0 {
				before = state.Restarts
			}
			stopped = stopped || !state.Running() || state.Restarts > before
			elapsed := time.Since(begun)
			switch {
			case jobErr != nil && state.Running() && elapsed >= settleTime:
				return s.unitError(ctx, step, name, fmt.Sprintf("runs on as before: %v", jobErr))
			case stopped && (state.Ended() || elapsed >= failingTime):
				return s.didNotStayUp(ctx, step, name, state, state.Restarts-before)
			case !stopped && elapsed >= settleTime:
				return nil
			}
			if err := pause(ctx, lookInterval); err != nil {
				return err
			}
		}
	})
	return state, err
}

// didNotStayUp says how often a unit stopped, and how it did last.
func (s *systemd) didNotStayUp(ctx context.Context, step *Step, name string, state machine.UnitState, restarts int) error {
	stops := restarts
	if !state.Running() {
		stops++
	}
	times := "once"
	if stops > 1 {
		times = fmt.Sprintf("%d times", stops)
	}
	return s.unitError(ctx, step, name, fmt.Sprintf("did not stay up: it stopped %s, %s", times, state.LastEnd()))
}

// Bounds of what a relay is told.
const (
	drainTimeout  = 45 * time.Second // somewhat longer than the relay waits for running answers
	resumeTimeout = 5 * time.Second
)

// drain has the relay tell its workers to come back after their connections
// were closed, and waits until running answers are done. A relay that is not
// there, or does not do it, is told of and does not stop the step: connections
// are lost then, which the workers stand.
func (s *systemd) drain(ctx context.Context, step *Step) {
	if step.Resource.Unit == nil || step.Resource.Unit.Drain == "" {
		return
	}
	if _, err := os.Lstat(s.Path(step.Resource.Unit.Drain)); machine.Gone(err) {
		return // no relay runs, so nobody is connected to it
	}
	err := step.while(hostapi.Progress{What: "running answers finish"}, func(func(string)) error {
		return s.tellRelay(ctx, step, "drain", drainTimeout)
	})
	if err != nil {
		step.tell(hostapi.Progress{What: fmt.Sprintf("the relay could not be drained: %v", err)})
	}
}

// resume has the relay use its workers' connections again. It does so by
// itself some time later, so that a failure is no matter.
func (s *systemd) resume(ctx context.Context, step *Step) {
	if step.Resource.Unit != nil && step.Resource.Unit.Drain != "" {
		_ = s.tellRelay(ctx, step, "resume", resumeTimeout)
	}
}

func (s *systemd) tellRelay(ctx context.Context, step *Step, what string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %s", plan.Seconds(timeout)))
	defer cancel()
	response, err := s.Send(ctx, machine.Request{
		Socket: step.Resource.Unit.Drain, Method: http.MethodPost, URL: "http://relay/v1/" + what, User: plan.RelayUser,
	})
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("answered %d", response.StatusCode)
	}
	return nil
}
