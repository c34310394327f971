package machinetest

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/relayctl/relayctl/internal/host/machine"
)

// Systemd runs units that are nothing but their state.
type Systemd struct {
	machine *Machine
	All     map[string]*Unit // by name
	Starts  int
	Reloads int // of unit files
}

// Unit is a unit, whether it has a file or not.
type Unit struct {
	Enabled bool
	Masked  bool
	State   machine.UnitState
	Reads   []string          // paths that it loads
	Loaded  map[string]string // their contents when it did, by path
	Publish func() string     // its status
	Fails   bool              // it stops soon after every start
	Bad     string            // it does so where what it reads holds this
	Refuses machine.JobVerb   // a job that fails
	Jobs    []machine.JobVerb // that were done, in order

	systemd *Systemd
	name    string
}

// Unit finds a unit.
func (s *Systemd) Unit(name string) *Unit {
	if s.All[name] == nil {
		s.All[name] = &Unit{systemd: s, name: name, State: machine.UnitState{Active: "inactive", Sub: "dead", Result: "success"}}
	}
	return s.All[name]
}

// Units implements machine.Systemd.
func (s *Systemd) Units(_ context.Context, names []string) ([]machine.UnitState, error) {
	s.machine.mu.Lock()
	defer s.machine.mu.Unlock()
	var states []machine.UnitState
	for _, name := range names {
		unit := s.Unit(name)
		state := unit.State
		for _, dir := range []string{"/lib/systemd/system/", "/etc/systemd/system/"} {
			if _, err := os.Stat(s.machine.Path(dir + name)); err == nil {
				state.Exists, state.Fragment = true, dir+name
			}
		}
		if !state.Exists {
			states = append(states, machine.UnitState{Active: "inactive"})
			continue
		}
		switch {
		case unit.Masked:
			state.FileState = "masked"
		case unit.Enabled:
			state.FileState = "enabled"
		case state.FileState == "":
			state.FileState = "disabled"
		}
		if unit.Publish != nil && state.Running() {
			state.StatusText = unit.Publish()
		}
		states = append(states, state)
		if (unit.Fails || unit.hasLoaded(unit.Bad)) && unit.State.Running() { // it was seen up once
			unit.State.Active, unit.State.Sub, unit.State.Result = "failed", "failed", "exit-code"
			unit.State.ExitCode, unit.State.ExitStatus = 1, 3
		}
	}
	return states, nil
}

// Job implements machine.Systemd.
func (s *Systemd) Job(_ context.Context, verb machine.JobVerb, name string) error {
	s.machine.mu.Lock()
	defer s.machine.mu.Unlock()
	s.machine.at(fmt.Sprintf("before %s %s", verb, name))
	unit := s.Unit(name)
	unit.Jobs = append(unit.Jobs, verb)
	if verb == unit.Refuses {
		return fmt.Errorf("%s %s: %w: failed", verb, name, machine.ErrJobFailed)
	}
	switch verb {
	case machine.StopUnit:
		unit.Stop()
	case machine.ReloadUnit:
		unit.Load()
	default:
		unit.Start()
		if name == "caddy.service" {
			s.machine.Caddy.Runs, s.machine.Caddy.Moved = s.machine.Read("/etc/caddy/Caddyfile"), ""
		}
	}
	s.machine.at(fmt.Sprintf("after %s %s", verb, name))
	return nil
}

// Configure implements machine.Systemd.
func (s *Systemd) Configure(_ context.Context, verb machine.ConfigureVerb, name string) error {
	s.machine.mu.Lock()
	defer s.machine.mu.Unlock()
	s.machine.at(fmt.Sprintf("before %s %s", verb, name))
	switch verb {
	case machine.EnableUnit:
		s.Unit(name).Enabled = true
	case machine.DisableUnit:
		s.Unit(name).Enabled = false
	case machine.MaskUnit, machine.UnmaskUnit:
		s.Unit(name).Masked = verb == machine.MaskUnit
	case machine.ReloadUnitFiles:
		s.Reloads++
	}
	s.machine.at(fmt.Sprintf("after %s %s", verb, name))
	return nil
}

// Stop stops the unit, as it may by itself.
func (u *Unit) Stop() { u.State.Active, u.State.Sub, u.State.MainPID = "inactive", "dead", 0 }

// Start starts the unit, as somebody may by hand.
func (u *Unit) Start() {
	u.systemd.Starts++
	u.State.Active, u.State.Sub, u.State.Result = "active", "running", "success"
	u.State.Invocation = fmt.Sprintf("%032x", u.systemd.Starts)
	u.State.Began = u.systemd.machine.Now()
	u.Load()
}

// Load takes in what the unit reads, as it stands now.
func (u *Unit) Load() {
	u.Loaded = map[string]string{}
	for _, path := range u.Reads {
		u.Loaded[path] = u.systemd.machine.Content(path)
	}
}

// hasLoaded reports whether a text is in what the unit has loaded.
func (u *Unit) hasLoaded(text string) bool {
	for _, content := range u.Loaded {
		if text != "" && strings.Contains(content, text) {
			return true
		}
	}
	return false
}

// Fresh reports whether the unit has loaded what stands there now.
func (u *Unit) Fresh() bool {
	for _, path := range u.Reads {
		if u.Loaded[path] != u.systemd.machine.Content(path) {
			return false
		}
	}
	return true
}
