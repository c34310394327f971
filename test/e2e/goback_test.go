package e2e_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/test/lab"
)

// TestFormerFilesComeBack has services refuse their new files, at a reload and
// at a restart: they run on with what they had, and would after a boot.
func TestFormerFilesComeBack(t *testing.T) {
	s := appliedSite(t)
	stack := s.stack()
	const server, worker = "relay-server", "relay-worker"
	s.step("settings that the relay refuses", func() {
		lab.MustRun(s.t, s.Edge, "nsenter --mount --target "+pidOf(server)+" mount --bind /dev/null /etc/relay/keys.json") // to it, that is empty
		s.writeStack(strings.Replace(stack, "  tls \"internal\" {}", "  tls \"internal\" {}\n  relay {\n    max_queue = 7\n  }", 1))
		s.goesBack(s.Edge, server, "Error: edge: unit relay-server.service runs, but refused its new settings: ", "/etc/relay/keys.json",
			"put back as before: /etc/relay/relay.json")
	})
	s.step("a Caddyfile that Caddy refuses", func() {
		lab.MustRun(s.t, s.Edge, "nsenter --mount --target "+pidOf("caddy")+" mount --bind /dev/null /etc/caddy/relayctl/ca.key") // its validation sees it
		s.writeStack(strings.Replace(stack, "  tls \"internal\" {}", "  tls \"internal\" {}\n  relay {\n    request_timeout = \"50m\"\n  }", 1))
		s.goesBack(s.Edge, "caddy", "Error: edge: unit caddy.service: caddy reload refused Caddyfile; put back as before: /etc/caddy/Caddyfile")
		s.apply()
		s.mustBeDone()
	})
	s.step("settings that a worker does not come to load", func() {
		lab.MustRun(s.t, s.Workers[0], "prlimit --pid "+pidOf(worker)+" --nofile=3:")
		s.writeStack(strings.Replace(stack, "concurrency = 8", "concurrency = 9", 1))
		s.goesBack(s.Workers[0], worker, "Error: gpu-1: unit relay-worker.service runs, but did not take its new settings; ", "put back as before: /etc/relay/worker.json")
	})
	s.step("an address that the relay can't have", func() {
		s.writeStack(stack)
		s.apply()
		lab.MustRun(s.t, s.Edge, "echo 2000 > /proc/sys/net/ipv4/ip_unprivileged_port_start")
		s.writeStack(strings.Replace(stack, "  tls \"internal\" {}", "  tls \"internal\" {}\n  relay {\n    listen = \"127.0.0.1:1500\"\n  }", 1))
		s.goesBack(s.Edge, server, "Error: edge: unit relay-server.service did not stay up: ", "permission denied",
			"put back as before: /etc/caddy/Caddyfile, /etc/relay/relay.json, /etc/systemd/system/relay-server.service")
		lab.MustRun(s.t, s.Edge, "systemctl restart caddy")
		s.mustBeDoneWith(stack)
		lab.MustRun(s.t, s.Edge, "echo 1024 > /proc/sys/net/ipv4/ip_unprivileged_port_start")
		s.writeStack(strings.Replace(stack, "  tls \"internal\" {}", "  tls \"internal\" {}\n  relay {\n    listen = \"127.0.0.1:1500\"\n  }", 1))
		want(s.t, s.apply(), "stub answered through https://"+domain)
		s.mustBeDone()
	})
}

// pidOf is the process of a unit, for a shell.
func pidOf(unit string) string { return "$(systemctl show -p MainPID --value " + unit + ")" }

// goesBack applies a stack that a host's unit does not take, and holds that the
// host is as it was, also when the unit is started anew.
func (s *site) goesBack(h *lab.Host, unit string, says ...string) {
	s.t.Helper()
	settings := "cd / && sha256sum etc/relay/*.* etc/relay/*/* etc/caddy/Caddyfile etc/systemd/system/relay-*.service 2>/dev/null; true"
	if unit == "caddy" { // the relay has its new settings by then
		settings = "sha256sum /etc/caddy/Caddyfile"
	}
	before := lab.MustRun(s.t, h, settings)
	r := s.relayctl("apply", "--yes", "--keys-out", "keys")
	if r.code != 1 {
		s.t.Errorf("exit code %d, want 1", r.code)
	}
	want(s.t, r.out, says...)
	if strings.Contains(r.out, "that failed, too") {
		s.t.Errorf("the former files were not taken")
	}
	if diff := cmp.Diff(strings.Split(before, "\n"), strings.Split(lab.MustRun(s.t, h, settings), "\n")); diff != "" {
		s.t.Errorf("%s is not as it was (-before +after):\n%s", h.Name, diff)
	}
	lab.MustRun(s.t, h, "systemctl is-active "+unit+" && systemctl restart "+unit+" && systemctl is-active "+unit)
	if r := s.relayctl("plan", "--detailed-exitcode"); r.code != 2 {
		s.t.Errorf("what was refused is not planned again: exit code %d", r.code)
	}
}

// mustBeDoneWith holds that a stack file is what the hosts are.
func (s *site) mustBeDoneWith(stack string) {
	s.t.Helper()
	s.writeStack(stack)
	s.mustBeDone()
	client, key := s.client(), s.key("laptop")
	s.await(s.t, "an answer", func() bool { return s.answers(client, key, "stub") })
}
