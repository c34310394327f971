package host_test

import (
	"os"
	"testing"
)

func TestPurgedPackageComesBackWithOurFile(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	s.bring(caddyPackage, s.file("/etc/caddy/Caddyfile", "ours\n"))
	m.packages["caddy"].installed = false
	if err := os.Remove(m.path("/etc/caddy/Caddyfile")); err != nil {
		t.Fatal(err)
	}
	s.bring(caddyPackage, s.file("/etc/caddy/Caddyfile", "ours\n"))
	if got := m.read("/etc/caddy/Caddyfile"); got != "ours\n" {
		t.Errorf("content is %q", got)
	}
}

func TestModeAloneReloadsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, u := relayMachine(t)
		s := m.lock()
		s.bring(s.service("a", nil)...)
		u.jobs = nil
		if err := os.Chmod(m.path("/etc/relay.conf"), 0o666); err != nil {
			t.Fatal(err)
		}
		if steps := s.bring(s.service("a", nil)...); len(steps) != 1 {
			t.Errorf("planned %v", steps)
		}
		if len(u.jobs) > 0 || m.read("/var/lib/relayctl/intents/relay.service.json") != "absent" {
			t.Errorf("did %v; owed: %s", u.jobs, m.read("/var/lib/relayctl/intents/relay.service.json"))
		}
		if steps := s.plan(s.service("a", nil)...); len(steps) > 0 {
			t.Errorf("a second plan has %v", steps)
		}
	})
}
