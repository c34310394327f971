package e2e_test

import (
	"strings"
	"testing"

	"github.com/relayctl/relayctl/test/lab"
)

// TestCaddyTakesOrdersElsewhere takes over a Caddy of Debian 12 that takes its
// orders anywhere: it is told there, and goes on without a restart.
func TestCaddyTakesOrdersElsewhere(t *testing.T) {
	s := newHandMade(t, lab.Spec{Name: "edge", Suite: lab.Bookworm}, lab.Spec{Name: "gpu-1", Suite: lab.Trixie})
	engine, err := s.Workers[0].StartStubEngine(t.Context(), lab.StubOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.writeHome("gpu-1.key", engine.Key)
	s.secrets = append(s.secrets, engine.Key)
	s.writeStack(s.stack())
	lab.MustRun(t, s.Edge, "apt-get -q -y --no-install-recommends install caddy")
	s.put(s.Edge, "/etc/caddy/Caddyfile", "{\n\tadmin localhost:2020\n}\n"+foreignCaddyfile)
	lab.MustRun(t, s.Edge, "systemctl restart caddy")

	// moves applies, and holds that Caddy takes its orders by the socket alone then.
	moves := func(restarts bool, args ...string) {
		s.t.Helper()
		before := s.services()["edge"]["caddy.service"]
		want(s.t, s.apply(args...), "stub answered through https://"+domain)
		if after := s.services()["edge"]["caddy.service"]; (after != before) != restarts {
			s.t.Errorf("Caddy was restarted: %v, want %v", after != before, restarts)
		}
		for _, port := range []string{"2019", "2020"} {
			equal(s, port, "", lab.MustRun(s.t, s.Edge, "ss --no-header --listening --tcp 'sport = :"+port+"'"))
		}
		lab.MustRun(s.t, s.Edge, "systemctl reload caddy && test -S /var/lib/caddy/relayctl/admin.sock")
		s.mustBeDone()
	}
	// loads has Caddy load the stack's Caddyfile with something else for where
	// it takes orders.
	loads := func(admin string) {
		s.t.Helper()
		lab.MustRun(s.t, s.Edge, `sed -i 's#^\tadmin .*#`+admin+`#' /etc/caddy/Caddyfile && caddy reload --config /etc/caddy/Caddyfile --address unix//var/lib/caddy/relayctl/admin.sock`)
	}
	s.step("taken over", func() { moves(false, "--adopt") })
	s.step("as relayctl had it before", func() {
		loads("")
		lab.MustRun(s.t, s.Edge, "curl -s --fail -o /dev/null http://127.0.0.1:2019/config/")
		want(s.t, s.mustRelayctl("plan"), "~ file /etc/caddy/Caddyfile", "↻ reload caddy")
		moves(false)
		log := lab.MustRun(s.t, s.Edge, "journalctl -u relay-server -o cat --no-pager | tail -n 20")
		if !strings.Contains(log, "workers told to come back") {
			s.t.Errorf("the worker was not told to come back:\n%s", log)
		}
	})
	s.step("nowhere", func() {
		loads(`\tadmin off`)
		moves(true)
	})
	s.step("killed", func() {
		lab.MustRun(s.t, s.Edge, "systemctl kill --signal=KILL caddy; systemctl reset-failed caddy; systemctl start caddy")
		s.mustBeDone()
		moves(false)
	})
	s.step("back", func() {
		s.mustRelayctl("destroy", "--yes")
		s.awaitListening(80, 2020)
	})
}
