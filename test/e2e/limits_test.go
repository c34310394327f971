package e2e_test

import (
	"strings"
	"testing"

	"github.com/relayctl/relayctl/test/lab"
)

// manyPlans is how many are made in a row.
const manyPlans = 25

// TestLimits has a host that shuts out who connects too often: by sshd's own
// PerSourcePenalties as they come, and by ufw limit. A log-in that is refused
// counts more than others, and none may be.
func TestLimits(t *testing.T) {
	s := bareSite(t)
	since := strings.TrimSpace(lab.MustRun(t, s.Edge, "sshd -T | grep -i '^persourcepenalties' >&2; date +%s"))
	s.step("sshd's own", func() {
		for range manyPlans {
			s.mustRelayctl("plan")
		}
		if penalties := lab.MustRun(s.t, s.Edge, "journalctl -u ssh --since=@"+since+" | grep -i penalt || true"); penalties != "" {
			s.t.Errorf("sshd penalized: %s", penalties)
		}
	})
	s.step("ufw limit", func() {
		lab.MustRun(s.t, s.Edge, "apt-get -q -y --no-install-recommends install ufw; ufw limit 22/tcp; ufw --force enable")
		waited := 0
		for range manyPlans {
			waited += strings.Count(s.mustRelayctl("plan"), "waiting for sshd to take connections: the connection was refused")
		}
		if waited == 0 {
			s.t.Error("ufw never limited, so this shows nothing")
		}
		s.t.Logf("waited %d times", waited)
	})
}
