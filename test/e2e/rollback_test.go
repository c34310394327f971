package e2e_test

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/test/lab"
)

// settings is what decides how the hosts serve, as it stands on the disk.
func (s *site) settings() map[string]string {
	s.t.Helper()
	all := map[string]string{}
	for _, h := range s.hosts() {
		all[h.Name] = lab.MustRun(s.t, h, `cd / && find etc/relay etc/caddy etc/systemd/system -not -type d 2>/dev/null | sort | xargs -r ls -ld --time-style=+ | sed 's/ \+/ /g'
for program in relay-server relay-worker; do readlink usr/local/lib/relayctl/$program/current; done
find etc/relay etc/caddy etc/systemd/system -type f 2>/dev/null | sort | xargs -r sha256sum
systemctl is-active relay-server relay-worker caddy; systemctl is-enabled relay-server relay-worker caddy 2>/dev/null; id -un relay 2>/dev/null; true`)
	}
	return all
}

// mustStandAs fails where the hosts do not stand as settings said before.
func (s *site) mustStandAs(before map[string]string) {
	s.t.Helper()
	for name, now := range s.settings() {
		if diff := cmp.Diff(strings.Split(before[name], "\n"), strings.Split(now, "\n")); diff != "" {
			s.t.Errorf("%s does not stand as before (-before +now):\n%s", name, diff)
		}
	}
}

// TestRollback goes back on hosts that serve: after a bad apply under load,
// after one that was killed, over three, and past the end of a key.
func TestRollback(t *testing.T) {
	s := newSite(t)
	first, second := s.Workers[0], s.Workers[1]
	laptop := "api_key \"laptop\" {}\n"
	s.writeStack(s.stackOf(s.proxy(), s.worker(first), laptop))
	s.apply()
	alone := s.settings()

	s.step("one that added a worker", func() {
		s.writeStack(s.stack())
		s.apply()
		s.mustKnow("gpu-1.json", "gpu-2.json")
		said := s.mustRelayctl("rollback", "--yes")
		want(s.t, said, "going back from apply 2", "after apply 1", "gpu-2", "- unit relay-worker", "- file /etc/relay/workers.d/gpu-2.json",
			"stub answered through https://"+domain)
		s.mustStandAs(alone)
		s.mustAnswer(s.client(), s.key("laptop"), "stub")
		want(s.t, s.mustRelayctl("plan"), "+ file /etc/relay/workers.d/gpu-2.json")
		want(s.t, s.mustRelayctl("history"), "rollback")
	})
	s.step("and that itself", func() {
		want(s.t, s.mustRelayctl("rollback", "--yes"), "going back from apply 3", "stub answered")
		s.mustKnow("gpu-1.json", "gpu-2.json")
		s.await(s.t, "gpu-2 to be taken in", func() bool { return s.relayctl("apply", "--yes", "--keys-out", "keys").code == 0 })
		s.mustBeDone()
	})
	both := s.settings()

	s.step("a bad one, under load", func() {
		traffic := s.startLoad(2, 2)
		bad := strings.Replace(s.stack(), "127.0.0.1:8000", "127.0.0.1:9", 1) // gpu-1's: gpu-2 goes on
		s.writeStack(strings.Replace(bad, `tls "internal" {}`, "tls \"internal\" {}\n\n  relay {\n    max_queue = 7\n  }", 1))
		s.relayctl("apply", "--yes", "--keys-out", "keys")
		s.mustRelayctl("rollback", "--yes")
		traffic.mustBeUnharmed()
		s.mustStandAs(both)
		s.mustBeDoneWith(s.stack())
	})
	s.step("one that was killed", func() {
		s.writeStack(strings.ReplaceAll(s.stack(), "concurrency = 8", "concurrency = 3"))
		if r := s.struck(blow{line: "file /etc/relay/worker", fall: s.killRelayctl}); r.code == 0 {
			s.t.Fatal("not killed")
		}
		s.awaitNoRelayHost()
		s.mustRelayctl("rollback", "--yes")
		s.mustStandAs(both)
		s.mustBeDoneWith(s.stack())
	})
	s.step("back over three, killed and run again", func() { s.backOverThree(both) })
	s.step("past the end of a key", s.backPastAKey)
	s.step("edited by hand", func() {
		s.writeStack(strings.Replace(s.stack(), "concurrency = 8", "concurrency = 4", 1))
		s.apply()
		lab.MustRun(s.t, first, "sed -i 's/}$/} /' /etc/relay/worker.json")
		r := s.relayctl("rollback", "--yes")
		want(s.t, r.out, "/etc/relay/worker.json", "edited on the host")
		if r.code != 1 {
			s.t.Errorf("exit code %d, want 1", r.code)
		}
		s.apply()
		s.writeStack(s.stack())
		s.apply()
	})
	s.step("a host that is away", func() { s.backWithoutOne(second) })
	s.step("by relay-host alone", func() { s.backByHand(first) })
}

// backOverThree applies three times and goes back over all, killed on the way.
func (s *site) backOverThree(before map[string]string) {
	s.t.Helper()
	number := s.lastApply()
	for _, with := range []string{"concurrency = 5", "concurrency = 6", "concurrency = 7"} {
		s.writeStack(strings.ReplaceAll(s.stack(), "concurrency = 8", with))
		s.apply()
	}
	back := []string{"rollback", "--yes", "--to", number}
	if r := s.struckIn(blow{line: "file /etc/relay/worker", fall: s.killRelayctl}, back...); r.code == 0 {
		s.t.Fatal("not killed")
	}
	s.awaitNoRelayHost()
	want(s.t, s.mustRelayctl(back...), "how it was after apply "+number, "stub answered")
	s.mustStandAs(before)
	s.mustBeDoneWith(s.stack())
}

// lastApply is the number of the last apply.
func (s *site) lastApply() string {
	s.t.Helper()
	return lab.MustRun(s.t, s.Edge, `grep -o '"end":{"past":{"apply":[0-9]*' /var/lib/relayctl/journal.jsonl | tail -n 1 | grep -o '[0-9]*$'`)
}

// backPastAKey goes back to where a key was good that was revoked since.
func (s *site) backPastAKey() {
	s.t.Helper()
	phone := "api_key \"phone\" {}\n"
	s.writeStack(s.stack() + phone)
	s.apply()
	number, client, key := s.lastApply(), s.client(), s.key("phone")
	s.mustAnswer(client, key, "stub")
	s.writeStack(strings.ReplaceAll(s.stack(), "concurrency = 8", "concurrency = 6"))
	s.apply()
	want(s.t, s.mustRelayctl("rollback", "--yes", "--to", number), "! key phone", "was revoked since: stays revoked", "stub answered")
	if status, body := s.send(client, http.MethodGet, "/v1/models", key, ""); status != http.StatusUnauthorized {
		s.t.Errorf("a revoked key: status %d: %s", status, body)
	}
	s.mustAnswer(client, s.key("laptop"), "stub")
	s.writeStack(s.stack())
	s.apply()
	s.mustBeDone()
}

// backWithoutOne goes back while a host is off, and again when it is on.
func (s *site) backWithoutOne(off *lab.Host) {
	s.t.Helper()
	before, number := s.settings(), s.lastApply()
	s.writeStack(strings.ReplaceAll(s.stack(), "concurrency = 8", "concurrency = 5"))
	s.apply()
	if err := off.Stop(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	r := s.relayctl("rollback", "--yes")
	want(s.t, r.out, "Error: "+off.Name, "rollback --to "+number)
	if r.code != 1 {
		s.t.Errorf("exit code %d, want 1", r.code)
	}
	if err := off.Start(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.mustRelayctl("rollback", "--yes", "--to", number)
	s.mustStandAs(before)
	s.mustBeDoneWith(s.stack())
}

// backByHand has a host undo its part of the last apply by itself.
func (s *site) backByHand(h *lab.Host) {
	s.t.Helper()
	before := s.settings()
	s.writeStack(strings.ReplaceAll(s.stack(), "concurrency = 8", "concurrency = 5"))
	s.apply()
	said := lab.MustRun(s.t, h, "/usr/local/lib/relayctl/relay-host/current/relay-host restore")
	want(s.t, said, "/etc/relay/worker.json")
	now := s.settings()
	if diff := cmp.Diff(strings.Split(before[h.Name], "\n"), strings.Split(now[h.Name], "\n")); diff != "" {
		s.t.Errorf("%s does not stand as before (-before +now):\n%s", h.Name, diff)
	}
	want(s.t, s.mustRelayctl("history"), "restore")
	s.apply()
	s.mustBeDone()
	if _, err := os.Stat("keys"); err == nil {
		s.t.Error("keys were written to the folder of the tests")
	}
}
