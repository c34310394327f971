package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/test/lab"
)

// TestHistory goes through the life of a stack: things of somebody else taken
// over, a change, an apply that is killed and one whose host loses its power;
// the history tells all of it.
func TestHistory(t *testing.T) {
	s := newSite(t)
	lab.MustRun(t, s.Edge, "apt-get -q -y --no-install-recommends install caddy")
	s.put(s.Edge, "/etc/caddy/Caddyfile", foreignCaddyfile)
	s.put(s.Edge, "/etc/systemd/system/other.service", foreignUnit)
	lab.MustRun(t, s.Edge, "systemctl reload caddy && systemctl daemon-reload && systemctl enable --now other")
	s.awaitListening(443)
	s.writeStack(s.stackOf(s.proxy(), s.worker(s.Workers[0]), "api_key \"laptop\" {}\n"))

	s.step("before the first apply", func() {
		want(s.t, s.mustRelayctl("history"), "Stack lab: nothing was applied yet.")
	})
	s.step("taken over", func() {
		s.apply("--adopt")
		said := s.mustRelayctl("history")
		want(s.t, said, "Stack lab: 1 apply; times are UTC", "apply by root@", ": done in ", "edge: ", "gpu-1: ", " created",
			"unit other, by apply 1 (", "it was enabled and running", "systemctl unmask other && systemctl enable --now other",
			"file /etc/caddy/Caddyfile, by apply 1 (", "cp -a /var/lib/relayctl/generations/0/etc/caddy/Caddyfile /etc/caddy/Caddyfile")
		if strings.Contains(said, "gpu-2") {
			s.t.Error("a host that is not in the stack is told")
		}
		want(s.t, s.mustRelayctl("history", "--apply", "1"), "Stack lab: apply 1 by root@", "+ user relay", "+ program relay-server", "+ unit relay-worker")
	})
	s.step("a change, and an apply without one", func() {
		before := s.readHome("stack.hcl")
		s.writeStack(strings.Replace(before, "//127.0.0.1:", "//localhost:", 1)) // which the proxy does not hear of
		if s.readHome("stack.hcl") == before {
			s.t.Fatal("the stack file is as before")
		}
		s.apply()
		s.apply()
		want(s.t, s.mustRelayctl("history"), "Stack lab: 2 applies", "edge: nothing changed", "gpu-1: 1 changed, 1 reloaded")
	})
	s.step("a rotation", func() {
		s.mustRelayctl("rotate-secret", "--yes")
		want(s.t, s.mustRelayctl("history", "--last", "1"), "3  ", "rotate-secret by root@", ": done", "edge, gpu-1: worker secrets rotated: gpu-1")
		want(s.t, s.mustRelayctl("history", "--apply", "3", "--host", "gpu-1"), "+ secret worker.next", "~ secret worker")
		want(s.t, s.mustRelayctl("history", "--last", "1", "--json"), `"type":"history"`, `"number":3`, `"state":"done"`)
	})
	s.step("relayctl killed", s.historyOfAKill)
	s.step("a host without power", s.historyOfAPowerCut)
	s.step("a host that is off", func() {
		if err := s.Workers[1].Stop(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
		r := s.relayctl("history", "--last", "2")
		if r.code != 1 {
			s.t.Errorf("exit code %d, want 1", r.code)
		}
		want(s.t, r.out, "not all hosts could be asked", "the last 2 applies", ": failed after ", "edge: ", "gpu-2: 1 changed; unit relay-worker", "Error: gpu-2: ")
	})
	s.step("back again, by the commands that it shows", func() {
		for line := range strings.Lines(s.relayctl("history").out) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "cp -a ") || strings.HasPrefix(line, "systemctl unmask ") {
				lab.MustRun(s.t, s.Edge, line)
			}
		}
		if got := lab.MustRun(s.t, s.Edge, "cat /etc/caddy/Caddyfile; systemctl is-enabled other"); got != foreignCaddyfile+"enabled" {
			s.t.Errorf("back is %q", got)
		}
	})
	s.searchJournals()
}

// historyOfAKill kills relayctl in the first apply to a second worker: the
// history tells, and the worker is remembered although that apply had no end.
func (s *site) historyOfAKill() {
	both := s.stack()
	before := s.readHome("stack.hcl")
	s.writeStack(both)
	s.struck(blow{line: "unit relay-worker: starting", fall: s.killRelayctl})
	s.awaitNoRelayHost()
	want(s.t, s.mustRelayctl("history", "--last", "1"), ": cut off", "gpu-2: ", "cut off after step ")

	s.writeStack(before)
	want(s.t, s.mustRelayctl("plan"), "gpu-2", "left the stack", "- unit relay-worker", "was cut off; apply goes on")
	s.apply()
	s.mustBeDone()
	said := s.mustRelayctl("history", "--last", "2")
	want(s.t, said, ": cut off", ": done")
	if !regexp.MustCompile(`gpu-2: [0-9]+ removed`).MatchString(said) { // it keeps no history of its own any more
		s.t.Error("what was removed from gpu-2 is not told")
	}
	s.writeStack(both)
	s.apply()
	s.mustBeDone()
}

// historyOfAPowerCut takes the power from a worker in the middle of a step.
func (s *site) historyOfAPowerCut() {
	h := s.Workers[1]
	s.writeStack(strings.ReplaceAll(s.stack(), "concurrency = 8", "concurrency = 7"))
	lab.MustRun(s.t, h, "systemctl stop relay-worker")
	// A start that takes its time, once.
	s.put(h, "/etc/systemd/system/slow.service", "[Service]\nType=oneshot\nExecStart=sh -c 'rm /srv/slow && sync && sleep 600 || true'\n")
	s.put(h, "/srv/slow", "")
	s.put(h, "/etc/systemd/system/relay-worker.service.d/slow.conf", "[Unit]\nRequires=slow.service\nAfter=slow.service\n")
	lab.MustRun(s.t, h, "systemctl daemon-reload && sync")
	s.struck(blow{line: "unit relay-worker: putting right", delay: time.Second, fall: s.cutPower(h)})
	want(s.t, s.mustRelayctl("plan"), "gpu-2: what root@", "was cut off in the middle of unit relay-worker")
	said := s.mustRelayctl("history", "--last", "1")
	want(s.t, said, ": cut off", "unit relay-worker")
	number := regexp.MustCompile(`(?m)^ *(\d+)  \d{4}-`).FindStringSubmatch(said)
	if number == nil {
		s.t.Fatalf("no number in\n%s", said)
	}
	want(s.t, s.mustRelayctl("history", "--apply", number[1], "--host", "gpu-2"), "not ended  ~ unit relay-worker")
	lab.MustRun(s.t, h, "rm -r /etc/systemd/system/relay-worker.service.d /etc/systemd/system/slow.service && systemctl daemon-reload")
	s.apply()
	s.mustBeDone()
	want(s.t, s.mustRelayctl("history", "--last", "2"), ": cut off", ": done", "unit relay-worker")
}

func (s *site) readHome(name string) string {
	s.t.Helper()
	content, err := os.ReadFile(s.home + "/" + name)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(content)
}

// awaitNoRelayHost waits until every host has finished the step it is in.
func (s *site) awaitNoRelayHost() {
	s.t.Helper()
	for _, h := range s.hosts() {
		s.await(s.t, "relay-host on "+h.Name+" to end", func() bool {
			return lab.MustRun(s.t, h, "pgrep --exact relay-host; true") == ""
		})
	}
}

// searchJournals fails where a journal holds a secret.
func (s *site) searchJournals() {
	s.t.Helper()
	secrets := s.allSecrets()
	const show = "cat /var/lib/relayctl/journal.jsonl"
	text := lab.MustRun(s.t, s.Edge, show) + lab.MustRun(s.t, s.Workers[0], show)
	if len(secrets) < 4 || len(text) < 2000 {
		s.t.Fatalf("%d secrets, %d bytes", len(secrets), len(text))
	}
	s.search("a journal", text, secrets)
}

// remembered are the hosts that the proxy host remembers.
func (s *site) remembered() []plan.Member {
	s.t.Helper()
	journal, err := record.Read(filepath.Join(s.Edge.Root, plan.StoreDir))
	if err != nil {
		s.t.Fatal(err)
	}
	return journal.Manifest().Hosts
}

// TestAddressChanges gives a worker another address: first that of another
// machine, then a second one of its own.
func TestAddressChanges(t *testing.T) {
	s := newSite(t)
	first, second := s.Workers[0], s.Workers[1]
	bare, accounts := s.snapshots(accountFiles...), lab.MustRun(t, first, showAccounts)
	at := func(address string) string {
		block := strings.Replace(s.worker(second), `worker "gpu-2"`, `worker "gpu-1"`, 1)
		return s.stackOf(s.proxy(), strings.Replace(block, second.Addr, address, 1), "api_key \"laptop\" {}\n")
	}
	s.writeStack(s.stackOf(s.proxy(), s.worker(first), "api_key \"laptop\" {}\n"))
	s.apply()

	s.step("another machine", func() {
		s.writeStack(at(second.Addr))
		want(s.t, s.mustRelayctl("plan"), "gpu-1 at "+first.Addr, "left the stack", "- unit relay-worker", "+ unit relay-worker")
		s.apply()
		s.mustBeDone()
		s.mustBeAsBare(first, bare)
		if got := lab.MustRun(s.t, first, showAccounts); got != accounts {
			s.t.Errorf("accounts are now:\n%s", got)
		}
		s.mustAnswer(s.client(), s.key("laptop"), "stub")
	})
	s.step("the same machine", func() {
		other := second.Addr[:strings.LastIndex(second.Addr, ".")] + ".200"
		lab.MustRun(s.t, second, fmt.Sprintf("ip address add %s/24 dev host0", other))
		s.writeStack(at(other))
		services := s.services()
		want(s.t, s.mustRelayctl("plan", "--accept-new-host-keys"), "Everything is as stack.hcl says")
		s.apply()
		s.mustBeDone()
		if got := s.services(); got["gpu-2"]["relay-worker.service"] != services["gpu-2"]["relay-worker.service"] {
			s.t.Error("the worker was restarted")
		}
		if hosts := s.remembered(); len(hosts) != 1 || hosts[0].Address != other {
			s.t.Errorf("the proxy host remembers %+v", hosts)
		}
	})
}
