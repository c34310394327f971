package engine_test

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/relayctl/relayctl/internal/engine"
)

// proxyStack is a stack without a worker.
const proxyStack = `
stack "home" {}

proxy "edge" {
  address = "10.0.0.10"
  domain  = "llm.example.com"
  tls "internal" {}
}

api_key "laptop" {}
`

// nginx answers whatever it is asked.
func nginx(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Server", "nginx")
	io.WriteString(w, "<h1>Welcome</h1>")
}

// A stack without workers is proved, too: clients have to reach its relay, and
// nothing else.
func TestProofWithoutWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.config.Stack = load(t, proxyStack)
		proof := h.mustApply().Proof
		if !proof.OK() || proof.Route != engine.RouteDomain || len(proof.Models) > 0 || len(h.relay.dialled) != 1 {
			t.Errorf("proof %+v, dialled %v", proof, h.relay.dialled)
		}
		h.relay.unknown["llm.example.com:443"] = true
		proof = h.mustApply().Proof // a detour is no error
		if !proof.OK() || proof.Route != engine.RouteAddress || len(proof.Detours) != 1 {
			t.Errorf("proof %+v", proof)
		}
		if status := h.status(); status.Route != engine.RouteAddress || len(status.Detours) != 1 {
			t.Errorf("status %+v", status)
		}
	})
}

// strangers are answers that are not those of the stack's relay.
var strangers = []struct {
	name   string
	answer http.HandlerFunc
	says   string
}{
	{"a website", nginx, "llm.example.com is answered by something else: 200, Server: nginx"},
	{"another API", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Request-Id", "req_0123456789abcdef0123456789abcdef")
		io.WriteString(w, `{"object":"list","data":[{"id":"llama3-8b"}]}`)
	}, "llm.example.com is answered by something else: 200, Content-Type: application/json"},
	{"a redirect", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "https://www.example.com/")
		w.WriteHeader(http.StatusMovedPermanently)
	}, "llm.example.com is answered by something else: 301, Location: https://www.example.com/"},
	{"a login", func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil
		w.WriteHeader(http.StatusUnauthorized)
	}, "llm.example.com is answered by something else: 401"},
	{"another stack's relay", func(w http.ResponseWriter, request *http.Request) {
		w.Header().Set("X-Request-Id", "req_0123456789abcdef01234567")
		refuseAs(401, "invalid_api_key", "this API key is not good here")(w, request)
	}, "the relay can't be reached: the relay that answers there does not know this stack's probe key"},
	{"nothing behind the proxy", refuseWith(502, "the relay does not answer"),
		"the relay can't be reached: the answer is 502: the relay does not answer"},
}

func TestStrangersAreNoRelay(t *testing.T) {
	for _, test := range strangers {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				h.mustApply()
				h.relay.setFront(test.answer)
				outcome, _, err := h.reapply()
				var failure *engine.NoToken
				if !errors.As(err, &failure) || failure.Summary != test.says || outcome.Proof.OK() {
					t.Fatalf("error %v, want %q", err, test.says)
				}
				if log := strings.Join(failure.Log, "\n"); !strings.Contains(log, "domain: ") || !strings.Contains(log, "address: ") || failure.Hint == "" {
					t.Errorf("told %q, hint %q", failure.Log, failure.Hint)
				}
				for _, model := range outcome.Proof.Models {
					if model.Err == nil || len(h.relay.asked) != 2 {
						t.Errorf("asked %v: %+v", h.relay.asked, model)
					}
				}
				h.config.Stack = load(t, proxyStack)
				status := h.status()
				isTold := func(p engine.Problem) bool { return p.Kind == engine.NoWay && p.Summary == test.says }
				if !slices.ContainsFunc(status.Problems, isTold) || status.Route != "" {
					t.Errorf("status without workers: %+v", status)
				}
			})
		})
	}
}

// A relay that restarts is the stack's relay.
func TestRestartingRelayIsReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.config.Stack = load(t, proxyStack)
		h.mustApply()
		h.relay.setFront(func(w http.ResponseWriter, request *http.Request) {
			w.Header().Set("X-Request-Id", "req_0123456789abcdef01234567")
			refuseAs(503, "relay_stopping", "the relay is restarting")(w, request)
		})
		if status := h.status(); status.Route != engine.RouteDomain {
			t.Errorf("status %+v", status)
		}
	})
}
