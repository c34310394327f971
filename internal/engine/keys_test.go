package engine_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/engine"
)

func TestMadeKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.keys.heard = func() {
			for _, m := range []*machine{h.edge, h.gpu1, h.gpu2} {
				if m.has("/var/lib/relayctl/keys.json") || m.has("/etc/relay") || m.has("/usr/local/lib/relayctl") {
					t.Error("something was applied before the key was handed over")
				}
			}
		}
		outcome := h.mustApply()
		if !slices.Equal(outcome.Keys, []string{"laptop"}) || !slices.Equal(h.keys.names(), []string{"laptop"}) {
			t.Fatalf("keys to show: %v, delivered: %v", outcome.Keys, h.keys.names())
		}
		key := h.keys.taken["laptop"]
		if !strings.HasPrefix(key.Reveal(), "rk_") || !strings.Contains(h.edge.read("/etc/relay/keys.json"), key.Hash()) {
			t.Error("the relay does not have the hash of the key that was handed over")
		}
		for _, m := range []*machine{h.edge, h.gpu1, h.gpu2} {
			for path, content := range m.snapshot() {
				if strings.Contains(content, key.Reveal()) {
					t.Errorf("the key itself stands in %s", path)
				}
			}
		}
		if again := h.mustApply(); len(again.Keys) > 0 {
			t.Errorf("the key was made anew: %v", again.Keys)
		}
	})
}

// A key that could not be shown is made anew by the next apply.
func TestKeyNotShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		session := h.connect()
		planned, err := session.Plan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		broken := errors.New("write to terminal: broken pipe")
		_, err = session.Apply(t.Context(), planned, func(*engine.Outcome) error { return broken })
		session.Close()
		if !errors.Is(err, broken) {
			t.Errorf("error %v", err)
		}
		first := h.keys.taken["laptop"]
		if again := h.plan(); again.Empty() || !slices.Equal(again.Keys, []string{"laptop"}) {
			t.Errorf("planned keys %v", again.Keys)
		}
		h.mustApply()
		if second := h.keys.taken["laptop"]; second == first || strings.Contains(h.edge.read("/etc/relay/keys.json"), first.Hash()) {
			t.Error("the key that nobody saw is still good")
		}
		mustBeEmpty(t, h.plan())
	})
}

// A key is shown even when the apply fails after its hash was stored.
func TestKeyOfFailedApply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.edge.Systemd.Unit("relay-server.service").Fails = true
		outcome, err := h.apply()
		if err == nil || !slices.Equal(outcome.Keys, []string{"laptop"}) {
			t.Fatalf("error %v, keys %v", err, outcome.Keys)
		}
		key := h.keys.taken["laptop"]
		h.edge.Systemd.Unit("relay-server.service").Fails = false
		if again := h.mustApply(); len(again.Keys) > 0 || !strings.Contains(h.edge.read("/etc/relay/keys.json"), key.Hash()) {
			t.Error("the key that was shown is not good")
		}
	})
}

func TestNobodyToGiveKeysTo(t *testing.T) {
	for name, prepare := range map[string]func(*home) error{
		"no delivery":     func(h *home) error { h.config.Keys = nil; return engine.ErrNoDelivery },
		"delivery failed": func(h *home) error { h.keys.err = errors.New("disk full"); return h.keys.err },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				want := prepare(h)
				outcome, err := h.apply()
				if !errors.Is(err, want) || len(outcome.Keys) > 0 {
					t.Errorf("error %v, want %v; keys %v", err, want, outcome.Keys)
				}
				if h.edge.has("/etc/relay") || h.edge.has("/usr/local/lib/relayctl") || h.gpu1.has("/etc/relay") {
					t.Error("something was applied")
				}
				// With somebody to give keys to, it goes on.
				h.config.Keys, h.keys.err = h.keys, nil
				h.mustApply()
			})
		})
	}
}

// The order of what is told on the way to a key's owner.
func TestShowIsCalledOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		session := h.connect()
		defer session.Close()
		planned, err := session.Plan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var shown []*engine.Outcome
		outcome, err := session.Apply(t.Context(), planned, func(o *engine.Outcome) error {
			shown = append(shown, o)
			if !o.Proof.OK() || len(o.Hosts) != 3 || o.Took <= 0 {
				t.Errorf("outcome to show: %+v", o)
			}
			if planned := h.plan(); len(planned.Locks) != 1 || planned.Locks[0].Host != "edge" {
				t.Errorf("locks while it is shown: %+v", planned.Locks)
			}
			return nil
		})
		if err != nil || len(shown) != 1 {
			t.Fatalf("error %v, shown %d times", err, len(shown))
		}
		if diff := cmp.Diff(shown[0].Keys, outcome.Keys); diff != "" {
			t.Error(diff)
		}
	})
}
