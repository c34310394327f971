package engine_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/relayctl/relayctl/internal/engine"
)

func TestRotateOnOneMachine(t *testing.T) {
	for name, way := range waysToOneMachine {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRotorOnOneMachine(t, way.proxy, way.worker)
				first, second := r.present(r.gpu1), r.present(r.gpu2)
				r.mustRotate(engine.RotateRequest{})
				r.mustBeRotated("gpu-1", first)
				r.mustBeRotated("gpu-2", second)

				first = r.present(r.gpu1)
				r.mustRotate(engine.RotateRequest{Worker: "gpu-1"})
				r.mustBeRotated("gpu-1", first)
				if len(r.heard("gpu-1", engine.Reached)) == 0 {
					t.Error("nothing was told of gpu-1")
				}
			})
		})
	}
}

func newRotorOnOneMachine(t testing.TB, proxy, worker string) *rotor {
	h := newOneMachine(t, proxy, worker)
	h.gpu1 = h.edge
	return newRotorOf(h)
}

// A rotation on one machine that is broken off anywhere is finished by the
// next one.
func TestRotateOnOneMachineBrokenOff(t *testing.T) {
	for nth := range 8 {
		t.Run(fmt.Sprint(nth), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRotorOnOneMachine(t, "10.0.0.10", "10.0.0.10")
				first, second := r.present(r.gpu1), r.present(r.gpu2)
				r.edge.hangUpAt, r.edge.hangUpAfter = "apply", nth
				_, err := r.rotate(t.Context(), engine.RotateRequest{})
				r.edge.hangUpAt = ""
				r.look()
				if nth < 3 && err == nil {
					t.Error("it went well all the same")
				}
				if unfinished := r.edge.has("/var/lib/relayctl/secrets/worker.next"); r.shows("gpu-1") != unfinished {
					t.Errorf("unfinished is %t, and that is not what is shown", unfinished)
				}
				r.mustApply()
				r.mustRotate(engine.RotateRequest{})
				r.mustBeRotated("gpu-1", first)
				r.mustBeRotated("gpu-2", second)
			})
		})
	}
}

// A worker that does not come back keeps its old secret, and stops neither the
// proxy on its machine nor another worker.
func TestRotateOnOneMachineWithoutTheWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRotorOnOneMachine(t, "10.0.0.10", "10.0.0.10")
		first, second := r.present(r.gpu1), r.present(r.gpu2)
		r.away["gpu-1"] = true
		rotated, err := r.rotate(t.Context(), engine.RotateRequest{})
		mustFail(t, err, "gpu-1")
		if failure := rotated.Failed[0]; failure.Origin.Block != `worker "gpu-1"` || len(rotated.Workers) != 1 {
			t.Errorf("error %+v, rotated %v", failure, rotated.Workers)
		}
		r.mustBeRotated("gpu-2", second)
		r.away["gpu-1"] = false
		r.look()
		r.mustRotate(engine.RotateRequest{})
		r.mustBeRotated("gpu-1", first)
	})
}
