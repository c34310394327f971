package engine_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relayctl/relayctl/test/lab/engine"
)

func TestMoods(t *testing.T) {
	const hello = `{"model":"tiny","messages":[{"role":"user","content":"Hi"}]`
	tests := []struct {
		name  string
		moods engine.Moods
		body  string
		fault string // empty: it is answered
	}{
		{"no mood", engine.Moods{}, hello + `,"max_tokens":1,"stream":true}`, ""},
		{"too low", engine.Moods{LeastTokens: 16}, hello + `,"max_tokens":1}`, "below minimum value"},
		{"too low, by the new name", engine.Moods{LeastTokens: 16}, hello + `,"max_completion_tokens":15}`, "below minimum value"},
		{"high enough", engine.Moods{LeastTokens: 16}, hello + `,"max_tokens":16}`, ""},
		{"the old name", engine.Moods{NewLimit: true}, hello + `,"max_tokens":16}`, "Unsupported parameter"},
		{"the new name", engine.Moods{NewLimit: true}, hello + `,"max_completion_tokens":16}`, ""},
		{"a stream", engine.Moods{NoStream: true}, hello + `,"stream":true}`, "not supported"},
		{"in one piece", engine.Moods{NoStream: true}, hello + `}`, ""},
		{"no system message", engine.Moods{NeedsSystem: true}, hello + `}`, "role system"},
		{"a system message", engine.Moods{NeedsSystem: true}, strings.Replace(hello, "user", "system", 1) + `}`, ""},
	}
	for _, test := range tests {
		w := httptest.NewRecorder()
		newStub(t, engine.Config{Moods: test.moods}).Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(test.body)))
		if wrong := w.Code == http.StatusBadRequest; wrong != (test.fault != "") || !strings.Contains(w.Body.String(), test.fault) {
			t.Errorf("%s: %d %s", test.name, w.Code, w.Body)
		}
	}
}

// A load is given up when nobody waits for it any more, as Ollama does, and
// goes on while anybody does.
func TestWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stub := newStub(t, engine.Config{Moods: engine.Moods{Wake: 45 * time.Second}})
		ask := func(patience time.Duration) <-chan time.Duration {
			done := make(chan time.Duration, 1)
			go func() {
				ctx, leave := context.WithTimeout(t.Context(), patience)
				defer leave()
				w, began := httptest.NewRecorder(), time.Now()
				body := `{"model":"tiny","max_tokens":1,"messages":[{"role":"user","content":"Hi"}]}`
				stub.Handler().ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/chat/completions", strings.NewReader(body)))
				if !strings.Contains(w.Body.String(), "finish_reason") {
					began = time.Now().Add(time.Second) // not answered
				}
				done <- time.Since(began)
			}()
			return done
		}
		var took []time.Duration
		took = append(took, <-ask(30*time.Second), <-ask(30*time.Second))
		stub.Load() // nothing is being loaded
		first := ask(30 * time.Second)
		second := ask(time.Minute)
		took = append(took, <-first, <-second, <-ask(time.Second))
		if got := fmt.Sprint(took); got != "[-1s -1s -1s 45s 0s]" {
			t.Errorf("answered after %s", got)
		}
		w := httptest.NewRecorder()
		stub.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		if !strings.Contains(w.Body.String(), `stub_loads_total{engine="0",model_name="tiny"} 3.0`) {
			t.Errorf("metrics: %s", w.Body)
		}
	})
}
