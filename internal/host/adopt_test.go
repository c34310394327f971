package host_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/host"
	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/host/machine/machinetest"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// takeOff is the step that takes over a unit of somebody else, which plan
// makes of a port that it holds.
func takeOff(fact plan.Fact) plan.Change {
	off := map[string]plan.Value{plan.AttrEnabled: plan.Known(plan.No), plan.AttrRunning: plan.Known(plan.No)}
	return plan.Change{ID: fact.ID, Action: plan.Update, Adopt: true, Fact: fact, Resource: &plan.Resource{ID: fact.ID, Want: off}}
}

// keptOff is a unit that has to be off, and what that takes.
type keptOff struct {
	name    string
	file    string
	set     func(m *debian, u *machinetest.Unit)
	found   map[string]string
	pulled  []string // that the fact names: it can't be kept off
	masked  bool
	refused bool
}

func TestUnitThatIsKeptOff(t *testing.T) {
	for _, row := range []keptOff{
		{"enabled, by the link that it asks for", "/lib/systemd/system/web.service", func(m *debian, u *machinetest.Unit) {
			u.Enabled, u.State.PulledBy = true, []string{"multi-user.target"}
			m.Write("/etc/systemd/system/multi-user.target.wants/web.service", "")
		}, map[string]string{"enabled": "yes", "running": "yes"}, nil, false, false},
		{"static, pulled by nobody", "/etc/systemd/system/web.service", func(_ *debian, u *machinetest.Unit) { u.State.FileState = "static" },
			map[string]string{"enabled": "no", "running": "yes"}, nil, false, false},
		{"static, pulled by a target", "/lib/systemd/system/web.service", func(_ *debian, u *machinetest.Unit) {
			u.State.FileState, u.State.PulledBy = "static", []string{"site.target"}
		}, map[string]string{"enabled": "yes", "running": "yes"}, nil, true, false},
		{"where the mask would go", "/etc/systemd/system/web.service", func(_ *debian, u *machinetest.Unit) {
			u.State.FileState, u.State.PulledBy = "static", []string{"site.target", "site.target"}
		}, map[string]string{"enabled": "yes", "running": "yes"}, []string{"site.target"}, false, true},
		{"of an init script", "/lib/systemd/system/web.service", func(_ *debian, u *machinetest.Unit) {
			u.State.FileState, u.State.PulledBy = "generated", []string{"graphical.target"}
		}, map[string]string{"enabled": "yes", "running": "yes"}, nil, true, false},
		{"needed by what it starts itself", "/etc/systemd/system/web.service", func(m *debian, u *machinetest.Unit) {
			m.Write("/etc/systemd/system/page.service", "[Service]\n")
			m.Systemd.Unit("page.service").Start()
			u.State.PulledBy, u.State.Triggers = []string{"page.service"}, []string{"page.service"}
		}, map[string]string{"enabled": "no", "running": "yes"}, nil, false, false},
		{"needed by a service that is off", "/etc/systemd/system/web.service", func(_ *debian, u *machinetest.Unit) { u.State.PulledBy = []string{"gone.service"} },
			map[string]string{"enabled": "no", "running": "yes"}, nil, false, false},
		{"masked while it ran", "/lib/systemd/system/web.service", func(_ *debian, u *machinetest.Unit) {
			u.Masked, u.State.PulledBy = true, []string{"site.target"}
		}, map[string]string{"enabled": "no", "running": "yes"}, nil, true, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.run(t)
		})
	}
}

func (row keptOff) run(t *testing.T) {
	m := newMachine(t)
	m.Write(row.file, "[Service]\n")
	u := m.Systemd.Unit("web.service")
	u.Start()
	row.set(m, u)
	s := m.lock()
	fact := m.observe(plan.Resource{ID: plan.ID{Kind: plan.KindUnit, Name: "web.service"}}).Find(plan.ID{Kind: plan.KindUnit, Name: "web.service"})
	if diff := cmp.Diff(row.found, fact.Have); diff != "" || !slices.Equal(row.pulled, fact.PulledBy) {
		t.Errorf("found, pulled by %q (-want +got):\n%s", fact.PulledBy, diff)
	}
	_, err := s.apply([]plan.Change{takeOff(fact)})
	if refused := err != nil; refused != row.refused {
		t.Fatalf("refused: %v", err)
	}
	if row.refused {
		if !strings.Contains(err.Error(), "site.target") || u.State.Active != "active" {
			t.Errorf("the unit is %s; the error is %v", u.State.Active, err)
		}
		return
	}
	if u.Enabled || u.Masked != row.masked || u.State.Active != "inactive" {
		t.Errorf("the unit is %+v", u)
	}
	entry := m.observe(plan.Resource{ID: fact.ID}).Find(fact.ID).Applied
	if entry == nil || entry.Made || entry.Taken == nil || cmp.Diff(row.found, entry.Taken.Before) != "" {
		t.Errorf("the manifest has %+v", entry)
	}
}

// Wherever relay-host ends while it takes a unit over: the next plan needs no
// --adopt for what was begun, finishes it, and how the unit was is not lost.
func TestTakingOverThatIsCutOff(t *testing.T) {
	nginx := plan.ID{Kind: plan.KindUnit, Name: "nginx.service"}
	found := map[string]string{plan.AttrEnabled: plan.Yes, plan.AttrRunning: plan.Yes}
	for _, at := range []string{"before disable nginx.service", "after disable nginx.service", "before stop nginx.service", "after stop nginx.service"} {
		t.Run(at, func(t *testing.T) {
			m := newMachine(t)
			m.Write("/lib/systemd/system/nginx.service", "[Service]\n")
			u := m.Systemd.Unit(nginx.Name)
			u.Enabled = true
			u.Start()
			m.endAt(at, func() {
				s := m.lock()
				defer s.host.Close()
				s.apply([]plan.Change{takeOff(m.observe(plan.Resource{ID: nginx}).Find(nginx))})
			})
			seen := m.observe(plan.Resource{ID: nginx})
			begun := !u.Enabled
			if taken := seen.Find(nginx).Applied; (taken != nil) != begun || begun && cmp.Diff(found, taken.Taken.Before) != "" {
				t.Fatalf("begun: %v; the manifest has %+v", begun, taken)
			}
			if !begun {
				return
			}
			next := planOf(t, plan.Host{Role: plan.RoleProxy, Facts: seen}) // without --adopt
			if _, err := m.lock().apply(next.Changes); err != nil {
				t.Fatal(err)
			}
			if u.Enabled || u.State.Active != "inactive" {
				t.Errorf("the unit is %+v", u)
			}
			if left := m.observe().Find(nginx).Applied; left == nil || cmp.Diff(found, left.Taken.Before) != "" {
				t.Errorf("in the end the manifest has %+v", left)
			}
		})
	}
}

// endAt ends relay-host at a point of its work.
func (m *debian) endAt(point string, work func()) {
	m.T.Helper()
	m.Point = func(what string) {
		if what == point {
			panic(crash{what})
		}
	}
	defer func() {
		m.Point = func(string) {}
		if _, ok := recover().(crash); !ok {
			m.T.Fatalf("never came to %s", point)
		}
	}()
	work()
}

// A unit that was there for one run only is gone when it stops.
func TestUnitThatIsGoneWhenItStops(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	steps := []plan.Change{takeOff(plan.Fact{ID: plan.ID{Kind: plan.KindUnit, Name: "run-7.service"}, Exists: true})}
	if _, err := s.apply(steps); err != nil {
		t.Errorf("apply: %v", err)
	}
}

// A Caddy whose admin endpoint is off, or elsewhere, can't be told to load
// anything.
func TestCaddyThatTakesNoOrders(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMachine(t)
		m.ServeCaddy()
		if err := m.Install("caddy"); err != nil {
			t.Fatal(err)
		}
		m.Write("/etc/caddy/Caddyfile", "{\n\tadmin off\n}\n")
		m.Caddy.Runs = m.Read("/etc/caddy/Caddyfile")
		caddy := m.Systemd.Unit("caddy.service")
		caddy.Reads = []string{"/etc/caddy/Caddyfile"}
		caddy.Start()
		s := m.lock()
		s.adopt = true
		s.bring(s.caddy("ours\n")...)
		if m.Caddy.Runs != "ours\n" || !slices.Equal(caddy.Jobs, []machine.JobVerb{machine.RestartUnit}) {
			t.Errorf("Caddy runs %q after %v", m.Caddy.Runs, caddy.Jobs)
		}
		if steps := s.plan(s.caddy("ours\n")...); len(steps) > 0 {
			t.Errorf("a second plan has %v", steps)
		}
	})
}

func TestSitesOfAServerInTheWay(t *testing.T) {
	m := newMachine(t)
	m.Write("/lib/systemd/system/nginx.service", "[Service]\n")
	m.Write("/etc/nginx/sites-enabled/default", "server {\n\tlisten 80 default_server;\n\tserver_name _;\n\t# server_name old.example.com;\n}\n")
	m.Write("/etc/nginx/sites-enabled/blog", "server {\n\tserver_name blog.example.com www.blog.example.com; # both\n}\n")
	m.Write("/etc/nginx/conf.d/api.conf", "server { listen 80;\n  server_name\tapi.example.com;\n}\nserver {\n server_name blog.example.com;\n}\n")
	m.Write("/etc/nginx/sites-available/off", "server {\n\tserver_name off.example.com;\n}\n")
	m.Mkdir("/etc/nginx/sites-enabled/folder")
	nginx := plan.ID{Kind: plan.KindUnit, Name: "nginx.service"}
	got := m.observe(plan.Resource{ID: nginx}).Find(nginx).Serves
	if diff := cmp.Diff([]string{"api.example.com", "blog.example.com", "www.blog.example.com"}, got); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
}

// sockets is what systemd listens for.
type sockets []machine.SocketUnit

func (s sockets) SocketUnits(context.Context) ([]machine.SocketUnit, error) { return s, nil }

func TestSocketUnitsAreNamed(t *testing.T) {
	m := newMachine(t)
	m.Write("/proc/net/tcp6", "sl local remote st\n"+
		"0: 00000000000000000000000000000000:01BB 0:0 0A 0:0 0:0 0 0 0 71 1\n"+
		"1: 00000000000000000000000000000000:0050 0:0 0A 0:0 0:0 0 0 0 72 1\n")
	m.Write("/proc/1/comm", "systemd\n")
	m.Write("/proc/1/cgroup", "0::/init.scope\n")
	m.Mkdir("/proc/1/fd")
	for fd, inode := range map[string]string{"3": "71", "4": "72"} {
		if err := os.Symlink("socket:["+inode+"]", m.Path("/proc/1/fd/"+fd)); err != nil {
			t.Fatal(err)
		}
	}
	m.Write("/etc/systemd/system/web.socket", "[Socket]\n")
	m.Write("/etc/systemd/system/web.service", "[Service]\n")
	m.Systemd.Unit("web.socket").State.Triggers = []string{"web.service"}
	m.Systemd.Unit("web.service").State.TriggeredBy = []string{"web.socket"}
	config := m.Config()
	config.Sockets = sockets{
		{Name: "other.socket", Listens: []string{"/run/other.sock", "0.0.0.0:443", "[::]:4430"}},
		{Name: "web.socket", Listens: []string{"[::]:443"}},
	}
	h := host.New(host.Config{Version: "1.0.0", Machine: machine.New(config)})
	seen, err := h.Observe(t.Context(), hostapi.Observe{})
	if err != nil {
		t.Fatal(err)
	}
	want := []plan.Listener{
		{Address: "::", Port: 80, Process: "systemd", PID: 1},
		{Address: "::", Port: 443, Process: "systemd", PID: 1, Unit: "web.socket"},
	}
	if diff := cmp.Diff(want, seen.Facts.Listeners); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
	service := seen.Facts.Find(plan.ID{Kind: plan.KindUnit, Name: "web.service"})
	if !service.Exists || !slices.Equal(service.StartedBy, []string{"web.socket"}) {
		t.Errorf("the service that the socket starts is %+v", service)
	}
}
