package engine_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
)

// reapply applies a stack that is set up already, so that only the proof is
// new, and tells how long it took.
func (h *home) reapply() (*engine.Outcome, time.Duration, error) {
	h.t.Helper()
	began := time.Now()
	outcome, err := h.apply()
	return outcome, time.Since(began), err
}

func TestProofRoutes(t *testing.T) {
	for _, test := range []struct {
		name    string
		unknown []string
		want    engine.Route
		detours int
	}{
		{"the domain", nil, engine.RouteDomain, 0},
		{"the address", []string{"llm.example.com:443"}, engine.RouteAddress, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				for _, address := range test.unknown {
					h.relay.unknown[address] = true
				}
				outcome := h.mustApply() // another route than the first is no error
				for _, model := range outcome.Proof.Models {
					if model.Route != test.want || len(model.Detours) != test.detours || model.Err != nil {
						t.Errorf("proof %+v", model)
					}
				}
				if test.detours > 0 && !slices.Contains(h.relay.dialled, "10.0.0.10:443") {
					t.Errorf("dialled %v", h.relay.dialled)
				}
			})
		})
	}
}

// A server that came up between two tries is not reached on a detour.
func TestProofPrefersTheDomain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.relay.fails["llm.example.com:443"] = 1
		outcome := h.mustApply()
		if model := outcome.Proof.Models[0]; model.Route != engine.RouteDomain || len(model.Detours) > 0 {
			t.Errorf("proof %+v", model)
		}
	})
}

// Where neither the domain nor the address leads to the proxy, it asks itself.
func TestProofFromTheProxyHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.relay.unknown["llm.example.com:443"], h.relay.unknown["10.0.0.10:443"] = true, true
		outcome, err := h.apply()
		var failure *engine.NoToken
		if !errors.As(err, &failure) || !errors.Is(err, engine.ErrNoRelay) {
			t.Fatalf("error %v", err) // nobody listens on this machine's port 443
		}
		asked := h.edge.asked()
		if !slices.Contains(asked, "ask") || !strings.Contains(strings.Join(failure.Log, "\n"), "host: ") {
			t.Errorf("asked %v, told %v", asked, failure.Log)
		}
		if len(outcome.Failed) > 0 {
			t.Errorf("hosts failed: %v", outcome.Failed)
		}
	})
}

// A server with another certificate is no route, whatever it answers.
func TestProofTrustsNothingWider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		h.relay.other = newMachineWithCA(t)
		_, _, err := h.reapply()
		if !errors.Is(err, engine.ErrNoRelay) || len(h.relay.asked) != 2 {
			t.Errorf("error %v, asked for %v", err, h.relay.asked)
		}
	})
}

func TestModelsThatGiveNoToken(t *testing.T) {
	wait := func(least, most time.Duration) [2]time.Duration { return [2]time.Duration{least, most} }
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
		says   string
		took   [2]time.Duration
	}{
		{"hang", hang, "no token within 10 min, as long as a client may wait", wait(635*time.Second, 636*time.Second)},
		{"hang, by the relay", func(w http.ResponseWriter, request *http.Request) {
			<-time.After(10 * time.Minute)
			refuseAs(504, "first_byte_timeout", "the model did not begin to answer in time")(w, request)
		}, "no token within 10 min, as long as a client may wait", wait(10*time.Minute, 601*time.Second)},
		{"wrong key", refuseAs(502, "engine_key_refused", "the engine refused the worker's key"), "502: the engine refused", wait(0, time.Second)},
		{"in no form", refuseWith(400, "no chat template"), "400: no chat template", wait(0, time.Second)},
		{"error in one piece", func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"error":{"message":"out of memory"}}`)
		}, "out of memory", wait(0, time.Second)},
		{"no token in one piece", func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"choices":[{"message":{"role":"assistant","content":null},"finish_reason":null}]}`)
		}, "without a token", wait(0, time.Second)},
		{"broken off by the engine", func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"error\"}]}\n\ndata: [DONE]\n\n")
		}, "without a token", wait(0, time.Second)},
		{"no worker", refuseWith(503, "no worker serves it now"), "503: no worker serves it now", wait(60*time.Second, 62*time.Second)},
		{"unknown", refuseWith(404, "no such model"), "404: no such model", wait(0, time.Second)},
		{"error in the stream", func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "data: {\"error\":{\"message\":\"the worker was lost\"}}\n\n")
		}, "the worker was lost", wait(0, time.Second)},
		{"no token in the stream", func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\ndata: [DONE]\n\n")
		}, "without a token", wait(0, time.Second)},
		{"cut", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "data: {\"choices\":[]}\n") }, "unexpected EOF", wait(0, time.Second)},
		{"not a stream", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>hello</html>\n") }, "without a token", wait(0, time.Second)},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				h.mustApply()
				h.relay.setAnswer(test.answer)
				outcome, took, err := h.reapply()
				var failure *engine.NoToken
				if !errors.As(err, &failure) || !strings.Contains(failure.Summary, test.says) {
					t.Fatalf("error %v, want %q", err, test.says)
				}
				if took < test.took[0] || took > test.took[1] {
					t.Errorf("it took %v", took)
				}
				if outcome.Proof.OK() || len(outcome.Proof.Models) != 2 {
					t.Errorf("proof %+v", outcome.Proof)
				}
				if took > 10*time.Second && len(h.heard("", engine.Proving)) < int(took/(10*time.Second)) {
					t.Error("it was silent for more than 10 s")
				}
			})
		})
	}
}

// Workers need a moment to connect: what passes is waited for.
func TestProofWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		connected := time.Now().Add(20 * time.Second)
		h.relay.setAnswer(func(w http.ResponseWriter, request *http.Request) {
			if time.Now().Before(connected) {
				refuseWith(503, "no worker serves it now")(w, request)
				return
			}
			giveToken(w, request)
		})
		outcome, took, err := h.reapply()
		if err != nil || took < 20*time.Second || took > 21*time.Second || !outcome.Proof.OK() {
			t.Errorf("error %v after %v: %+v", err, took, outcome.Proof)
		}
	})
}

// The first event has only a role, a token can be half a character, and some
// models think first.
func TestFirstToken(t *testing.T) {
	const role = `data: {"choices":[]}` + "\n\n" +
		`data: {"choices":[{"delta":{"role":"assistant","content":"","tool_calls":[],"reasoning":null},"finish_reason":""}],"usage":{"completion_tokens":0}}` + "\n\n" +
		`data: {"choices":null,"usage":null}` + "\n\n"
	for _, token := range []string{
		`{"choices":[{"delta":{"content":"x"}}]}`,
		`{"choices":[{"delta":{"reasoning":"x"}}]}`,
		`{"choices":[{"delta":{"reasoning_content":"x"}}]}`,
		`{"choices":[{"delta":{"content":""},"finish_reason":"length"}]}`,
		`{"choices":[{"delta":{"role":"assistant","content":null,"thinking":"x"}}]}`,
		`{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f"}}]}}]}`,
		`{"choices":[{"delta":{"refusal":"no"}}]}`,
		`{"choices":[{"text":"x","finish_reason":null}]}`,
		`{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":1}}`,
		`{"choices":[{"message":{"role":"assistant","content":"x"}}]}`,
	} {
		synctest.Test(t, func(t *testing.T) {
			h := newHome(t)
			h.mustApply()
			h.relay.setAnswer(func(w http.ResponseWriter, _ *http.Request) {
				io.WriteString(w, role)
				w.(http.Flusher).Flush()
				<-time.After(3 * time.Second)
				fmt.Fprintf(w, "data: %s\n\n", token)
			})
			outcome, _, err := h.reapply()
			if err != nil {
				t.Fatalf("%s: %v", token, err)
			}
			if took := outcome.Proof.Models[0].FirstToken; took < 3*time.Second || took > 4*time.Second {
				t.Errorf("%s: first token after %v", token, took)
			}
		})
	}
}
