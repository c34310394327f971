package host_test

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// caddyMachine has Caddy installed and running under relayctl, and a relay
// that writes down what it is told.
func caddyMachine(t *testing.T) (*debian, *session, *[]string) {
	m := newMachine(t)
	m.serveCaddy(t)
	told := &[]string{}
	serveSocket(t, m, "/run/relay.sock", func(_ http.ResponseWriter, r *http.Request) {
		*told = append(*told, r.Method+" "+r.URL.Path)
	})
	m.systemd.unit("caddy.service").reads = []string{"/etc/caddy/Caddyfile"}
	s := m.lock()
	s.bring(s.caddy("one\n")...)
	*told = nil
	return m, s, told
}

// caddySocket is where every Caddyfile of the tests has its admin endpoint.
const caddySocket = "/run/caddy.sock"

// ownAdmin and usualAdmin are where Caddy takes orders by the stack's Caddyfile,
// and by none.
const (
	ownAdmin   = "unix//var/lib/caddy/relayctl/admin.sock"
	usualAdmin = "localhost:2019"
)

// serveCaddy says what Caddy runs, at its admin endpoint, wherever that is now.
func (m *debian) serveCaddy(t testing.TB) {
	says := func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(m.caddyTakesOrders(), "unix/") != (r.Host == "") {
			http.Error(w, `{"error":"host not allowed"}`, http.StatusForbidden)
			return
		}
		w.Write(adapted(m.caddyRuns))
	}
	m.mkdir("/var/lib/caddy/relayctl")
	for _, socket := range []string{caddySocket, strings.TrimPrefix(ownAdmin, "unix/")} {
		serveSocket(t, m, socket, says)
		m.caddyListens[m.path(socket)] = true
	}
	for _, address := range []string{"127.0.0.1:2019", "127.0.0.1:2020"} {
		serve(t, m, address, says)
		m.caddyListens[address] = true
	}
}

func (s *session) caddy(caddyfile string) []plan.Resource {
	file := s.file("/etc/caddy/Caddyfile", caddyfile)
	file.Check = plan.CheckCaddy
	return []plan.Resource{caddyPackage, file, unit("caddy.service", plan.Unit{
		Reload: []plan.ID{file.ID}, Reloader: plan.ReloadCaddy, Drain: "/run/relay.sock",
	})}
}

func TestCaddyTakesItsFile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, s, told := caddyMachine(t)
		if m.caddyRuns != "one\n" {
			t.Fatalf("Caddy runs %q", m.caddyRuns)
		}
		s.bring(s.caddy("two\n")...)
		if m.caddyRuns != "two\n" || !slices.Equal(*told, []string{"POST /v1/drain"}) {
			t.Errorf("Caddy runs %q; the relay was told %q", m.caddyRuns, *told)
		}
		if steps := s.plan(s.caddy("two\n")...); len(steps) > 0 {
			t.Errorf("a second plan has %v", steps)
		}
	})
}

func TestCaddyIsNotReloadedForNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, s, told := caddyMachine(t)
		m.caddyRuns = "two\n" // it was loaded just before relay-host ended
		m.commands = nil
		s.bring(s.caddy("two\n")...)
		if len(*told) > 0 || slices.ContainsFunc(m.commands, func(line string) bool { return strings.HasPrefix(line, "caddy reload") }) {
			t.Errorf("ran %q; the relay was told %q", m.commands, *told)
		}
	})
}

func TestRefusedCaddyfileIsPutBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, s, told := caddyMachine(t)
		m.refuseReload = "bad"
		_, err := s.apply(s.plan(s.caddy("bad\n")...))
		if code(err) != hostapi.CodeStep || !strings.HasSuffix(err.Error(), "caddy reload refused Caddyfile; put back as before: /etc/caddy/Caddyfile") {
			t.Errorf("the error is %v", err)
		}
		if got := m.read("/etc/caddy/Caddyfile"); got != "one\n" || m.caddyRuns != "one\n" {
			t.Errorf("the file is %q, Caddy runs %q", got, m.caddyRuns)
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
		if err := os.Remove(m.path("/run/relay.sock")); err != nil {
			t.Fatal(err)
		}
		s.bring(s.caddy("two\n")...)
		if m.caddyRuns != "two\n" {
			t.Errorf("Caddy runs %q", m.caddyRuns)
		}
	})
}

// A host that leaves the stack keeps what was found there: Caddy, with the
// file that its owner wrote.
func TestFoundCaddyGetsItsOwnFileBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMachine(t)
		m.serveCaddy(t)
		if err := m.apt([]string{"install"}, "caddy"); err != nil {
			t.Fatal(err)
		}
		m.write("/etc/caddy/Caddyfile", "theirs\n")
		m.systemd.unit("caddy.service").reads = []string{"/etc/caddy/Caddyfile"}
		s := m.lock()
		s.adopt = true
		s.bring(s.caddy("ours\n")...)
		if m.caddyRuns != "ours\n" {
			t.Fatalf("Caddy runs %q", m.caddyRuns)
		}
		s.bring()
		caddy := m.systemd.unit("caddy.service")
		if !m.packages["caddy"].installed || caddy.state.Active != "active" || caddy.loaded["/etc/caddy/Caddyfile"] != "theirs\n" {
			t.Errorf("Caddy is %+v", caddy)
		}
		if err := s.host.Finish(hostapi.Finish{Stack: "home", Forget: true}); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(m.path("/var/lib/relayctl"))
		if err != nil || len(entries) != 1 || entries[0].Name() != "generations" {
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
		{"at a socket, written down", "one\n", `{"admin":{"listen":"unix/` + caddySocket + `"}}`, nil},
		{"at another port, written nowhere", "one\nadmin localhost:2020\n", "", []machine.JobVerb{machine.RestartUnit}},
		{"nowhere", "one\nadmin off\n", `{"admin":{"disabled":true}}`, []machine.JobVerb{machine.RestartUnit}},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m, s, told := caddyMachine(t)
				s.bring(s.caddy(row.before)...)
				if row.wrote != "" {
					m.write(autosave, row.wrote)
				}
				caddy := m.systemd.unit("caddy.service")
				caddy.jobs, *told = nil, nil
				s.bring(s.caddy("two\nadmin " + ownAdmin + "\n")...)
				if m.caddyRuns != "two\nadmin "+ownAdmin+"\n" || !slices.Equal(caddy.jobs, row.job) || !slices.Equal(*told, []string{"POST /v1/drain"}) {
					t.Errorf("Caddy runs %q after %v; the relay was told %q", m.caddyRuns, caddy.jobs, *told)
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
			m.write("/proc/net/tcp", fmt.Sprintf("0: 0100007F:07E3 00000000:0000 0A 0:0 0:0 0 %d 0 71 1\n", uid))
			caddy := m.systemd.unit("caddy.service")
			caddy.jobs = nil
			s.bring(s.caddy("two\nadmin " + ownAdmin + "\n")...)
			if did := slices.Contains(caddy.jobs, machine.RestartUnit); did != (job != "") {
				t.Errorf("user %d listens: did %v", uid, caddy.jobs)
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
		m.refuseReload = "bad"
		_, err := s.apply(s.plan(s.caddy("bad\nadmin " + ownAdmin + "\n")...))
		if code(err) != hostapi.CodeStep || !strings.HasSuffix(err.Error(), "put back as before: /etc/caddy/Caddyfile") {
			t.Errorf("the error is %v", err)
		}
		if got := m.read("/etc/caddy/Caddyfile"); got != before || m.caddyRuns != before || m.caddyMoved != "" {
			t.Errorf("the file is %q; Caddy runs %q and takes orders at %q", got, m.caddyRuns, m.caddyTakesOrders())
		}
		if steps := s.plan(s.caddy(before)...); len(steps) > 0 {
			t.Errorf("a plan of what was before has %v", steps)
		}
	})
}
