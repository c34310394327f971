package host_test

import (
	"os"
	"testing"
)

func TestPurgedPackageComesBackWithOurFile(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	s.bring(caddyPackage, s.file("/etc/caddy/Caddyfile", "ours\n"))
	m.Packages["caddy"].Installed = false
	if err := os.Remove(m.Path("/etc/caddy/Caddyfile")); err != nil {
		t.Fatal(err)
	}
	s.bring(caddyPackage, s.file("/etc/caddy/Caddyfile", "ours\n"))
	if got := m.Read("/etc/caddy/Caddyfile"); got != "ours\n" {
		t.Errorf("content is %q", got)
	}
}

func TestModeAloneReloadsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, u := relayMachine(t)
		s := m.lock()
		s.bring(s.service("a", nil)...)
		u.Jobs = nil
		if err := os.Chmod(m.Path("/etc/relay.conf"), 0o666); err != nil {
			t.Fatal(err)
		}
		if steps := s.bring(s.service("a", nil)...); len(steps) != 1 {
			t.Errorf("planned %v", steps)
		}
		if len(u.Jobs) > 0 || len(m.owed("relay.service")) > 0 {
			t.Errorf("did %v; owed: %v", u.Jobs, m.owed("relay.service"))
		}
		if steps := s.plan(s.service("a", nil)...); len(steps) > 0 {
			t.Errorf("a second plan has %v", steps)
		}
	})
}
