package engine_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

func TestSecondPlanIsEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		outcome := h.mustApply()
		if !outcome.Proof.OK() || outcome.Proof.Models[0].Route != engine.RouteDomain {
			t.Errorf("proof %+v", outcome.Proof)
		}
		for _, done := range outcome.Hosts {
			if !done.OK || done.Done != done.Steps || done.Steps == 0 {
				t.Errorf("outcome %+v", done)
			}
		}
		before := h.snapshots()
		mustBeEmpty(t, h.plan())
		if again := h.mustApply(); !again.Proof.OK() {
			t.Errorf("proof of an apply without changes: %+v", again.Proof)
		}
		if diff := cmp.Diff(before, h.snapshots()); diff != "" {
			t.Errorf("an apply without changes changed something (-before +after):\n%s", diff)
		}
	})
}

func (h *home) snapshots() []map[string]string {
	return []map[string]string{h.edge.snapshot(), h.gpu1.snapshot(), h.gpu2.snapshot()}
}

// Planning a fresh stack writes nothing on any host.
func TestPlanWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		before := h.snapshots()
		if planned := h.plan(); planned.Empty() || len(planned.Hosts) != 3 || !slices.Equal(planned.Keys, []string{"laptop"}) {
			t.Errorf("plan of a fresh stack: %+v", planned)
		}
		if diff := cmp.Diff(before, h.snapshots()); diff != "" {
			t.Errorf("planning changed something (-before +after):\n%s", diff)
		}
	})
}

// Each host is asked once, however many resources there are.
func TestRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		want := []string{"observe", "lock", "apply", "observe", "apply", "finish", "unlock"}
		if diff := cmp.Diff(want, h.gpu1.asked()); diff != "" {
			t.Errorf("requests of a first apply (-want +got):\n%s", diff)
		}
		h.plan()
		if diff := cmp.Diff([]string{"observe"}, h.gpu1.asked()); diff != "" {
			t.Errorf("requests of a plan (-want +got):\n%s", diff)
		}
		h.gpu1.write("/etc/relay/worker.json", "{}")
		h.edge.asked()
		h.gpu2.asked()
		h.mustApply()
		for m, want := range map[*machine][]string{
			h.edge: {"observe", "lock", "reveal", "finish", "unlock"},
			h.gpu1: {"observe", "lock", "apply", "finish", "unlock"},
			h.gpu2: {"observe"},
		} {
			if diff := cmp.Diff(want, m.asked()); diff != "" {
				t.Errorf("requests of a repair on %s (-want +got):\n%s", m.read("/proc/sys/kernel/hostname"), diff)
			}
		}
		if h.gpu1.dials != 3 {
			t.Errorf("%d connections, want one per session", h.gpu1.dials)
		}
	})
}

func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		edge, gpu1 := h.heard("edge", engine.Done), h.heard("gpu-1", engine.Done)
		if len(edge) == 0 || len(gpu1) == 0 {
			t.Fatal("nothing was told")
		}
		at := func(host string, kind plan.Kind, name string) int {
			return slices.IndexFunc(h.events, func(e engine.Event) bool {
				return e.Host == host && e.Phase == engine.Done && e.ID == plan.ID{Kind: kind, Name: name}
			})
		}
		order := []int{
			at("gpu-1", plan.KindSecret, "worker"),
			at("edge", plan.KindFile, "/etc/relay/workers.d/gpu-1.json"),
			at("edge", plan.KindUnit, "relay-server.service"),
			at("gpu-1", plan.KindUnit, "relay-worker.service"),
		}
		if order[0] < 0 || !slices.IsSorted(order) {
			t.Errorf("secret, entry, relay, worker came at %v", order)
		}
		if waits := h.heard("gpu-1", engine.Waiting); len(waits) == 0 || waits[0].Text != "edge to serve" {
			t.Errorf("what gpu-1 waits for is told as %+v", waits)
		}
	})
}

// What one host can't do stops only what waits for it.
func TestUnreachableWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.gpu2.refuse = errors.New("connection timed out")
		h.relay.without = "qwen3"
		outcome, err := h.apply()
		mustFail(t, err, "gpu-2")
		if got := outcome.Failed[0]; !strings.Contains(got.Summary, "timed out") || got.Origin.Block != `worker "gpu-2"` || got.Origin.Line == 0 {
			t.Errorf("error %+v", got)
		}
		if outcome.Took > 10*time.Second {
			t.Errorf("it took %v: a model whose workers all failed is not waited for", outcome.Took)
		}
		if h.edge.has("/etc/relay/workers.d/gpu-2.json") || !h.edge.has("/etc/relay/workers.d/gpu-1.json") || !h.gpu1.has("/etc/relay/worker.secret") {
			t.Error("the other hosts were not finished without gpu-2")
		}

		h.gpu2.refuse, h.relay.without = nil, ""
		h.mustApply()
		entry := h.edge.read("/etc/relay/workers.d/gpu-2.json")
		h.gpu2.refuse = errors.New("connection timed out")
		planned := h.plan()
		if !planned.Empty() || len(planned.Failed) != 1 {
			t.Errorf("an unreachable worker is to change: %+v", planned)
		}
		if _, err := h.apply(); err == nil || h.edge.read("/etc/relay/workers.d/gpu-2.json") != entry {
			t.Errorf("its entry was not kept; error %v", err)
		}
		h.config.Stack = load(t, strings.Replace(homeStack, "10.0.0.22", "10.0.0.99", 1))
		_, err = h.apply()
		if mustFail(t, err, "gpu-2"); h.edge.remembers("10.0.0.99") {
			t.Error("a way that never led to it is remembered")
		}
	})
}

// Content that two files share is brought once: two at a time would get in each
// other's way.
func TestSharedContent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.config.Stack = load(t, homeStack+`
worker "gpu-3" {
  address = "10.0.0.23"
  model "a" {
    backend     = "http://127.0.0.1:8001"
    backend_key = file("shared.key")
  }
  model "b" {
    backend     = "http://127.0.0.1:8002"
    backend_key = file("shared.key")
  }
}`)
		gpu3 := newMachine(t, "gpu-3")
		h.network["10.0.0.23"] = gpu3
		h.mustApply()
		if a, b := gpu3.read("/etc/relay/backends/a.key"), gpu3.read("/etc/relay/backends/b.key"); a != b || a == "" {
			t.Errorf("keys %q and %q", a, b)
		}
		seen := map[string]bool{}
		for _, digest := range gpu3.put {
			if seen[digest] {
				t.Errorf("%s was brought twice", digest)
			}
			seen[digest] = true
		}
		if len(seen) < 5 {
			t.Errorf("brought %v", gpu3.put)
		}
		mustBeEmpty(t, h.plan())
	})
}

// relay-host was brought for the conversation: it installs itself.
func TestRelayHostIsBroughtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		own := programText("relay-host", h.gpu1.arch)
		if got := h.gpu1.read("/usr/local/lib/relayctl/relay-host/current/relay-host"); got != string(own) {
			t.Errorf("installed is %q", got)
		}
		if slices.Contains(h.gpu1.put, plan.Digest(own)) {
			t.Error("it was brought again")
		}
		if worker := plan.Digest(programText("relay-worker", h.gpu1.arch)); !slices.Contains(h.gpu1.put, worker) {
			t.Error("relay-worker was not brought")
		}
	})
}

func mustFail(t testing.TB, err error, hosts ...string) {
	t.Helper()
	var failures engine.HostErrors
	if !errors.As(err, &failures) {
		t.Fatalf("error %v (%T), want failures of %v", err, err, hosts)
	}
	var got []string
	for _, failure := range failures {
		got = append(got, failure.Host)
	}
	if !slices.Equal(got, hosts) {
		t.Fatalf("failed: %v, want %v: %v", got, hosts, err)
	}
}

func TestUnreachableProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.edge.refuse = errors.New("connection refused")
		before := h.snapshots()
		_, err := h.apply()
		mustFail(t, err, "edge")
		if diff := cmp.Diff(before, h.snapshots()); diff != "" {
			t.Errorf("something was done (-before +after):\n%s", diff)
		}
	})
}

func TestWorkerThatDoesNotStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.gpu1.Systemd.Unit("relay-worker.service").Fails = true
		h.gpu1.Log["relay-worker.service"] = []string{"dial wss://llm.example.com: no route"}
		outcome, err := h.apply()
		mustFail(t, err, "gpu-1")
		failure := outcome.Failed[0]
		if failure.Resource != (plan.ID{Kind: plan.KindUnit, Name: "relay-worker.service"}) ||
			!strings.HasPrefix(failure.Summary, "unit relay-worker.service did not stay up") ||
			!slices.Equal(failure.Log, []string{"dial wss://llm.example.com: no route"}) || failure.Origin.Line == 0 || failure.Did == "" {
			t.Errorf("error %+v", failure)
		}
		if outcome.Hosts[0].OK != true || outcome.Hosts[2].OK != true || outcome.Hosts[1].OK {
			t.Errorf("outcomes %+v", outcome.Hosts)
		}
		h.gpu1.Systemd.Unit("relay-worker.service").Fails = false
		h.mustApply()
		mustBeEmpty(t, h.plan())
	})
}

func TestProxyThatDoesNotStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.edge.Systemd.Unit("relay-server.service").Fails = true
		outcome, err := h.apply()
		mustFail(t, err, "edge")
		for _, worker := range outcome.Hosts[1:] {
			if worker.OK || worker.Skipped != "edge failed" {
				t.Errorf("outcome %+v", worker)
			}
		}
		if h.gpu1.has("/etc/relay/worker.json") || len(outcome.Proof.Models) > 0 {
			t.Error("workers were set up, or models asked, without a relay")
		}
		h.edge.Systemd.Unit("relay-server.service").Fails = false
		h.mustApply()
		mustBeEmpty(t, h.plan())
	})
}

// An edit between plan and apply is told and not written over.
func TestChangedSincePlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		h.edge.write("/etc/relay/relay.json", "{}")
		session := h.connect()
		defer session.Close()
		planned, err := session.Plan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		h.edge.write("/etc/relay/relay.json", `{"mine": true}`)
		_, err = session.Apply(t.Context(), planned, func(*engine.Outcome) error { return nil })
		mustFail(t, err, "edge")
		if !errors.Is(err, engine.ErrChangedSince) || h.edge.read("/etc/relay/relay.json") != `{"mine": true}` {
			t.Errorf("error %v; the file is %s", err, h.edge.read("/etc/relay/relay.json"))
		}
	})
}

// Another edit is found between the stages, on a host that was prepared.
func TestChangedBetweenStages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		h.config.Stack = load(t, homeStack+`api_key "phone" {}`)
		h.keys.heard = func() { h.edge.write("/etc/relay/relay.json", `{"mine": true}`) }
		_, err := h.apply()
		mustFail(t, err, "edge")
		if !errors.Is(err, engine.ErrChangedSince) || h.edge.read("/etc/relay/relay.json") != `{"mine": true}` {
			t.Errorf("error %v; the file is %s", err, h.edge.read("/etc/relay/relay.json"))
		}
	})
}

func TestBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.edge.write("/etc/relay/keys.json", "by hand")
		before := h.snapshots()
		planned := h.plan()
		if shown, after, ok := planned.Texts("edge", planned.Blocked()[0]); shown != "by hand" || after != "(made by apply on edge)\n" || !ok {
			t.Errorf("shows %q, then %q, %v", shown, after, ok)
		}
		if _, err := h.apply(); !errors.Is(err, engine.ErrBlocked) {
			t.Errorf("error %v, want ErrBlocked", err)
		}
		if diff := cmp.Diff(before, h.snapshots()); diff != "" {
			t.Errorf("something was done (-before +after):\n%s", diff)
		}
		h.config.Adopt = true
		h.mustApply()
		if got := h.edge.read("/etc/relay/keys.json"); got == "by hand" {
			t.Error("it was not taken over")
		}
	})
}
