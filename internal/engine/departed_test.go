package engine_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/relayctl/relayctl/internal/plan"
)

// A worker that was taken out of the stack file is found and cleaned.
func TestDepartedWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		h.config.Stack = load(t, homeWithout)
		planned := h.plan()
		if len(planned.Hosts) != 3 || planned.Hosts[2].Name != "gpu-2" || planned.Hosts[2].Role != plan.RoleDeparted {
			t.Fatalf("planned hosts %+v", planned.Hosts)
		}
		h.mustApply()
		for _, path := range []string{"/etc/relay", "/etc/systemd/system/relay-worker.service", "/usr/local/lib/relayctl", "/var/lib/relayctl"} {
			if h.gpu2.has(path) {
				t.Errorf("%s is left on gpu-2", path)
			}
		}
		if h.edge.has("/etc/relay/workers.d/gpu-2.json") {
			t.Error("the relay still knows gpu-2")
		}
		dials := h.gpu2.dials
		mustBeEmpty(t, h.plan())
		if h.gpu2.dials != dials {
			t.Error("gpu-2 is still remembered")
		}
	})
}

// One that can't be reached loses its hash at once, and stays remembered until
// it is cleaned or given up.
func TestDepartedWorkerUnreachable(t *testing.T) {
	for _, end := range []string{"reached", "forgotten"} {
		t.Run(end, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				h.mustApply()
				h.config.Stack = load(t, homeWithout)
				h.gpu2.refuse = errors.New("connection timed out")
				if planned := h.plan(); len(planned.Stays) != 1 || planned.Stays[0].Error() != "gpu-2: connection timed out" || len(planned.Failed) > 0 {
					t.Errorf("stays %v, failed %v", planned.Stays, planned.Failed)
				}
				h.mustApply()
				if h.edge.has("/etc/relay/workers.d/gpu-2.json") || !h.gpu2.has("/etc/relay") {
					t.Error("its hash should be gone, and its things still there")
				}
				if planned := h.plan(); !planned.Empty() || len(planned.Stays) != 1 {
					t.Errorf("stays %v", planned.Stays)
				}
				if end == "forgotten" {
					h.config.Forget = []string{"gpu-2", "gpu-1", "gpu-3"}
					planned := h.plan()
					if !slices.Equal(planned.GivenUp, []string{"gpu-2"}) || !slices.Equal(planned.Unknown, []string{"gpu-1", "gpu-3"}) {
						t.Errorf("gives up %v, does not know %v", planned.GivenUp, planned.Unknown)
					}
				} else {
					h.gpu2.refuse = nil
				}
				h.mustApply()
				h.config.Forget = nil
				if h.edge.remembers("10.0.0.22") {
					t.Error("it is still remembered")
				}
				if left := h.gpu2.has("/etc/relay"); left != (end == "forgotten") {
					t.Errorf("things left on gpu-2: %v", left)
				}
				mustBeEmpty(t, h.plan())
			})
		})
	}
}

// A host under a new name keeps what it has.
func TestRenamedWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		secret := h.gpu2.read("/etc/relay/worker.secret")
		h.config.Stack = load(t, strings.ReplaceAll(homeStack, `"gpu-2"`, `"gpu-two"`))
		session := h.connect()
		if _, err := session.Plan(t.Context()); err != nil || h.gpu2.open != 1 {
			t.Errorf("plan: %v, over %d conversations", err, h.gpu2.open)
		}
		session.Close()
		h.mustApply()
		if h.gpu2.read("/etc/relay/worker.secret") != secret || !h.edge.has("/etc/relay/workers.d/gpu-two.json") || h.edge.has("/etc/relay/workers.d/gpu-2.json") {
			t.Error("the host was not carried over to its new name")
		}
		mustBeEmpty(t, h.plan())
	})
}

// A host that another stack took over is left alone.
func TestDepartedToAnotherStack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		h.gpu2.movesTo("lab")
		h.config.Stack = load(t, homeWithout)
		h.mustApply()
		if !h.gpu2.has("/etc/relay/worker.json") {
			t.Error("things of another stack were removed")
		}
		if h.edge.remembers("10.0.0.22") {
			t.Error("it is still remembered")
		}
	})
}
