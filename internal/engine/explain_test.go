package engine_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/engine"
)

// failing is what a relay says whose workers told of their engines' failures;
// empty: they told of none.
func failing(gpu1, gpu2 string) string {
	model := func(name, failed string) string {
		if failed == "" {
			return fmt.Sprintf(`{"name": %q}`, name)
		}
		return fmt.Sprintf(`{"name": %q, "failed": {"at": "2000-01-01T00:00:00Z", %s}}`, name, failed)
	}
	return fmt.Sprintf(`{"workers": [
  {"name": "gpu-1", "connected": true, "models": [%s]},
  {"name": "gpu-2", "connected": true, "models": [%s, %s]}
]}`, model("llama3-8b", gpu1), model("llama3-8b", gpu2), model("qwen3", gpu2))
}

const (
	nothingListens = `"code": "engine_unreachable", "text": "nothing listens on 127.0.0.1:9001"`
	keyRefused     = `"code": "engine_key_refused", "text": "the engine answers 401: Unauthorized"`
	overloaded     = `"code": "engine_unavailable", "text": "the engine answers 503: Loading model\nsecond line"`
	unheardOf      = `"code": "engine_on_fire", "text": "the engine is on fire"`
)

// What a worker told of its engine is said first; journals, in which it is not,
// are left out.
func TestCauseIsTold(t *testing.T) {
	for _, test := range []struct {
		name    string
		status  string
		spoil   func(*home)
		model   int
		summary string
		log     []string
		hint    string
	}{
		{
			name: "nothing listens", status: failing("", nothingListens), model: 1,
			spoil:   func(h *home) { h.relay.setAnswer(refuseAs(503, "engine_unreachable", "it can't be reached")) },
			summary: "gpu-2: nothing listens on 127.0.0.1:9001",
			log:     []string{"clients see this: the answer is 503: it can't be reached"},
			hint:    "Is the engine of qwen3 up on gpu-2? It is expected at http://127.0.0.1:11435 (stack.hcl line 23).",
		},
		{
			name: "at both workers", status: failing(nothingListens, keyRefused), model: 0,
			spoil:   func(h *home) { h.relay.setAnswer(refuseAs(502, "engine_key_refused", "refused")) },
			summary: "gpu-1: nothing listens on 127.0.0.1:9001",
			log:     []string{"clients see this: the answer is 502: refused", "gpu-2: the engine answers 401: Unauthorized"},
			hint:    "Is the engine of llama3-8b up on gpu-1? It is expected at http://127.0.0.1:11434 (stack.hcl line 13).",
		},
		{
			name: "no key", status: failing("", keyRefused), model: 1,
			spoil:   func(h *home) { h.relay.setAnswer(refuseAs(502, "engine_key_refused", "refused")) },
			summary: "gpu-2: the engine answers 401: Unauthorized",
			log:     []string{"clients see this: the answer is 502: refused"},
			hint:    `The engine asks for a key: add backend_key to model "qwen3" of worker "gpu-2" (stack.hcl line 22).`,
		},
		{
			name: "a wrong key", status: failing("", keyRefused), model: 1,
			spoil: func(h *home) {
				h.config.Stack = load(h.t, strings.Replace(homeStack, `11435"`, `11435"`+"\n    backend_key = file(\"shared.key\")", 1))
				h.mustApply()
				h.relay.setAnswer(refuseAs(502, "engine_key_refused", "refused"))
			},
			summary: "gpu-2: the engine answers 401: Unauthorized",
			log:     []string{"clients see this: the answer is 502: refused"},
			hint:    `The engine takes another key than backend_key of model "qwen3" of worker "gpu-2" (stack.hcl line 24).`,
		},
		{
			name: "its own words", status: failing("", overloaded), model: 1,
			spoil:   func(h *home) { h.relay.setAnswer(refuseAs(503, "", "Loading model")) },
			summary: "gpu-2: the engine answers 503: Loading model",
			log:     []string{"clients see this: the answer is 503: Loading model"},
			hint:    "Look at what the engine of qwen3 itself says on gpu-2.",
		},
		{
			name: "of a kind that nobody knows yet", status: failing("", unheardOf), model: 1,
			spoil:   func(h *home) { h.relay.setAnswer(refuseAs(500, "engine_on_fire", "failed")) },
			summary: "gpu-2: the engine is on fire",
			log:     []string{"clients see this: the answer is 500: failed"},
			hint:    "Look at what the engine of qwen3 itself says on gpu-2.",
		},
		{
			name: "what was asked for is at fault", status: failing("", unheardOf), model: 1,
			spoil:   func(h *home) { h.relay.setAnswer(refuseWith(404, "no such model")) },
			summary: "the answer is 404: no such model",
			log:     []string{"gpu-2: the engine is on fire"},
			hint:    "Look at the engine of qwen3: is it up, and does it answer by itself?",
		},
		{
			name: "the relay's own reason", status: failing("", unheardOf), model: 1,
			spoil:   func(h *home) { h.relay.setAnswer(refuseAs(503, "queue_timeout", "busy")) },
			summary: "the answer is 503: busy",
			log:     []string{"gpu-2: the engine is on fire"},
			hint:    "Look at the engine of qwen3: is it up, and does it answer by itself?",
		},
		{
			name: "it hangs", status: failing("", ""), model: 1,
			spoil:   func(h *home) { h.relay.setAnswer(hang) },
			summary: "no token within 10 s",
			log:     []string{"gpu-2: connected; its engine at http://127.0.0.1:11435 gives no token"},
			hint:    "Look at the engine of qwen3: is it up, and does it answer by itself?",
		},
		{
			name: "no cause is known", status: failing("", ""), model: 1,
			spoil:   func(h *home) { h.relay.setAnswer(refuseAs(502, "engine_failed", "broke off")) },
			summary: "the answer is 502: broke off",
			log:     []string{"gpu-2: settings reloaded"},
			hint:    "Look at the engine of qwen3: is it up, and does it answer by itself?",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			admin := newAdmin(t, test.status)
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				h.mustApply()
				h.edge.useAdmin(admin)
				h.gpu1.Log["relay-worker.service"], h.gpu2.Log["relay-worker.service"] = []string{"settings reloaded"}, []string{"settings reloaded"}
				test.spoil(h)
				failure := h.status().Models[test.model].Proof.Err
				if failure.Summary != test.summary || failure.Hint != test.hint {
					t.Errorf("it says %q, and %q", failure.Summary, failure.Hint)
				}
				if diff := cmp.Diff(test.log, failure.Log); diff != "" {
					t.Errorf("log (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// An apply says it, too.
func TestApplyTellsTheCause(t *testing.T) {
	admin := newAdmin(t, failing("", keyRefused))
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		h.edge.useAdmin(admin)
		h.relay.setAnswer(refuseAs(502, "engine_key_refused", "refused"))
		outcome, took, err := h.reapply()
		if !errors.Is(err, engine.ErrNoToken) || took > time.Second {
			t.Errorf("error %v after %v", err, took)
		}
		if got := outcome.Proof.Models[1].Err; got.Summary != "gpu-2: the engine answers 401: Unauthorized" {
			t.Errorf("it says %q", got.Summary)
		}
	})
}
