package host_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/host/machine/machinetest"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// bubble runs a test whose waits take no time.
func bubble(t *testing.T, test func(t *testing.T)) { synctest.Test(t, test) }

const serviceFile = "/etc/systemd/system/relay.service"

// relayUnit is a unit with a file of its own, a setting that needs a restart,
// and a folder that it reloads.
func relayUnit() plan.Resource {
	return unit("relay.service", plan.Unit{
		Restart: []plan.ID{fileID(serviceFile), fileID("/etc/relay.conf")},
		Reload:  []plan.ID{{Kind: plan.KindDirectory, Name: "/etc/workers.d"}},
	})
}

// service is all that relayUnit needs.
func (s *session) service(conf string, workers map[string]string) []plan.Resource {
	list := []plan.Resource{
		s.file(serviceFile, "[Service]\n"), s.file("/etc/relay.conf", conf), directory("/etc/workers.d"), relayUnit(),
	}
	for name, content := range workers {
		list = append(list, s.file("/etc/workers.d/"+name, content))
	}
	return list
}

func relayMachine(t *testing.T) (*debian, *machinetest.Unit) {
	m := newMachine(t)
	u := m.Systemd.Unit("relay.service")
	u.Reads = []string{serviceFile, "/etc/relay.conf", "/etc/workers.d"}
	return m, u
}

func TestUnitFollowsItsFiles(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, u := relayMachine(t)
		s := m.lock()
		for _, step := range []struct {
			what    string
			conf    string
			workers map[string]string
			jobs    []machine.JobVerb
		}{
			{"new", "a", map[string]string{"one": "1"}, []machine.JobVerb{machine.StartUnit}},
			{"as it was", "a", map[string]string{"one": "1"}, nil},
			{"a file of the folder changes", "a", map[string]string{"one": "2"}, []machine.JobVerb{machine.ReloadUnit}},
			{"a file comes into the folder", "a", map[string]string{"one": "2", "two": "2"}, []machine.JobVerb{machine.ReloadUnit}},
			{"a file leaves the folder", "a", map[string]string{"two": "2"}, []machine.JobVerb{machine.ReloadUnit}},
			{"a setting changes", "b", map[string]string{"two": "2"}, []machine.JobVerb{machine.RestartUnit}},
			{"both change", "c", map[string]string{"two": "3"}, []machine.JobVerb{machine.RestartUnit}},
		} {
			u.Jobs = nil
			s.bring(s.service(step.conf, step.workers)...)
			if !slices.Equal(u.Jobs, step.jobs) {
				t.Errorf("%s: did %v instead of %v", step.what, u.Jobs, step.jobs)
			}
			if !u.Fresh() || !u.Enabled || u.State.Active != "active" {
				t.Errorf("%s: the unit is %+v", step.what, u)
			}
			if steps := s.plan(s.service(step.conf, step.workers)...); len(steps) > 0 {
				t.Errorf("%s: a second plan has %v", step.what, steps)
			}
		}
		s.bring()
		if u.Enabled || u.State.Active != "inactive" || m.Read(serviceFile) != "absent" {
			t.Errorf("after leaving: %+v", u)
		}
	})
}

// What comes after a unit that reads it is loaded by a second job, and what
// comes before the unit by the first.
func TestUnitTwiceInOneApply(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, u := relayMachine(t)
		s := m.lock()
		for _, step := range []struct {
			what        string
			early, late string
			jobs        []machine.JobVerb
		}{
			{"new", "1", "1", []machine.JobVerb{machine.StartUnit, machine.ReloadUnit}},
			{"as it was", "1", "1", nil},
			{"both change", "2", "2", []machine.JobVerb{machine.ReloadUnit, machine.ReloadUnit}},
			{"the later one changes", "2", "3", []machine.JobVerb{machine.ReloadUnit}},
		} {
			u.Jobs = nil
			late := s.file("/etc/workers.d/late", step.late)
			late.After = []plan.ID{relayUnit().ID}
			want := append(s.service("a", map[string]string{"early": step.early}), late)
			s.bring(want...)
			if !slices.Equal(u.Jobs, step.jobs) || !u.Fresh() {
				t.Errorf("%s: did %v instead of %v; has all: %v", step.what, u.Jobs, step.jobs, u.Fresh())
			}
			if steps := s.plan(want...); len(steps) > 0 {
				t.Errorf("%s: a second plan has %v", step.what, steps)
			}
		}
	})
}

func TestStaleUnit(t *testing.T) {
	for _, test := range []struct {
		name  string
		after func(m *debian, u *machinetest.Unit) // something happens behind relayctl's back
		stale []string
	}{
		{"nothing", func(*debian, *machinetest.Unit) {}, nil},
		{"restarted by somebody", func(_ *debian, u *machinetest.Unit) { u.Start() }, nil},
		{"a file edited", func(m *debian, _ *machinetest.Unit) { m.Write("/etc/relay.conf", "by hand") }, []string{"file /etc/relay.conf"}},
		{"a file edited and loaded", func(m *debian, u *machinetest.Unit) { m.Write("/etc/relay.conf", "by hand"); u.Start() }, nil},
		{"restarted, then a file edited", func(m *debian, u *machinetest.Unit) {
			m.Tick()
			u.Start()
			m.Tick()
			m.Write("/etc/workers.d/new", "x")
		}, []string{"directory /etc/workers.d"}},
		{"a restart owed", func(m *debian, _ *machinetest.Unit) {
			m.Write(journalFile, m.Read(journalFile)+`{"change":{"kind":"file","name":"/etc/relay.conf","action":"change","replaces":true,"before":{"kind":"file","name":"/etc/relay.conf","exists":true}}}`+"\n")
		}, []string{"file /etc/relay.conf"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m, u := relayMachine(t)
				s := m.lock()
				s.bring(s.service("a", nil)...)
				test.after(m, u)
				var stale []string
				for _, id := range m.observe(relayUnit()).Find(relayUnit().ID).Stale {
					stale = append(stale, id.String())
				}
				if diff := cmp.Diff(test.stale, stale); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestUnitThatPublishesItsSettings(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMachine(t)
		u := m.Systemd.Unit("relay.service")
		u.Reads = []string{"/etc/relay/keys.json", "/etc/relay/workers.d"}
		u.Publish = func() string {
			keys := sha256.Sum256([]byte(u.Loaded["/etc/relay/keys.json"]))
			whole := fmt.Sprintf("keys.json\x00%x\n", keys)
			if strings.Contains(u.Loaded["/etc/relay/workers.d"], "a.json") {
				whole += fmt.Sprintf("workers.d/a.json\x00%x\n", sha256.Sum256([]byte("worker a")))
			}
			return fmt.Sprintf("settings %x; connected", sha256.Sum256([]byte(whole)))
		}
		of := plan.Unit{
			Reload:   []plan.ID{fileID("/etc/relay/keys.json"), {Kind: plan.KindDirectory, Name: "/etc/relay/workers.d"}},
			Settings: []string{"/etc/relay/keys.json", "/etc/relay/workers.d"},
		}
		s := m.lock()
		want := func(keys string) []plan.Resource {
			return []plan.Resource{
				directory("/etc/relay"), directory("/etc/relay/workers.d"), s.file(serviceFile, "[Service]\n"),
				s.file("/etc/relay/keys.json", keys), unit("relay.service", of),
			}
		}
		s.bring(want("one")...)
		s.bring(want("two")...)
		if !slices.Equal(u.Jobs, []machine.JobVerb{machine.StartUnit, machine.ReloadUnit}) {
			t.Errorf("did %v", u.Jobs)
		}
		s.bring(append(want("two"), s.file("/etc/relay/workers.d/a.json", "worker a"))...)
		if stale := m.observe(unit("relay.service", of)).Find(relayUnit().ID).Stale; len(stale) > 0 {
			t.Errorf("stale: %v", stale)
		}
		m.Write("/etc/relay/keys.json", "by hand")
		u.State.Invocation = "another" // what it publishes counts, not who started it
		u.State.Began = m.Now()
		if stale := m.observe(unit("relay.service", of)).Find(relayUnit().ID).Stale; len(stale) != 2 {
			t.Errorf("stale: %v", stale)
		}

		u.Publish = func() string { return "settings x; reload refused: keys.json: no such thing" }
		_, err := s.apply(s.plan(want("three")...))
		if err == nil || !strings.Contains(err.Error(), "refused its new settings: keys.json: no such thing") {
			t.Errorf("the error is %v", err)
		}
	})
}

func TestUnitThatDoesNotStayUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, u := relayMachine(t)
		u.Fails = true
		m.Log["relay.service"] = []string{"cannot listen", "cannot listen", "cannot listen", "bye"}
		s := m.lock()
		steps := s.plan(s.service("a", nil)...)
		_, err := s.apply(steps)
		var told *hostapi.Error
		if !errors.As(err, &told) || told.Code != hostapi.CodeStep || told.Step != len(steps)-1 {
			t.Fatalf("the error is %v", err)
		}
		if want := "unit relay.service did not stay up: it stopped once, last with exit code 3"; told.Message != want {
			t.Errorf("the error is %q", told.Message)
		}
		if diff := cmp.Diff([]string{"cannot listen (3 times)", "bye"}, told.Log); diff != "" {
			t.Error(diff)
		}
		u.Fails = false
		s.bring(s.service("a", nil)...)
		if u.State.Active != "active" {
			t.Errorf("the next apply left it %s", u.State.Active)
		}
	})
}

func TestReloadThatSystemdCouldNotDo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, u := relayMachine(t)
		s := m.lock()
		s.bring(s.service("a", map[string]string{"one": "1"})...)
		u.Refuses = machine.ReloadUnit
		_, err := s.apply(s.plan(s.service("a", map[string]string{"one": "2"})...))
		want := "unit relay.service runs on as before: reload relay.service: job failed: failed"
		if err == nil || !strings.HasSuffix(err.Error(), want+"; put back as before: /etc/workers.d/one; and that failed, too: "+want) {
			t.Errorf("the error is %v", err)
		}
		if m.Read("/etc/workers.d/one") != "1" || !u.Fresh() {
			t.Errorf("%s stands there; the unit is %+v", m.Read("/etc/workers.d/one"), u)
		}
	})
}

func TestRestartIsOwedUntilItIsDone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, u := relayMachine(t)
		s := m.lock()
		s.bring(s.service("a", nil)...)
		u.Fails = true
		if _, err := s.apply(s.plan(s.service("b", nil)...)); err == nil {
			t.Fatal("no error")
		}
		if len(m.owed("relay.service")) == 0 {
			t.Error("the restart is not owed any more")
		}
		u.Fails = false
		u.Start() // as systemd might, and it may have read the old file for all we know
		u.Jobs = nil
		s.bring(s.service("b", nil)...)
		if !slices.Equal(u.Jobs, []machine.JobVerb{machine.RestartUnit}) {
			t.Errorf("did %v", u.Jobs)
		}
		if owed := m.owed("relay.service"); len(owed) > 0 {
			t.Errorf("still owed: %v", owed)
		}
	})
}

func TestIntentOfAStepThatNeverRanIsDropped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, u := relayMachine(t)
		s := m.lock()
		s.bring(s.service("a", nil)...)
		u.Jobs = nil
		steps := s.plan(append(s.service("b", nil), resource(plan.KindPackage, "nonsense", plan.AttrInstalled, plan.Yes))...)
		if _, err := s.apply(steps); err == nil {
			t.Fatal("no error")
		}
		if steps := s.plan(s.service("a", nil)...); len(steps) > 0 {
			t.Errorf("planned %v", steps)
		}
	})
}

func TestUnitInTheWayIsTurnedOffAndStaysOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMachine(t)
		m.Write("/lib/systemd/system/apache2.service", "[Service]\n")
		u := m.Systemd.Unit("apache2.service")
		u.Enabled = true
		u.Start()
		s := m.lock()
		off := resource(plan.KindUnit, "apache2.service", plan.AttrEnabled, plan.No, plan.AttrRunning, plan.No)
		step := plan.Change{ID: off.ID, Action: plan.Update, Adopt: true, Resource: &off, Fact: m.observe(off).Find(off.ID)}
		if _, err := s.apply([]plan.Change{step}); err != nil {
			t.Fatal(err)
		}
		if u.Enabled || u.State.Active != "inactive" {
			t.Errorf("the unit is %+v", u)
		}
		applied := m.observe().Find(off.ID).Applied
		if applied == nil || applied.Made || applied.Have[plan.AttrRunning] != plan.No {
			t.Errorf("the manifest says %+v", applied)
		}
	})
}

func TestProgramOfARunningUnit(t *testing.T) {
	for _, test := range []struct {
		name, runs string
		stale      bool
	}{{"the same bytes", "new", false}, {"other bytes", "old", true}} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m := newMachine(t)
				s := m.lock()
				program := s.program("relay-server", "1", "new")
				of := plan.Unit{Program: &program.ID}
				s.bring(program, s.file(serviceFile, "[Service]\n"), unit("relay.service", of))
				m.Systemd.Unit("relay.service").State.MainPID = 4711
				m.Write("/proc/4711/exe", test.runs)
				stale := m.observe(unit("relay.service", of)).Find(relayUnit().ID).Stale
				if got := slices.Contains(stale, program.ID); got != test.stale {
					t.Errorf("stale: %v", stale)
				}
			})
		})
	}
}
