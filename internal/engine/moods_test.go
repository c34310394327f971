package engine_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
	stub "github.com/relayctl/relayctl/test/lab/engine"
)

// newEngine is an engine with moods, which the relay passes requests to.
func (h *home) newEngine(moods stub.Moods) http.Handler {
	h.t.Helper()
	e, err := stub.New(stub.Config{Models: []string{"llama3-8b", "qwen3"}, Moods: moods})
	if err != nil {
		h.t.Fatal(err)
	}
	h.relay.setAnswer(e.Handler().ServeHTTP)
	return e.Handler()
}

// Any engine that a client could use is well, in however few requests.
func TestEnginesOfAllMoods(t *testing.T) {
	for _, test := range []struct {
		name  string
		moods stub.Moods
		asks  int // per model
	}{
		{"none", stub.Moods{}, 1},
		{"16 tokens at least", stub.Moods{LeastTokens: 16}, 2},
		{"max_completion_tokens only", stub.Moods{NewLimit: true}, 2},
		{"max_completion_tokens only, 16 at least", stub.Moods{NewLimit: true, LeastTokens: 16}, 2},
		{"no streams", stub.Moods{NoStream: true}, 4},
		{"no streams, 16 at least", stub.Moods{NoStream: true, LeastTokens: 16}, 5},
		{"a system message", stub.Moods{NeedsSystem: true}, 7},
		{"all of it", stub.Moods{NeedsSystem: true, NoStream: true, NewLimit: true, LeastTokens: 16}, 11},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				h.mustApply()
				h.newEngine(test.moods)
				h.relay.asked = nil
				outcome := h.mustApply()
				if !outcome.Proof.OK() || len(h.relay.asked) != 2*test.asks {
					t.Errorf("asked %d times: %+v", len(h.relay.asked), outcome.Proof)
				}
			})
		})
	}
}

// A model that takes 45 s to load, at an engine that gives up when the caller
// leaves, is waited for with one request, and that is told.
func TestColdEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		e := h.newEngine(stub.Moods{Wake: 45 * time.Second})
		h.relay.asked, h.events = nil, nil
		outcome, took, err := h.reapply()
		if err != nil || took < 45*time.Second || took > 46*time.Second || len(h.relay.asked) != 2 {
			t.Errorf("error %v after %v, asked %v", err, took, h.relay.asked)
		}
		if first := outcome.Proof.Models[0].FirstToken; first < 45*time.Second {
			t.Errorf("first token after %v", first)
		}
		w := httptest.NewRecorder()
		e.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		if !strings.Contains(w.Body.String(), `stub_loads_total{engine="0",model_name="llama3-8b"} 1.0`) {
			t.Errorf("metrics: %s", w.Body)
		}
		told := 0
		for _, event := range h.heard("", engine.Proving) {
			if event.Text == "qwen3 to answer" {
				told++
			}
		}
		if told < 9 {
			t.Errorf("told %d times in 45 s", told)
		}
	})
}

// Status has an answer within 10 s and says no more than it knows, and how to
// go on.
func TestStatusOfAColdEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		h.newEngine(stub.Moods{Wake: 45 * time.Second})
		began := time.Now()
		problem := h.status().Problems[1] // the first is that the relay can't be asked here
		if took := time.Since(began); took > 11*time.Second {
			t.Errorf("it took %v", took)
		}
		got := fmt.Sprintf("%s; %s, which %s", problem.Summary, problem.Command, problem.Why)
		if want := "llama3-8b gave no token within 10 s: it may be loading, or hang; relayctl status, which looks again; the relay goes on asking"; got != want {
			t.Errorf("it says %q", got)
		}
	})
}
