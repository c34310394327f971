package host_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/host/machine"
)

// fakeSystemd runs units that are nothing but their state.
type fakeSystemd struct {
	machine *debian
	units   map[string]*fakeUnit
	starts  int
	reloads int // of unit files
}

type fakeUnit struct {
	systemd *fakeSystemd
	name    string
	enabled bool
	masked  bool
	state   machine.UnitState
	reads   []string          // paths that it loads
	loaded  map[string]string // their contents when it did, by path
	publish func() string     // its status
	fails   bool              // it stops soon after every start
	bad     string            // it does so where what it reads holds this
	refuses machine.JobVerb   // a job that fails
	jobs    []machine.JobVerb
}

func (s *fakeSystemd) unit(name string) *fakeUnit {
	if s.units[name] == nil {
		s.units[name] = &fakeUnit{systemd: s, name: name, state: machine.UnitState{Active: "inactive", Sub: "dead", Result: "success"}}
	}
	return s.units[name]
}

// Units implements machine.Systemd.
func (s *fakeSystemd) Units(_ context.Context, names []string) ([]machine.UnitState, error) {
	var states []machine.UnitState
	for _, name := range names {
		unit := s.unit(name)
		state := unit.state
		for _, dir := range []string{"/lib/systemd/system/", "/etc/systemd/system/"} {
			if _, err := os.Stat(s.machine.path(dir + name)); err == nil {
				state.Exists, state.Fragment = true, dir+name
			}
		}
		if !state.Exists {
			states = append(states, machine.UnitState{Active: "inactive"})
			continue
		}
		switch {
		case unit.masked:
			state.FileState = "masked"
		case unit.enabled:
			state.FileState = "enabled"
		case state.FileState == "":
			state.FileState = "disabled"
		}
		if unit.publish != nil && state.Running() {
			state.StatusText = unit.publish()
		}
		states = append(states, state)
		if (unit.fails || unit.hasLoaded(unit.bad)) && unit.state.Running() { // it was seen up once
			unit.state.Active, unit.state.Sub, unit.state.Result = "failed", "failed", "exit-code"
			unit.state.ExitCode, unit.state.ExitStatus = 1, 3
		}
	}
	return states, nil
}

// Job implements machine.Systemd.
func (s *fakeSystemd) Job(_ context.Context, verb machine.JobVerb, name string) error {
	s.machine.point(fmt.Sprintf("before %s %s", verb, name))
	unit := s.unit(name)
	unit.jobs = append(unit.jobs, verb)
	if verb == unit.refuses {
		return fmt.Errorf("%s %s: %w: failed", verb, name, machine.ErrJobFailed)
	}
	switch verb {
	case machine.StopUnit:
		unit.stop()
	case machine.ReloadUnit:
		unit.load()
	default:
		unit.start()
		if name == "caddy.service" {
			s.machine.caddyRuns, s.machine.caddyMoved = s.machine.read("/etc/caddy/Caddyfile"), ""
		}
	}
	s.machine.point(fmt.Sprintf("after %s %s", verb, name))
	return nil
}

// Configure implements machine.Systemd.
func (s *fakeSystemd) Configure(_ context.Context, verb machine.ConfigureVerb, name string) error {
	s.machine.point(fmt.Sprintf("before %s %s", verb, name))
	switch verb {
	case machine.EnableUnit:
		s.unit(name).enabled = true
	case machine.DisableUnit:
		s.unit(name).enabled = false
	case machine.MaskUnit:
		s.unit(name).masked = true
	case machine.ReloadUnitFiles:
		s.reloads++
	}
	s.machine.point(fmt.Sprintf("after %s %s", verb, name))
	return nil
}

func (u *fakeUnit) stop() { u.state.Active, u.state.Sub, u.state.MainPID = "inactive", "dead", 0 }

func (u *fakeUnit) start() {
	u.systemd.starts++
	u.state.Active, u.state.Sub, u.state.Result = "active", "running", "success"
	u.state.Invocation = fmt.Sprintf("%032x", u.systemd.starts)
	u.state.Began = u.systemd.machine.now()
	u.load()
}

// load takes in what the unit reads, as it stands now.
func (u *fakeUnit) load() {
	u.loaded = map[string]string{}
	for _, path := range u.reads {
		u.loaded[path] = u.systemd.machine.content(path)
	}
}

// hasLoaded reports whether a text is in what the unit has loaded.
func (u *fakeUnit) hasLoaded(text string) bool {
	for _, content := range u.loaded {
		if text != "" && strings.Contains(content, text) {
			return true
		}
	}
	return false
}

// fresh reports whether the unit has loaded what stands there now.
func (u *fakeUnit) fresh() bool {
	for _, path := range u.reads {
		if u.loaded[path] != u.systemd.machine.content(path) {
			return false
		}
	}
	return true
}

// content is a file's content, or that of all files in a folder.
func (m *debian) content(path string) string {
	names, err := filepath.Glob(m.path(path) + "/*")
	info, statErr := os.Stat(m.path(path))
	if err != nil || statErr != nil || !info.IsDir() {
		return m.read(path)
	}
	var whole string
	for _, name := range names {
		whole += name + "\n" + m.read(path+"/"+filepath.Base(name))
	}
	return whole
}

// now is the file system's time: in a bubble of synctest, the clock is another.
func (m *debian) now() time.Time {
	m.write("/run/clock", "")
	info, err := os.Stat(m.path("/run/clock"))
	if err != nil {
		m.t.Fatal(err)
	}
	return info.ModTime()
}

// tick returns when the file system's time has gone on.
func (m *debian) tick() {
	for before := m.now(); !m.now().After(before); {
	}
}
