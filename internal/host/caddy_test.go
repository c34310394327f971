package host_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/host/machine/machinetest"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// caddyMachine has Caddy installed and running under relayctl, and a relay
// that writes down what it is told.
func caddyMachine(t *testing.T) (*debian, *session, *[]string) {
	m := newMachine(t)
	m.ServeCaddy()
	told := &[]string{}
	m.ServeSocket("/run/relay.sock", func(_ http.ResponseWriter, r *http.Request) {
		*told = append(*told, r.Method+" "+r.URL.Path)
	})
	m.Systemd.Unit("caddy.service").Reads = []string{"/etc/caddy/Caddyfile"}
	s := m.lock()
	s.bring(s.caddy("one\n")...)
	*told = nil
	return m, s, told
}

// ownAdmin and usualAdmin are where Caddy takes orders by the stack's Caddyfile,
// and by none.
const (
	ownAdmin   = "unix//var/lib/caddy/relayctl/admin.sock"
	usualAdmin = "localhost:2019"
)

func (s *session) caddy(caddyfile string) []plan.Resource {
	file := s.file("/etc/caddy/Caddyfile", caddyfile)
	file.Check = plan.LifecycleCaddy
	return []plan.Resource{caddyPackage, file, unit("caddy.service", plan.Unit{
		Reload: []plan.ID{file.ID}, Lifecycle: plan.LifecycleCaddy, Drain: "/run/relay.sock",
	})}
}

func TestCaddyTakesItsFile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, s, told := caddyMachine(t)
		if m.Caddy.Runs != "one\n" {
			t.Fatalf("Caddy runs %q", m.Caddy.Runs)
		}
		s.bring(s.caddy("two\n")...)
		if m.Caddy.Runs != "two\n" || !slices.Equal(*told, []string{"POST /v1/drain"}) {
			t.Errorf("Caddy runs %q; the relay was told %q", m.Caddy.Runs, *told)
		}
		if steps := s.plan(s.caddy("two\n")...); len(steps) > 0 {
			t.Errorf("a second plan has %v", steps)
		}
	})
}

func TestCaddyIsNotReloadedForNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, s, told := caddyMachine(t)
		m.Caddy.Runs = "two\n" // it was loaded just before relay-host ended
		m.Commands = nil
		s.bring(s.caddy("two\n")...)
		if len(*told) > 0 || slices.ContainsFunc(m.Commands, func(line string) bool { return strings.HasPrefix(line, "caddy reload") }) {
			t.Errorf("ran %q; the relay was told %q", m.Commands, *told)
		}
	})
}

func TestRefusedCaddyfileIsPutBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, s, told := caddyMachine(t)
		m.Caddy.RefusesReload = "bad"
		_, err := s.apply(s.plan(s.caddy("bad\n")...))
		if code(err) != hostapi.CodeStep || !strings.HasSuffix(err.Error(), "caddy reload refused Caddyfile; put back as before: /etc/caddy/Caddyfile") {
			t.Errorf("the error is %v", err)
		}
		if got := m.Read("/etc/caddy/Caddyfile"); got != "one\n" || m.Caddy.Runs != "one\n" {
			t.Errorf("the file is %q, Caddy runs %q", got, m.Caddy.Runs)
		}
		if !slices.Equal(*told, []string{"POST /v1/drain", "POST /v1/resume"}) {
			t.Errorf("the relay was told %q", *told)
		}
		if steps := s.plan(s.caddy("one\n")...); len(steps) > 0 {
			t.Errorf("a plan of what was before has %v", steps)
		}
	})
}

func TestCaddyWithoutARelay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, s, _ := caddyMachine(t)
		if err := os.Remove(m.Path("/run/relay.sock")); err != nil {
			t.Fatal(err)
		}
		s.bring(s.caddy("two\n")...)
		if m.Caddy.Runs != "two\n" {
			t.Errorf("Caddy runs %q", m.Caddy.Runs)
		}
	})
}

// A host that leaves the stack keeps what was found there: Caddy, with the
// file that its owner wrote.
func TestFoundCaddyGetsItsOwnFileBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMachine(t)
		m.ServeCaddy()
		if err := m.Install("caddy"); err != nil {
			t.Fatal(err)
		}
		m.Write("/etc/caddy/Caddyfile", "theirs\n")
		m.Systemd.Unit("caddy.service").Reads = []string{"/etc/caddy/Caddyfile"}
		s := m.lock()
		s.adopt = true
		s.bring(s.caddy("ours\n")...)
		if m.Caddy.Runs != "ours\n" {
			t.Fatalf("Caddy runs %q", m.Caddy.Runs)
		}
		s.bring()
		caddy := m.Systemd.Unit("caddy.service")
		if !m.Packages["caddy"].Installed || caddy.State.Active != "active" || caddy.Loaded["/etc/caddy/Caddyfile"] != "theirs\n" {
			t.Errorf("Caddy is %+v", caddy)
		}
		if err := s.host.Finish(hostapi.Finish{Stack: "home", Forget: true}); err != nil {
			t.Fatal(err)
		}
		if entries, err := os.ReadDir(m.Path("/var/lib/relayctl")); !errors.Is(err, fs.ErrNotExist) { // the original stands in its place
			t.Errorf("left behind: %v, %v", entries, err)
		}
	})
}

// Caddy takes orders where the configuration says that it runs, which may be
// elsewhere than the new one says: it is told there, and not restarted.
func TestCaddyThatTakesOrdersElsewhere(t *testing.T) {
	const autosave = "/var/lib/caddy/.config/caddy/autosave.json"
	for _, row := range []struct {
		name, before, wrote string
		job                 []machine.JobVerb
	}{
		{"as relayctl 0.1 had it", "one\nadmin " + usualAdmin + "\n", "", nil},
		{"the same place", "one\nadmin " + ownAdmin + "\n", "", nil},
		{"at another port, written down", "one\nadmin localhost:2020\n", `{"admin":{"listen":"localhost:2020"}}`, nil},
		{"at a socket, written down", "one\n", `{"admin":{"listen":"unix/` + machinetest.CaddySocket + `"}}`, nil},
		{"at another port, written nowhere", "one\nadmin localhost:2020\n", "", []machine.JobVerb{machine.RestartUnit}},
		{"nowhere", "one\nadmin off\n", `{"admin":{"disabled":true}}`, []machine.JobVerb{machine.RestartUnit}},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m, s, told := caddyMachine(t)
				s.bring(s.caddy(row.before)...)
				if row.wrote != "" {
					m.Write(autosave, row.wrote)
				}
				caddy := m.Systemd.Unit("caddy.service")
				caddy.Jobs, *told = nil, nil
				s.bring(s.caddy("two\nadmin " + ownAdmin + "\n")...)
				if m.Caddy.Runs != "two\nadmin "+ownAdmin+"\n" || !slices.Equal(caddy.Jobs, row.job) || !slices.Equal(*told, []string{"POST /v1/drain"}) {
					t.Errorf("Caddy runs %q after %v; the relay was told %q", m.Caddy.Runs, caddy.Jobs, *told)
				}
				if steps := s.plan(s.caddy("two\nadmin " + ownAdmin + "\n")...); len(steps) > 0 {
					t.Errorf("a second plan has %v", steps)
				}
			})
		})
	}
}

// Where Caddy does not listen on a port, anybody may: nobody else is told in
// Caddy's place.
func TestSomebodyElseOnCaddysPort(t *testing.T) {
	for uid, job := range map[int]machine.JobVerb{os.Getuid() + 1: "", os.Getuid() + 2: machine.RestartUnit} {
		bubble(t, func(t *testing.T) {
			m, s, _ := caddyMachine(t)
			s.bring(s.caddy("one\nadmin " + usualAdmin + "\n")...)
			m.Write("/proc/net/tcp", fmt.Sprintf("0: 0100007F:07E3 00000000:0000 0A 0:0 0:0 0 %d 0 71 1\n", uid))
			caddy := m.Systemd.Unit("caddy.service")
			caddy.Jobs = nil
			s.bring(s.caddy("two\nadmin " + ownAdmin + "\n")...)
			if did := slices.Contains(caddy.Jobs, machine.RestartUnit); did != (job != "") {
				t.Errorf("user %d listens: did %v", uid, caddy.Jobs)
			}
		})
	}
}

// A reload that is refused has moved the admin endpoint by then: Caddy runs on
// as before, and takes orders where it did before.
func TestRefusedReloadThatMovedCaddy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, s, _ := caddyMachine(t)
		before := "one\nadmin " + usualAdmin + "\n"
		s.bring(s.caddy(before)...)
		m.Caddy.RefusesReload = "bad"
		_, err := s.apply(s.plan(s.caddy("bad\nadmin " + ownAdmin + "\n")...))
		if code(err) != hostapi.CodeStep || !strings.HasSuffix(err.Error(), "put back as before: /etc/caddy/Caddyfile") {
			t.Errorf("the error is %v", err)
		}
		if got := m.Read("/etc/caddy/Caddyfile"); got != before || m.Caddy.Runs != before || m.Caddy.Moved != "" {
			t.Errorf("the file is %q; Caddy runs %q and takes orders at %q", got, m.Caddy.Runs, m.CaddyTakesOrders())
		}
		if steps := s.plan(s.caddy(before)...); len(steps) > 0 {
			t.Errorf("a plan of what was before has %v", steps)
		}
	})
}

// Of a Caddyfile that somebody else wrote, and that relayctl would replace, the
// host tells the sites.
func TestSitesOfAFileInTheWay(t *testing.T) {
	m := newMachine(t)
	m.Write("/etc/caddy/Caddyfile", "import /etc/more\nblog.example.com {\n}\n")
	want := plan.Resource{ID: fileID("/etc/caddy/Caddyfile"), Check: plan.LifecycleCaddy}
	fact := m.observe(want).Find(want.ID)
	if diff := cmp.Diff([][]string{{"blog.example.com"}, {"/etc/more"}}, [][]string{fact.Serves, fact.Imports}); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
}
