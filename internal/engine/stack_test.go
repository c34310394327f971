package engine_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/relayctl/relayctl/internal/desired"
	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/secret"
	"github.com/relayctl/relayctl/internal/stack"
)

const testVersion = "0.3.0"

// homeStack is a proxy and two workers.
const homeStack = `
stack "home" {}

proxy "edge" {
  address = "10.0.0.10"
  domain  = "llm.example.com"
  tls "internal" {}
}

worker "gpu-1" {
  address = "10.0.0.21"
  model "llama3-8b" {
    backend = "http://127.0.0.1:11434"
  }
}

worker "gpu-2" {
  address = "10.0.0.22"
  model "llama3-8b" {
    backend = "http://127.0.0.1:11434"
  }
  model "qwen3" {
    backend = "http://127.0.0.1:11435"
  }
}

api_key "laptop" {}
`

// homeWithout is homeStack without gpu-2, and so without qwen3.
const homeWithout = `
stack "home" {}

proxy "edge" {
  address = "10.0.0.10"
  domain  = "llm.example.com"
  tls "internal" {}
}

worker "gpu-1" {
  address = "10.0.0.21"
  model "llama3-8b" {
    backend = "http://127.0.0.1:11434"
  }
}

api_key "laptop" {}
`

func load(t testing.TB, source string) *stack.Stack {
	t.Helper()
	s, _, diags := stack.Load("stack.hcl", stack.Options{
		NeedValues: true,
		ReadFile: func(path string) ([]byte, error) {
			if path == "shared.key" {
				return []byte("a-key-that-two-engines-share-0123456789"), nil
			}
			return []byte(source), nil
		},
	})
	if diags.HasErrors() {
		t.Fatalf("load stack: %v", diags)
	}
	return s
}

// home is a whole stack: three machines, a relay that answers, and who uses
// relayctl.
type home struct {
	t                testing.TB
	network          network
	edge, gpu1, gpu2 *machine
	relay            *fakeRelay
	config           engine.Config
	keys             *keyBox

	mu     sync.Mutex
	events []engine.Event
}

func newHome(t testing.TB) *home {
	h := &home{t: t, edge: newMachine(t, "edge"), gpu1: newMachine(t, "gpu-1"), gpu2: newMachine(t, "gpu-2"), keys: &keyBox{}}
	h.network = network{"10.0.0.10": h.edge, "10.0.0.21": h.gpu1, "10.0.0.22": h.gpu2}
	h.relay = newFakeRelay(t, h.edge)
	h.config = engine.Config{
		Stack: load(t, homeStack), Version: testVersion, Operator: "ops@desk", Keys: h.keys,
		Programs: programs{}, Dialer: h.network, DialContext: h.relay.dial,
		Events: func(event engine.Event) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.events = append(h.events, event)
		},
	}
	return h
}

// connect begins a session that ends with the test.
func (h *home) connect() *engine.Session {
	h.t.Helper()
	session, err := engine.Connect(h.t.Context(), h.config)
	if err != nil {
		h.t.Fatalf("connect: %v", err)
	}
	return session
}

// plan looks once and hangs up.
func (h *home) plan() *engine.Planned {
	h.t.Helper()
	session := h.connect()
	defer session.Close()
	planned, err := session.Plan(h.t.Context())
	if err != nil {
		h.t.Fatalf("plan: %v", err)
	}
	return planned
}

// apply plans and applies.
func (h *home) apply() (*engine.Outcome, error) {
	h.t.Helper()
	return h.applyContext(h.t.Context())
}

func (h *home) applyContext(ctx context.Context) (*engine.Outcome, error) {
	h.t.Helper()
	session := h.connect()
	defer session.Close()
	planned, err := session.Plan(ctx)
	if err != nil {
		h.t.Fatalf("plan: %v", err)
	}
	return session.Apply(ctx, planned, func(*engine.Outcome) error { return nil })
}

// mustApply is an apply that goes well.
func (h *home) mustApply() *engine.Outcome {
	h.t.Helper()
	outcome, err := h.apply()
	if err != nil {
		h.t.Fatalf("apply: %v\n%+v", err, explained(err))
	}
	return outcome
}

// explained lists what the errors of hosts say.
func explained(err error) []engine.HostError {
	var failures engine.HostErrors
	var list []engine.HostError
	if errors.As(err, &failures) {
		for _, failure := range failures {
			list = append(list, *failure)
		}
	}
	return list
}

// heard lists the events of a phase on a host.
func (h *home) heard(host string, phase engine.Phase) []engine.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	var heard []engine.Event
	for _, event := range h.events {
		if event.Host == host && event.Phase == phase {
			heard = append(heard, event)
		}
	}
	return heard
}

// mustBeEmpty fails when something is left to do.
func mustBeEmpty(t testing.TB, planned *engine.Planned) {
	t.Helper()
	if planned.Empty() && len(planned.Failed) == 0 {
		return
	}
	for _, h := range planned.Hosts {
		for _, change := range h.Changes {
			t.Logf("%s: %s %s %+v %v %s", h.Name, change.Action, change.ID, change.Attributes, change.Reasons, change.Block)
		}
	}
	t.Fatalf("plan is not empty; failed: %v", planned.Failed)
}

// programs are small texts, one for each name and architecture.
type programs struct{}

func (programs) Describe(name, arch string) (desired.Program, error) {
	content := programText(name, arch)
	return desired.Program{Version: testVersion, Digest: plan.Digest(content), Size: int64(len(content))}, nil
}

func (programs) Packed(name, arch string) ([]byte, error) {
	var packed bytes.Buffer
	packing := gzip.NewWriter(&packed)
	packing.Write(programText(name, arch))
	err := packing.Close()
	return packed.Bytes(), err
}

func programText(name, arch string) []byte { return []byte(name + " for " + arch) }

// keyBox takes made keys.
type keyBox struct {
	mu    sync.Mutex
	taken map[string]secret.Value
	err   error
	heard func()
}

// Deliver implements engine.KeyDelivery.
func (b *keyBox) Deliver(name string, key secret.Value) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.heard != nil {
		b.heard()
	}
	if b.err != nil {
		return b.err
	}
	if b.taken == nil {
		b.taken = map[string]secret.Value{}
	}
	b.taken[name] = key
	return nil
}

func (b *keyBox) names() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(maps.Keys(b.taken))
}
