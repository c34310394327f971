package kind

import (
	"context"
	"fmt"
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
