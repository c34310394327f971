package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/relayctl/relayctl/test/lab"
)

// TestTwoApplies has two operators apply at the same time: the second waits
// for the first, and knows for whom; when the first is killed, the second goes
// on at once.
func TestTwoApplies(t *testing.T) {
	s := newSite(t)
	second := s.twin("second")

	s.step("one after the other", func() {
		cmd := second.command("apply", "--yes", "--keys-out", "keys")
		var out []byte
		var err error
		var running sync.WaitGroup
		first := s.struck(blow{line: "package caddy: installing", fall: func(*os.Process) {
			running.Go(func() { out, err = cmd.CombinedOutput() })
		}})
		running.Wait()
		other := second.ran(cmd, out, err)
		if first.code != 0 {
			s.t.Errorf("the first apply: exit code %d", first.code)
		}
		want(s.t, other.out, "locked by root@", "(apply since ")
		if other.code != 0 {
			s.t.Errorf("the second apply: exit code %d", other.code)
		}
		s.mustBeDone()
		s.mustBeFree()
		s.mustAnswer(s.client(), s.key("laptop"), "stub")
		if keys, err := os.ReadFile(filepath.Join(second.home, "keys")); err == nil && len(keys) > 0 {
			s.t.Errorf("the second apply made keys that are not good: %d bytes", len(keys))
		}
	})
	s.step("the first killed", func() {
		s.writeStack(strings.ReplaceAll(s.stack(), "concurrency = 8", "concurrency = 9"))
		second.writeStack(strings.ReplaceAll(s.stack(), "concurrency = 8", "concurrency = 9"))
		hold := lab.MustRun(s.t, s.Edge, "(flock 9; exec sleep 600) 9>>/var/lib/relayctl/lock </dev/null >/dev/null 2>&1 & echo $!")
		r := s.struck(blow{line: "locked by", fall: func(*os.Process) {
			lab.MustRun(s.t, s.Edge, "kill -KILL "+hold)
		}})
		if r.code != 0 {
			s.t.Errorf("a killed holder was waited for: exit code %d", r.code)
		}
		s.mustBeDone()
	})
}

// twin is another operator of the same site, with a home of their own.
func (s *site) twin(name string) *site {
	s.t.Helper()
	other := *s
	other.home = s.t.TempDir()
	if err := os.CopyFS(other.home, os.DirFS(s.home)); err != nil {
		s.t.Fatalf("copy the home of %s: %v", name, err)
	}
	return &other
}

// TestInterrupt stops an apply with one Ctrl-C, and with two.
func TestInterrupt(t *testing.T) {
	s := newSite(t)
	s.step("once", func() {
		r := s.struck(blow{line: "package caddy: installing", fall: s.interrupt})
		if r.code != 1 {
			s.t.Errorf("exit code %d, want 1", r.code)
		}
		want(s.t, r.out, "edge: stopped as asked", "stopped at step ", "what was not reached is as before")
		s.mustBeFree()
		if got := lab.MustRun(s.t, s.Edge, "dpkg-query -W -f '${db:Status-Status}' caddy"); got != "installed" {
			s.t.Errorf("the step was not finished: caddy is %s", got)
		}
		if strings.Contains(r.out, "user relay: made") {
			s.t.Error("another step was begun")
		}
	})
	s.step("twice", func() {
		r := s.struck(blow{line: "unit relay-server: starting", fall: s.interrupt, then: &blow{
			line: "Stopping: every host finishes", fall: s.interrupt,
		}})
		if r.code != 1 || strings.Contains(r.out, "unit relay-server: started") || strings.Contains(r.out, "stopped as asked") {
			s.t.Errorf("exit code %d, want 1 before the step has ended", r.code)
		}
		s.mustBeFree()
	})
	s.step("done again", func() {
		said := s.apply()
		want(s.t, said, "! edge: what root@", "(apply, ", "was cut off; apply goes on from where it ended")
		if strings.Contains(said, "unit relay-server: start") {
			s.t.Error("the start of relay-server was not finished")
		}
		s.mustBeDone()
		s.mustBeFree()
		s.mustAnswer(s.client(), s.key("laptop"), "stub")
	})
}

// interrupt is Ctrl-C.
func (s *site) interrupt(relayctl *os.Process) {
	if err := relayctl.Signal(os.Interrupt); err != nil {
		s.t.Errorf("interrupt relayctl: %v", err)
	}
}

// mustBeFree fails where a host is locked, or something of relayctl is left.
func (s *site) mustBeFree() {
	s.t.Helper()
	for _, h := range s.hosts() {
		if left := lab.MustRun(s.t, h, leftBehind); left != "" {
			s.t.Errorf("%s: left behind:\n%s", h.Name, left)
		}
	}
}
