package engine_test

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

func ignore(*engine.Outcome) error { return nil }

// An apply of somebody else between the plan of a rollback and its lock is not
// undone unseen: what it changed stays, and where both are about the same thing
// the rollback fails.
func TestRollbackWhileSomebodyApplies(t *testing.T) {
	for name, source := range map[string]string{
		"of the same thing": strings.ReplaceAll(homeStack, "11434", "11600"),
		"that undoes it":    homeStack,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				h.applies(homeStack, strings.ReplaceAll(homeStack, "11434", "11500"))
				session := h.connect()
				defer session.Close()
				rollback, err := session.PlanRollback(t.Context(), engine.LastChange)
				if err != nil {
					t.Fatal(err)
				}
				h.applies(source)
				stands := h.stands()
				_, err = session.Rollback(t.Context(), rollback, ignore)
				if isSame := name == "of the same thing"; errors.Is(err, engine.ErrChangedSince) != isSame || !isSame && err != nil {
					t.Errorf("error %v\n%+v", err, explained(err))
				}
				h.mustStand(stands)
				h.applies(homeStack)
				mustBeEmpty(t, h.plan())
			})
		})
	}
}

// After a worker was given up, the others go back.
func TestRollbackAfterForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.applies(homeStack)
		h.gpu2.refuse = errors.New("connection timed out")
		h.config.Stack, h.config.Forget = load(t, homeWithout), []string{"gpu-2"}
		h.mustApply()
		h.config.Forget = nil
		rollback, _, err := h.rollback(engine.LastChange)
		if err != nil {
			t.Errorf("error %v\n%+v%s", err, explained(err), changesOf(rollback))
		}
		if h.edge.has("/etc/relay/workers.d/gpu-2.json") {
			t.Error("gpu-2 is let in again")
		}
		h.gpu2.refuse = nil
		h.applies(homeStack)
		mustBeEmpty(t, h.plan())
	})
}

// Hosts of the stack file may have other names by now; the machines are the same.
func TestRollbackAfterRenaming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.applies(homeStack, strings.ReplaceAll(homeStack, "11434", "11500"))
		h.config.Stack = load(t, strings.ReplaceAll(homeStack, `"gpu-1"`, `"big"`))
		rollback, _, err := h.rollback(engine.LastChange)
		if err != nil {
			t.Errorf("error %v\n%+v%s", err, explained(err), changesOf(rollback))
		}
		if !strings.Contains(h.gpu1.read("/etc/relay/worker.json"), "11434") {
			t.Error("gpu-1 was not rolled back")
		}
		if h.gpu1.record().Manifest() == nil {
			t.Error("gpu-1 is forgotten")
		}
		h.applies(homeStack)
		mustBeEmpty(t, h.plan())
	})
}

// A worker's new name is undone like its removal and a new one: it says so, and
// the former name is let in again when it is applied.
func TestRollbackOfRenaming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.applies(homeStack)
		h.applies(strings.ReplaceAll(homeStack, `"gpu-1"`, `"big"`))
		rollback, _, err := h.rollback(engine.LastChange)
		if err != nil || !strings.Contains(changesOf(rollback), "gpu-1.json named a worker whose secret was revoked") {
			t.Errorf("error %v\n%+v%s", err, explained(err), changesOf(rollback))
		}
		h.applies(homeStack)
		mustBeEmpty(t, h.plan())
	})
}

// A proxy that was replaced remembers nobody: the new one is destroyed with the
// workers of the file, and the former one is left as it is.
func TestDestroyAfterTheProxyWasReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		former := h.edge
		h.edge = newMachine(t, "edge-new")
		h.network["10.0.0.10"] = h.edge
		h.relay = newFakeRelay(t, h.edge)
		h.config.DialContext = h.relay.dial
		h.network["10.0.0.11"] = former
		if _, err := h.destroy(true); err != nil {
			t.Errorf("error %v\n%+v", err, explained(err))
		}
		mustBeClean(t, h.edge, h.gpu1, h.gpu2)
		if !former.has(journalPath) {
			t.Error("the former one was found")
		}
	})
}

// A remembered host that another stack has taken is not touched, and stops
// nothing.
func TestDestroyWithAHostOfAnotherStack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		h.config.Stack = load(t, homeWithout)
		h.gpu2.movesTo("shop")
		before := h.gpu2.snapshot()
		if outcome, err := h.destroy(true); err != nil {
			t.Fatalf("%+v, error %v\n%+v", outcome, err, explained(err))
		}
		mustBeClean(t, h.edge, h.gpu1)
		if !equalMaps(before, h.gpu2.snapshot()) {
			t.Error("gpu-2 was changed")
		}
	})
}

// A host of the file that another stack has is a failure; the proxy host stays
// until it is given up.
func TestDestroyWithAWorkerOfAnotherStack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		h.gpu2.movesTo("shop")
		before := h.gpu2.snapshot()
		_, err := h.destroy(true)
		if !errors.Is(err, engine.ErrOtherStack) || !errors.Is(err, engine.ErrStillThere) {
			t.Errorf("error %v", err)
		}
		h.config.Forget = []string{"gpu-2"}
		if _, err := h.destroy(true); err != nil {
			t.Errorf("error %v\n%+v", err, explained(err))
		}
		mustBeClean(t, h.edge, h.gpu1)
		if !equalMaps(before, h.gpu2.snapshot()) {
			t.Error("gpu-2 was changed")
		}
	})
}

// After a destroy without purge, the same root and the same keys are good for
// clients.
func TestApplyAfterDestroy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		const ca = "/var/lib/relayctl/ca/internal.pem"
		root, laptop := h.edge.read(ca), h.keys.taken["laptop"].Hash()
		if _, err := h.destroy(false); err != nil {
			t.Fatal(err)
		}
		if outcome := h.mustApply(); len(outcome.Keys) > 0 {
			t.Errorf("keys %v were made", outcome.Keys)
		}
		if h.edge.read(ca) != root || !strings.Contains(h.edge.read("/etc/relay/keys.json"), laptop) {
			t.Error("another root, or another key")
		}
		mustBeEmpty(t, h.plan())
		if _, err := h.destroy(true); err != nil {
			t.Fatal(err)
		}
		mustBeClean(t, h.edge, h.gpu1, h.gpu2)
		if h.edge.has(plan.StoreDir) {
			t.Error("something is left")
		}
	})
}

// What somebody took away by hand is no reason to stop for a destroy.
func TestDestroyOfWhatIsGone(t *testing.T) {
	for _, path := range []string{
		"/etc/relay", "/etc/relay/worker.json", "/etc/systemd/system/relay-worker.service", "/usr/local/lib/relayctl/relay-worker",
		"/var/lib/relayctl/secrets", "/var/lib/relayctl/generations", "/usr/local/lib/relayctl", "/var/lib/relayctl/mac.key",
	} {
		t.Run(path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				h.applies(homeStack, strings.ReplaceAll(homeStack, "11434", "11500"))
				if err := os.RemoveAll(h.gpu1.path(path)); err != nil {
					t.Fatal(err)
				}
				if _, err := h.destroy(true); err != nil {
					t.Fatalf("error %v\n%+v", err, explained(err))
				}
				mustBeClean(t, h.edge, h.gpu1, h.gpu2)
			})
		})
	}
}

// A host that was restored by itself has an apply more than the others; the
// numbers go on after it, and the next rollback undoes that first.
func TestRollbackAfterRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.applies(homeStack)
		first := h.stands()
		h.applies(strings.ReplaceAll(homeStack, "11434", "11500"))
		second := h.stands()
		own := h.gpu1.relayHost("", "")
		if err := own.Restore(t.Context(), -1, io.Discard); err != nil {
			t.Fatal(err)
		}
		own.Close()
		if rollback := h.mustRollback(engine.LastChange); rollback.To != 2 || rollback.Last != 3 {
			t.Errorf("rollback %+v", rollback)
		}
		h.mustStand(second)
		h.mustRollback(1)
		h.mustStand(first)
		h.applies(strings.ReplaceAll(homeStack, "11434", "11500"))
		numbers := map[int]bool{}
		for _, m := range []*machine{h.edge, h.gpu1, h.gpu2} {
			numbers[m.lastPast().Number] = true
		}
		if len(numbers) != 1 {
			t.Errorf("numbers %v", numbers)
		}
	})
}

// Nothing secret is in what hosts tell of former things, nor in what is shown of
// a rollback.
func TestRollbackTellsNothingSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.applies(withKey(homeStack), homeStack)
		var said strings.Builder
		for _, m := range []*machine{h.edge, h.gpu1, h.gpu2} {
			m.lie = func(line string) (string, bool) {
				h.mu.Lock()
				defer h.mu.Unlock()
				said.WriteString(line)
				return line, false
			}
		}
		rollback := h.mustRollback(engine.LastChange)
		text := said.String() + changesOf(rollback)
		for _, change := range rollback.Hosts[1].Changes {
			if before, after, ok := rollback.Texts("gpu-1", change); ok {
				text += before + after
			}
		}
		if !h.gpu1.has(sharedKey) {
			t.Error("the key is not back")
		}
		for what, secret := range map[string]string{
			"the engine's key": "a-key-that-two-engines-share", "a worker's secret": strings.TrimSpace(h.gpu1.read("/var/lib/relayctl/secrets/worker")), "the CA's key": "PRIVATE KEY",
		} {
			if strings.Contains(text, secret) {
				t.Errorf("%s is told", what)
			}
		}
		for _, m := range []*machine{h.edge, h.gpu1, h.gpu2} {
			if journal := m.read(journalPath); strings.Contains(journal, "a-key-that-two") || strings.Contains(journal, "PRIVATE KEY") {
				t.Error("a journal holds a secret")
			}
		}
	})
}
