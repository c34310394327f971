package engine_test

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// tellsFormer is a host that tells how it was, as told has it.
func (m *machine) tellsFormer(told hostapi.FormerTold) {
	m.t.Helper()
	result, err := json.Marshal(told)
	if err != nil {
		m.t.Fatal(err)
	}
	answered := regexp.MustCompile(`^(\{"id":\d+,)"error":.*former.*\}\n$`)
	m.lie = func(line string) (string, bool) {
		return answered.ReplaceAllString(line, `${1}"result":`+strings.ReplaceAll(string(result), "$", "$$")+"}\n"), false
	}
}

const sharedKey = "/etc/relay/backends/llama3-8b.key"

// newRollback is a home whose second apply brought a file to gpu-1.
func newRollback(t testing.TB) *home {
	h := newHome(t)
	h.mustApply()
	h.config.Stack = load(t, strings.Replace(homeStack, "11434\"\n", "11434\"\n    backend_key = file(\"shared.key\")\n", 1))
	h.mustApply()
	if !h.gpu1.has(sharedKey) {
		t.Fatal("the second apply brought nothing")
	}
	brought := plan.Former{ID: plan.ID{Kind: plan.KindFile, Name: sharedKey}, Left: plan.Fact{Exists: true}}
	h.edge.tellsFormer(hostapi.FormerTold{Last: 1})
	h.gpu1.tellsFormer(hostapi.FormerTold{Last: 2, Formers: []plan.Former{brought}})
	h.gpu2.tellsFormer(hostapi.FormerTold{Last: 1})
	return h
}

func (h *home) rollback(to int) (*engine.Rollback, *engine.Outcome, error) {
	h.t.Helper()
	session := h.connect()
	defer session.Close()
	rollback, err := session.PlanRollback(h.t.Context(), to)
	if err != nil {
		return nil, nil, err
	}
	outcome, err := session.Rollback(h.t.Context(), rollback, func(*engine.Outcome) error { return nil })
	return rollback, outcome, err
}

// The last apply that changed anything is undone, where it did, and proved by
// what the relay serves then.
func TestRollback(t *testing.T) {
	admin := newAdmin(t, `{"models":[{"name":"phi"},{"name":"qwen3"}]}`)
	synctest.Test(t, func(t *testing.T) {
		h := newRollback(t)
		h.edge.useAdmin(admin)
		rollback, outcome, err := h.rollback(engine.LastChange)
		if err != nil || rollback.To != 1 || rollback.Last != 2 {
			t.Fatalf("rollback %+v: %v\n%+v", rollback, err, explained(err))
		}
		if h.gpu1.has(sharedKey) || !h.gpu1.has("/etc/relay/worker.json") {
			t.Error("what the second apply brought is there, or more has gone")
		}
		if models := outcome.Proof.Models; !outcome.Proof.OK() || len(models) != 2 || models[0].Model != "phi" {
			t.Errorf("proof %+v", outcome.Proof)
		}
		for _, m := range []*machine{h.edge, h.gpu1} {
			if history := m.read("/var/lib/relayctl/history.jsonl"); !strings.Contains(history, "undid apply 2") || !strings.Contains(history, `"rollback"`) {
				t.Errorf("history: %s", history)
			}
		}
		if !strings.Contains(h.edge.read("/var/lib/relayctl/manifest.json"), "10.0.0.21") {
			t.Error("the proxy host does not remember gpu-1 any more")
		}
	})
}

// A worker that is away is a failure, and stops no other.
func TestRollbackWithAWorkerAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newRollback(t)
		h.gpu2.refuse = errors.New("connection timed out")
		_, _, err := h.rollback(1)
		mustFail(t, err, "gpu-2")
		if h.gpu1.has(sharedKey) {
			t.Error("gpu-1 was not rolled back")
		}
	})
}

// A host that does not remember that far back stops all.
func TestRollbackRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newRollback(t)
		h.gpu1.lie = nil
		_, _, err := h.rollback(1)
		mustFail(t, err, "gpu-1")
		for _, m := range []*machine{h.edge, h.gpu1, h.gpu2} {
			m.tellsFormer(hostapi.FormerTold{})
		}
		if _, _, err := h.rollback(engine.LastChange); !errors.Is(err, engine.ErrNothingToUndo) {
			t.Errorf("error %v", err)
		}
	})
}
