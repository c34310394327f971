package e2e_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/test/lab"
)

// Things of somebody else on the proxy host: a Caddyfile, a service on port
// 443, and a process of no service on the relay's port.
const (
	foreignCaddyfile = "# written by hand\nhttp:// {\n\trespond \"my own site\"\n}\n"
	foreignUnit      = `[Service]
ExecStart=python3 -c 'import socket,time; s=socket.socket(); s.bind(("",443)); s.listen(); time.sleep(1e6)'
[Install]
WantedBy=multi-user.target
`
	foreignProcess = `setsid python3 -c 'import socket,time; s=socket.socket(); s.bind(("127.0.0.1",8080)); s.listen(); time.sleep(1e6)' ` +
		`>/dev/null 2>&1 </dev/null & echo $!`
)

// TestAdopt puts things of somebody else in the way of the first apply.
func TestAdopt(t *testing.T) {
	s := newSite(t)
	lab.MustRun(t, s.Edge, "apt-get -q -y --no-install-recommends install caddy")
	s.put(s.Edge, "/etc/caddy/Caddyfile", foreignCaddyfile)
	lab.MustRun(t, s.Edge, "systemctl reload caddy")

	s.step("nobody to ask", func() {
		s.stops([]string{"apply", "--keys-out", "keys"},
			"apply asks before it changes anything", "relayctl apply --yes")
		s.stops([]string{"apply", "--yes", "--adopt"},
			"nobody to give new keys to", "--keys-out FILE", "Nothing was changed.")
	})
	s.step("a Caddyfile", func() {
		want(s.t, s.mustRelayctl("plan"), "! file /etc/caddy/Caddyfile", "not made by relayctl (see --diff)",
			"stops apply; --adopt takes it over and keeps the original", "relayctl apply --adopt stack.hcl")
		want(s.t, s.mustRelayctl("plan", "--diff"), "-# written by hand", `-	respond "my own site"`)
		s.stops([]string{"apply", "--yes", "--keys-out", "keys"},
			"Error: edge: file /etc/caddy/Caddyfile: not made by relayctl", `proxy "edge" {`, "relayctl apply --adopt stack.hcl")
	})
	s.put(s.Edge, "/etc/systemd/system/other.service", foreignUnit)
	lab.MustRun(t, s.Edge, "systemctl daemon-reload && systemctl enable --now other")
	pid := lab.MustRun(t, s.Edge, foreignProcess)
	s.step("taken ports", func() {
		s.awaitListening(443, 8080)
		want(s.t, s.mustRelayctl("plan"), "! unit other", "holds port 443, which caddy needs", "--adopt stops and disables it",
			"! port 8080", "held by python3 (pid "+pid+"), which no unit runs; relay-server needs it", "stops apply, also with --adopt")
		s.stops([]string{"apply", "--yes", "--keys-out", "keys", "--adopt"},
			"Error: edge: port 8080: held by python3 (pid "+pid+"), which no unit runs; relay-server needs it", `proxy "edge" {`,
			"Clear what is in the way, then run apply again.")
	})
	lab.MustRun(t, s.Edge, "kill "+pid)
	s.step("taken over", func() {
		want(s.t, s.apply("--adopt"), "~ unit other", "~ file /etc/caddy/Caddyfile", "taken over; the original is kept on the host",
			"stub answered through")
		s.mustBeDone()
		kept := lab.MustRun(s.t, s.Edge, "cat /var/lib/relayctl/generations/0/etc/caddy/Caddyfile") + "\n"
		if diff := cmp.Diff(foreignCaddyfile, kept); diff != "" {
			s.t.Errorf("the original is not kept (-want +got):\n%s", diff)
		}
		s.mustBeOff("other")
	})
	s.step("kept off", func() {
		lab.MustRun(s.t, s.Edge, "systemctl enable other")
		want(s.t, s.mustRelayctl("plan"), "~ unit other", "enabled → disabled", "taken over before")
		s.apply()
		s.mustBeDone()
		s.mustBeOff("other")
	})
}

// stops runs relayctl, which has to say why it does nothing, and holds that no
// host was changed.
func (s *site) stops(args []string, says ...string) {
	s.t.Helper()
	before, services := s.snapshots(), s.services()
	r := s.relayctl(args...)
	if r.code != 1 {
		s.t.Errorf("exit code %d, want 1", r.code)
	}
	want(s.t, r.out, says...)
	if diff := cmp.Diff(before, s.snapshots()); diff != "" {
		s.t.Errorf("a host was changed (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(services, s.services()); diff != "" {
		s.t.Errorf("services changed (-before +after):\n%s", diff)
	}
}

func (s *site) put(h *lab.Host, path, content string) {
	s.t.Helper()
	if err := h.WriteFile(s.t.Context(), path, []byte(content), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// mustBeOff fails where a unit of the proxy host runs, or would at boot.
func (s *site) mustBeOff(unit string) {
	s.t.Helper()
	got := lab.MustRun(s.t, s.Edge, "systemctl is-active "+unit+"; systemctl is-enabled "+unit+"; true")
	if got != "inactive\ndisabled" {
		s.t.Errorf("unit %s: %q", unit, got)
	}
}

// awaitListening waits until somebody listens on ports of the proxy host.
func (s *site) awaitListening(ports ...int) {
	s.t.Helper()
	for _, port := range ports {
		line := fmt.Sprintf("ss --no-header --listening --tcp 'sport = :%d'", port)
		s.await(s.t, line, func() bool { return lab.MustRun(s.t, s.Edge, line) != "" })
	}
}
