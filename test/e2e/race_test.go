package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/relayctl/relayctl/test/lab"
)

// TestTwoApplies has two operators apply at the same time: the second waits
// for the first, and knows for whom; when the first is killed, the second goes
// on at once.
func TestTwoApplies(t *testing.T) {
	s := newSite(t)
	second := s.twin("second")

	s.step("one after the other", func() {
		var other result
		done := make(chan struct{})
		s.struck(blow{line: "package caddy: installing", fall: func(*os.Process) {
			go func() {
				defer close(done)
				other = second.relayctl("apply", "--yes", "--keys-out", "keys")
			}()
		}})
		<-done
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
		began := time.Now()
		s.struck(blow{line: "locked by", fall: func(*os.Process) {
			lab.MustRun(s.t, s.Edge, "kill -KILL "+hold)
		}})
		if took := time.Since(began); took > 20*time.Second {
			s.t.Errorf("a killed holder was waited for: %v", took)
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
		r, fell := s.struck(blow{line: "package caddy: installing", delay: time.Second, fall: s.interrupt})
		if !fell || r.code != 1 {
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
		var began time.Time
		r, fell := s.struck(blow{line: "unit relay-server: starting", fall: s.interrupt, then: &blow{
			line: "Stopping: every host finishes", fall: func(relayctl *os.Process) {
				s.interrupt(relayctl)
				began = time.Now()
			},
		}})
		if took := time.Since(began); !fell || r.code != 1 || took > time.Second {
			s.t.Errorf("exit code %d after %v, want 1 at once", r.code, took)
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
