package engine_test

import (
	"testing"
	"testing/synctest"

	"github.com/relayctl/relayctl/internal/engine"
)

// Two applies that were planned at the same time both end well: the second one
// finds done what it had planned, and makes no key for nothing.
func TestSecondOfTwoApplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		session, planned := h.meanwhile()
		defer session.Close()
		h.mustApply()
		h.secondApply(session, planned)
	})
}

// It does, too, when it saw the hosts while the first was at work on them.
func TestPlanDuringAnotherApply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		var session *engine.Session
		var planned *engine.Planned
		h.keys.heard = func() { session, planned = h.meanwhile() } // the first has its locks
		h.mustApply()
		h.keys.heard = nil
		defer session.Close()
		h.secondApply(session, planned)
	})
}

// What is left of a plan after another apply is done.
func TestRestOfAPlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		h.config.Stack = load(t, homeStack+`api_key "phone" {}`)
		session, planned := h.meanwhile()
		defer session.Close()
		h.config.Stack = load(t, homeStack)
		h.edge.write("/etc/relay/relay.json", "{}")
		h.mustApply()
		outcome, err := session.Apply(t.Context(), planned, func(*engine.Outcome) error { return nil })
		if err != nil || len(outcome.Keys) != 1 || outcome.Keys[0] != "phone" {
			t.Errorf("error %v, keys %v", err, outcome.Keys)
		}
	})
}

// meanwhile is another operator's plan.
func (h *home) meanwhile() (*engine.Session, *engine.Planned) {
	h.t.Helper()
	session := h.connect()
	planned, err := session.Plan(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return session, planned
}

// secondApply holds that nothing is left to do of a plan.
func (h *home) secondApply(session *engine.Session, planned *engine.Planned) {
	h.t.Helper()
	first := h.keys.taken["laptop"]
	outcome, err := session.Apply(h.t.Context(), planned, func(*engine.Outcome) error { return nil })
	if err != nil {
		h.t.Fatalf("apply: %v\n%+v", err, explained(err))
	}
	for _, host := range outcome.Hosts {
		if host.Steps > 0 || !host.OK {
			h.t.Errorf("%+v", host)
		}
	}
	if len(outcome.Keys) > 0 || h.keys.taken["laptop"] != first {
		h.t.Errorf("keys made once more: %v", outcome.Keys)
	}
	mustBeEmpty(h.t, h.plan())
}

// A host where an apply was cut off is gone to once more, also when nothing is
// left to do there: what the other one left behind is cleared.
func TestCutOffApplyIsFinished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		h.gpu1.holdLock("eve@laptop")()
		h.gpu1.write("/var/lib/relayctl/blobs/sha256-00", "left behind")
		planned := h.plan()
		mustBeEmpty(t, planned)
		if len(planned.CutOff) != 1 || planned.CutOff[0].Host != "gpu-1" || planned.CutOff[0].Holder != "eve@laptop" {
			t.Errorf("cut off: %+v", planned.CutOff)
		}
		h.mustApply()
		if h.gpu1.has("/var/lib/relayctl/blobs") || len(h.plan().CutOff) > 0 {
			t.Error("what was left is still there")
		}
	})
}

// apt goes on when the apply that started it is killed: that its package comes
// between any two looks of the next apply is nobody's edit.
func TestPackageThatComesMeanwhile(t *testing.T) {
	for _, when := range []string{"before the locks", "before the first stage"} {
		t.Run(when, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				h.edge.holdLock("eve@laptop")()
				session, planned := h.meanwhile()
				defer session.Close()
				come := func() { h.edge.Install("caddy") }
				if when == "before the locks" {
					come()
				} else {
					h.keys.heard = come // they are made under the locks
				}
				if _, err := session.Apply(t.Context(), planned, func(*engine.Outcome) error { return nil }); err != nil {
					t.Fatalf("apply: %v\n%+v", err, explained(err))
				}
				mustBeEmpty(t, h.plan())
			})
		})
	}
}
