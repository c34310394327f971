package engine_test

import (
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/engine"
)

func TestSecondPlanIsEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		outcome := h.mustApply()
		if !outcome.Proof.OK() || outcome.Proof.Models[0].Route != engine.RouteDomain {
			t.Errorf("proof %+v", outcome.Proof)
		}
		before := h.snapshots()
		mustBeEmpty(t, h.plan())
		if again := h.mustApply(); !again.Proof.OK() {
			t.Errorf("proof of an apply without changes: %+v", again.Proof)
		}
		if diff := cmp.Diff(before, h.snapshots()); diff != "" {
			t.Errorf("an apply without changes changed something (-before +after):\n%s", diff)
		}
	})
}

func (h *home) snapshots() []map[string]string {
	return []map[string]string{h.edge.snapshot(), h.gpu1.snapshot(), h.gpu2.snapshot()}
}
