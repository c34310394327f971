package bench_test

import (
	"testing"
	"testing/synctest"
	"time"
)

// mostRoundTrips is what a plan may cost, TCP's handshake included: Ansible
// needs some for every task, and a far host makes each a wait.
const mostRoundTrips = 13

// mostBehindHop is what it may cost where a hop is in between, to which the
// connection has to stand first.
const mostBehindHop = 21

// A plan that has nothing to do costs the same few round trips whatever the
// stack asks for, over one connection and with one program started. In a bubble
// only the simulated network takes time, so that time counts round trips.
func TestPlanInRoundTrips(t *testing.T) {
	for name, size := range map[string]size{
		"small":             {hosts: 2, models: 1, keys: 1},
		"large":             {hosts: 6, models: 40, keys: 100},
		"small, behind one": {hosts: 2, models: 1, keys: 1, behind: true},
		"large, behind one": {hosts: 6, models: 40, keys: 100, behind: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const rtt = 50 * time.Millisecond
				f := newFleet(t, size, rtt)
				f.apply()
				before := f.counts()
				planned, took := f.plan()
				mustBeEmpty(t, planned)
				most := mostRoundTrips
				if size.behind {
					most = mostBehindHop
				}
				for i, counted := range f.counts() {
					wanted := 1
					if size.behind && i == 0 {
						wanted = 2 // its own, and that of all who are behind it
					}
					if connections := counted[0] - before[i][0]; connections != wanted {
						t.Errorf("host %d: %d connections", i, connections)
					}
					if programs := counted[1] - before[i][1]; programs != 1 {
						t.Errorf("host %d: %d programs started", i, programs)
					}
				}
				t.Logf("%.1f round trips", float64(took)/float64(rtt))
				if took > time.Duration(most)*rtt {
					t.Errorf("%.1f round trips, more than %d", float64(took)/float64(rtt), most)
				}
			})
		})
	}
}

// counts are each host's connections and sessions so far.
func (f *fleet) counts() [][2]int {
	var counts [][2]int
	for _, server := range f.servers {
		counts = append(counts, [2]int{server.Connections(), server.Channels()})
	}
	return counts
}

// An apply of one changed file on each host takes as many round trips on many
// hosts as on two: whatever can go side by side does.
func TestApplyDoesNotWaitForEachHostInTurn(t *testing.T) {
	const rtt = 50 * time.Millisecond
	var took []time.Duration
	for _, hosts := range []int{2, 12} {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t, size{hosts: hosts, models: 1, keys: 1}, rtt)
			f.apply()
			f.changes++
			took = append(took, f.apply()-watched)
		})
	}
	t.Logf("%.1f round trips with 2 hosts, %.1f with 12", float64(took[0])/float64(rtt), float64(took[1])/float64(rtt))
	if took[1] > took[0]+rtt {
		t.Errorf("2 hosts take %v, 12 take %v", took[0], took[1])
	}
}
