package engine_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

// destroy plans and destroys.
func (h *home) destroy(purge bool) (*engine.Outcome, error) {
	h.t.Helper()
	session := h.connect()
	defer session.Close()
	planned, err := session.PlanDestroy(h.t.Context(), purge)
	if err != nil {
		h.t.Fatalf("plan: %v", err)
	}
	return session.Destroy(h.t.Context(), planned, func(*engine.Outcome) error { return nil })
}

// mustBeClean holds that nothing of relayctl's is left on machines.
func mustBeClean(t testing.TB, machines ...*machine) {
	t.Helper()
	for _, m := range machines {
		for _, path := range []string{"/etc/relay", "/etc/systemd/system/relay-worker.service", "/etc/systemd/system/relay-server.service", "/usr/local/lib/relayctl", journalPath, "/var/lib/relayctl/secrets", "/var/lib/relayctl/lock"} {
			if m.has(path) {
				t.Errorf("%s is left on %s", path, m.read("/etc/machine-id"))
			}
		}
	}
}

// Everything goes, on hosts that left the stack file too, and the proxy host
// comes last. Once more changes nothing.
func TestDestroy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		h.config.Stack = load(t, homeWithout)
		h.events = nil
		outcome, err := h.destroy(true)
		if err != nil {
			t.Fatalf("destroy: %v\n%+v", err, explained(err))
		}
		mustBeClean(t, h.edge, h.gpu1, h.gpu2)
		if len(outcome.Hosts) != 3 || len(outcome.Proof.Models) > 0 {
			t.Errorf("outcome %+v", outcome)
		}
		first := slices.IndexFunc(h.events, func(e engine.Event) bool { return e.Host == "edge" && e.Phase == engine.Started })
		late := func(e engine.Event) bool { return e.Host != "edge" && e.Phase == engine.Finished }
		if first < 0 || slices.ContainsFunc(h.events[first:], late) || len(h.heard("gpu-2", engine.Finished)) != 1 {
			t.Error("the proxy host was begun before the others were finished")
		}
		before := h.snapshots()
		if outcome, err := h.destroy(true); err != nil || len(outcome.Hosts) != 0 || !slices.EqualFunc(before, h.snapshots(), equalMaps) {
			t.Errorf("once more: %+v, error %v", outcome, err)
		}
		h.mustApply()
		mustBeEmpty(t, h.plan())
	})
}

func equalMaps(a, b map[string]string) bool {
	for path, content := range a {
		if b[path] != content {
			return false
		}
	}
	return len(a) == len(b)
}

// A host that is away keeps the proxy host, which remembers nobody else by then,
// until it is there or given up.
func TestDestroyWithAHostAway(t *testing.T) {
	for _, end := range []string{"reached", "given up", "given up, and not in the file"} {
		t.Run(end, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				h.mustApply()
				if end == "given up, and not in the file" {
					h.config.Stack = load(t, homeWithout)
				}
				h.gpu2.refuse = errors.New("connection timed out")
				outcome, err := h.destroy(true)
				if !errors.Is(err, engine.ErrStillThere) || !errors.Is(err, engine.ErrNotConnected) {
					t.Fatalf("error %v", err)
				}
				kept := outcome.Failed[slices.IndexFunc(outcome.Failed, func(f *engine.HostError) bool { return f.Host == "edge" })]
				if !strings.Contains(kept.Summary, "gpu-2") || !strings.Contains(kept.Hint, "--forget gpu-2") || kept.Did != "nothing was changed there" {
					t.Errorf("error %+v", kept)
				}
				mustBeClean(t, h.gpu1)
				if h.edge.remembers("10.0.0.21") || !h.edge.remembers("10.0.0.22") {
					t.Errorf("the proxy host remembers %v", h.edge.record().Manifest().Hosts)
				}
				clean := []*machine{h.edge, h.gpu1}
				if end == "reached" {
					h.gpu2.refuse = nil
					clean = append(clean, h.gpu2)
				} else {
					h.config.Forget = []string{"gpu-2"}
				}
				if _, err := h.destroy(true); err != nil {
					t.Fatalf("destroy: %v\n%+v", err, explained(err))
				}
				mustBeClean(t, clean...)
			})
		})
	}
}

// A step that fails on a worker keeps the proxy host, too.
func TestDestroyBrokenOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		h.gpu1.hangUpAt = "apply"
		if _, err := h.destroy(true); !errors.Is(err, engine.ErrStillThere) {
			t.Errorf("error %v", err)
		}
		h.gpu1.hangUpAt = ""
		if _, err := h.destroy(true); err != nil {
			t.Fatalf("destroy: %v\n%+v", err, explained(err))
		}
		mustBeClean(t, h.edge, h.gpu1, h.gpu2)
	})
}

// What clients trust stays without purge, and can be taken away later.
func TestPurgeAfterDestroy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		const ca, keys = "/var/lib/relayctl/ca/internal.pem", "/var/lib/relayctl/keys.json"
		for _, purge := range []bool{false, false, true} {
			if purge { // a key that is in no stack file any more goes, too
				h.edge.write(keys, strings.Replace(h.edge.read(keys), "{", `{"guest":{"hash":"`+strings.Repeat("a", 64)+`","shown":true},`, 1))
			}
			if _, err := h.destroy(purge); err != nil {
				t.Fatalf("destroy: %v\n%+v", err, explained(err))
			}
			if h.edge.has(ca) == purge || h.edge.has(keys) == purge {
				t.Errorf("purge is %t: CA %t, keys %t", purge, h.edge.has(ca), h.edge.has(keys))
			}
		}
		mustBeClean(t, h.edge, h.gpu1, h.gpu2)
	})
}

// Without purge, what clients trust is no part of the plan.
func TestDestroyKeepsTrust(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		session := h.connect()
		defer session.Close()
		for _, purge := range []bool{false, true} {
			planned, err := session.PlanDestroy(t.Context(), purge)
			if err != nil {
				t.Fatal(err)
			}
			for _, change := range planned.Hosts[0].Changes {
				if isTrust := change.ID.Kind == plan.KindCA || change.ID.Kind == plan.KindKey; isTrust && purge != (change.Action == plan.Remove) {
					t.Errorf("purge is %t: %s %s", purge, change.Action, change.ID)
				}
			}
		}
	})
}
