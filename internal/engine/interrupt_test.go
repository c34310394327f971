package engine_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// The first Ctrl-C lets every host finish the step it is in.
func TestInterrupted(t *testing.T) {
	for name, at := range map[string]engine.Event{
		"in the first stage": {Host: "gpu-2", Phase: engine.Started, ID: plan.ID{Kind: plan.KindSecret, Name: "worker"}},
		"on the proxy":       {Host: "edge", Phase: engine.Started, ID: plan.ID{Kind: plan.KindFile, Name: "/etc/relay/keys.json"}},
		"on a worker":        {Host: "gpu-1", Phase: engine.Started, ID: plan.ID{Kind: plan.KindFile, Name: "/etc/relay/worker.json"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				ctx, interrupt := context.WithCancelCause(t.Context())
				stop := errors.New("ctrl-c")
				h.config.Events = func(e engine.Event) {
					if e.Host == at.Host && e.Phase == at.Phase && e.ID == at.ID {
						interrupt(stop)
					}
				}
				outcome, err := h.applyContext(ctx)
				// Which steps are left when the request to stop arrives is a
				// matter of luck: on the last host it may be none.
				if !errors.Is(err, stop) {
					t.Errorf("error %v", err)
				}
				if len(outcome.Proof.Models) > 0 {
					t.Error("models were asked after the interruption")
				}
				if last := h.edge.lastPast(); last.Operator != "ops@desk" {
					t.Errorf("history of edge: %+v", last)
				}
				if at.Host == "edge" && h.gpu1.has("/etc/relay") {
					t.Error("the workers were begun after the interruption")
				}
				h.config.Events = nil
				// The locks are free. A key is shown by the apply that stored it.
				if again := h.mustApply(); len(outcome.Keys)+len(again.Keys) != 1 {
					t.Errorf("keys to show: %v, then %v", outcome.Keys, again.Keys)
				}
				mustBeEmpty(t, h.plan())
			})
		})
	}
}

// An interruption while models are asked leaves what was applied.
func TestInterruptedProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.relay.setAnswer(hang)
		ctx, interrupt := context.WithCancelCause(t.Context())
		stop := errors.New("ctrl-c")
		h.config.Events = func(e engine.Event) {
			if e.Phase == engine.Proving && strings.Contains(e.Text, "qwen3") {
				interrupt(stop)
			}
		}
		outcome, err := h.applyContext(ctx)
		if !errors.Is(err, stop) || len(outcome.Proof.Models) > 0 || !outcome.Hosts[0].OK {
			t.Errorf("error %v, outcome %+v", err, outcome)
		}
		mustBeEmpty(t, h.plan())
	})
}

// An apply that was interrupted in its last step did all of it, but proved
// nothing.
func TestInterruptedBeforeTheProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		ctx, interrupt := context.WithCancelCause(t.Context())
		stop := errors.New("ctrl-c")
		finished := 0
		h.config.Events = func(e engine.Event) {
			if e.Phase == engine.Finished {
				finished++
			}
			if finished == 3 {
				interrupt(stop)
			}
		}
		outcome, err := h.applyContext(ctx)
		if !errors.Is(err, stop) || len(outcome.Proof.Models) > 0 || len(outcome.Failed) > 0 {
			t.Errorf("error %v, outcome %+v", err, outcome)
		}
		mustBeEmpty(t, h.plan())
	})
}

func TestLostConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.gpu1.hangUpAt = "apply"
		outcome, err := h.apply()
		mustFail(t, err, "gpu-1")
		failure := outcome.Failed[0]
		if failure.Resource.Kind == "" || failure.Hint == "" || !strings.HasPrefix(failure.Did, "last heard of at step ") {
			t.Errorf("error %+v", failure)
		}
		if strings.Contains(failure.Summary, "conversation") || strings.Contains(failure.Summary, ": apply: ") {
			t.Errorf("it says %q: what is that to an operator?", failure.Summary)
		}
		h.gpu1.hangUpAt = ""
		h.mustApply()
		mustBeEmpty(t, h.plan())
	})
}

func TestHostFallsSilentAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.gpu1.silentAt = "finish"
		outcome, err := h.apply()
		mustFail(t, err, "gpu-1")
		failure := outcome.Failed[0]
		if !strings.Contains(failure.Summary, "nothing was heard of relay-host for 30s") || failure.Did != "all its steps were done" {
			t.Errorf("error %+v", failure)
		}
		h.gpu1.silentAt = ""
		h.mustApply()
		mustBeEmpty(t, h.plan())
	})
}

// A network that is gone while a model is waited for is not a slow engine.
func TestConnectionLostDuringTheProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		h.relay.setAnswer(hang)
		h.config.Events = func(e engine.Event) {
			if e.Phase == engine.Proving && strings.Contains(e.Text, "qwen3") {
				h.edge.mu.Lock()
				h.edge.silentAt = "ping"
				h.edge.mu.Unlock()
			}
		}
		outcome, took, err := h.reapply()
		if !errors.Is(err, engine.ErrNoToken) || took > time.Minute {
			t.Errorf("error %v after %v", err, took)
		}
		if got := outcome.Proof.Models[1].Err.Summary; got != "the connection to edge was lost" {
			t.Errorf("it says %q", got)
		}
	})
}

func TestLockIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		release := h.edge.holdLock("eve@laptop")
		go func() {
			<-time.After(20 * time.Second)
			release()
		}()
		began := time.Now()
		h.mustApply()
		if waited := time.Since(began); waited < 20*time.Second || waited > 40*time.Second {
			t.Errorf("the apply took %v", waited)
		}
		waits := h.heard("edge", engine.Locking)
		if len(waits) < 3 || !strings.Contains(waits[0].Text, "eve@laptop") {
			t.Errorf("told while waiting: %+v", waits)
		}
	})
}

// A worker that somebody else works on for too long is left out.
func TestLockedWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		release := h.gpu2.holdLock("eve@laptop")
		_, err := h.apply()
		mustFail(t, err, "gpu-2")
		if !errors.Is(err, engine.ErrLocked) || !h.gpu1.has("/etc/relay/worker.json") || h.gpu2.has("/etc/relay") {
			t.Errorf("error %v", err)
		}
		release()
		h.mustApply()
		mustBeEmpty(t, h.plan())
	})
}

func TestLockIsNotWaitedForLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		release := h.edge.holdLock("eve@laptop")
		defer release()
		before := h.gpu1.snapshot()
		_, err := h.apply()
		mustFail(t, err, "edge")
		if !errors.Is(err, engine.ErrLocked) || !strings.Contains(err.Error(), "eve@laptop") {
			t.Errorf("error %v", err)
		}
		if diff := cmp.Diff(before, h.gpu1.snapshot()); diff != "" {
			t.Errorf("something was done elsewhere (-before +after):\n%s", diff)
		}
		if planned := h.plan(); len(planned.Locks) != 1 || planned.Locks[0].Holder != "eve@laptop" {
			t.Errorf("plan tells the locks %+v", planned.Locks)
		}
	})
}

// endless says in the place of what ends a request that it goes on, for ever.
func endless(of string) lie {
	return func(line string) (string, bool) {
		id, _, _ := strings.Cut(strings.TrimPrefix(line, `{"id":`), ",")
		if !strings.Contains(line, of) {
			return line, false
		}
		<-time.After(5 * time.Second)
		return `{"id":` + id + `,"progress":{"step":0,"state":"waiting","what":"looking"}}` + "\n", true
	}
}

// A host that gives signs of life and no end stops neither a plan of the others,
// nor an apply to them.
func TestHostThatNeverEnds(t *testing.T) {
	for name, of := range map[string]string{
		"looking":    `"mac_key"`,
		"locking":    `"result":{"apply"`,
		"the steps":  `"result":{"facts":[`,
		"the ending": "",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				h.gpu1.lie = endless(of)
				if name == "the ending" {
					h.gpu1.lie = endlessAt(h.gpu1, "finish")
				}
				began := time.Now()
				outcome, err := h.apply()
				mustFail(t, err, "gpu-1")
				if !errors.Is(err, hostapi.ErrEndless) || outcome.Failed[0].Hint == "" || !h.gpu2.has("/etc/relay/worker.json") {
					t.Errorf("error %v", err)
				}
				if took := time.Since(began); took > 2*time.Hour+10*time.Minute {
					t.Errorf("it took %v", took)
				}
				h.gpu1.lie = nil
				h.mustApply()
				mustBeEmpty(t, h.plan())
			})
		})
	}
}

// endlessAt is endless from the first request of a kind on.
func endlessAt(m *machine, op string) lie {
	never := endless("")
	return func(line string) (string, bool) {
		m.mu.Lock()
		begun := slices.Contains(m.requests, op)
		m.mu.Unlock()
		if begun {
			return never(line)
		}
		return line, false
	}
}

// The first Ctrl-C ends a plan soon, whatever a host does.
func TestInterruptedPlanOfAHostThatNeverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.gpu1.lie = endless(`"mac_key"`)
		session := h.connect()
		defer session.Close()
		ctx, interrupt := context.WithCancelCause(t.Context())
		stop := errors.New("ctrl-c")
		time.AfterFunc(20*time.Second, func() { interrupt(stop) })
		began := time.Now()
		_, err := session.Plan(ctx)
		if took := time.Since(began); !errors.Is(err, stop) || took > 31*time.Second {
			t.Errorf("error %v after %v", err, took)
		}
	})
}

// So it does an apply.
func TestInterruptedApplyToAHostThatNeverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.edge.lie = endless(`"result":{"facts":[`)
		ctx, interrupt := context.WithCancelCause(t.Context())
		stop := errors.New("ctrl-c")
		time.AfterFunc(20*time.Second, func() { interrupt(stop) })
		began := time.Now()
		_, err := h.applyContext(ctx)
		if took := time.Since(began); !errors.Is(err, stop) || took > 4*time.Minute {
			t.Errorf("error %v after %v", err, took)
		}
	})
}
