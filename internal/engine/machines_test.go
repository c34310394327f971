package engine_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

// waysToOneMachine are how a stack file may lead to one machine twice.
var waysToOneMachine = map[string]struct{ proxy, worker string }{
	"one address":   {"10.0.0.10", "10.0.0.10"},
	"local":         {"local", "local"},
	"two addresses": {"10.0.0.10", "10.0.0.21"},
	"local and SSH": {"local", "10.0.0.21"},
}

// newOneMachine is a home whose worker gpu-1 is on the proxy's machine.
func newOneMachine(t testing.TB, proxy, worker string) *home {
	h := newHome(t)
	h.network[proxy], h.network[worker] = h.edge, h.edge
	h.config.Stack = load(t, atAddresses(homeStack, proxy, worker))
	return h
}

func atAddresses(source, proxy, worker string) string {
	return strings.NewReplacer("10.0.0.10", proxy, "10.0.0.21", worker).Replace(source)
}

// withoutGPU1 is homeStack without the worker on the proxy's machine.
func withoutGPU1() string {
	before, rest, _ := strings.Cut(homeStack, `worker "gpu-1" {`)
	_, after, _ := strings.Cut(rest, `worker "gpu-2" {`)
	return before + `worker "gpu-2" {` + after
}

func TestProxyAndWorkerOnOneMachine(t *testing.T) {
	for name, way := range waysToOneMachine {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newOneMachine(t, way.proxy, way.worker)
				h.mustBeTold(h.plan())
				h.mustBeOneConversation()
				h.mustApply()
				mustBeEmpty(t, h.plan())
				h.mustServeBoth()
				if past := h.edge.record().Past(); len(past) != 1 {
					t.Errorf("applies in the journal: %+v", past)
				}

				h.config.Stack = load(t, atAddresses(withoutGPU1(), way.proxy, way.worker))
				dials := h.edge.dials
				planned := h.plan()
				if len(planned.Hosts) != 2 || len(planned.Stays) > 0 || h.edge.dials != dials+1 {
					t.Errorf("%d hosts, %v stay, %d dials", len(planned.Hosts), planned.Stays, h.edge.dials-dials)
				}
				h.mustApply()
				mustBeEmpty(t, h.plan())
				h.mustBeProxyOnly()
			})
		})
	}
}

// One address is dialled once, as the proxy's block says; another port may lead
// to another machine.
func TestOneAddressIsDialledOnce(t *testing.T) {
	for name, row := range map[string]struct {
		ssh   string
		dials int
	}{
		"as it is":     {"", 1},
		"another user": {`user = "ops"`, 1},
		"another port": {`port = 2222`, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newOneMachine(t, "10.0.0.10", "10.0.0.10")
				source := atAddresses(homeStack, "10.0.0.10", "10.0.0.10")
				h.config.Stack = load(t, strings.Replace(source, `worker "gpu-1" {`, "worker \"gpu-1\" {\n  ssh {\n"+row.ssh+"\n}", 1))
				if planned := h.plan(); len(planned.Hosts) != 2 || h.edge.dials != row.dials {
					t.Errorf("%d hosts, %d dials", len(planned.Hosts), h.edge.dials)
				}
			})
		})
	}
}

// mustBeTold holds that a plan shows one host with both names, which makes
// what the relay is to know itself.
func (h *home) mustBeTold(planned *engine.Planned) {
	h.t.Helper()
	if len(planned.Hosts) != 2 || planned.Hosts[0].Name != "edge" || planned.Hosts[0].Worker != "gpu-1" || planned.Hosts[1].Worker != "gpu-2" {
		h.t.Fatalf("hosts %+v", planned.Hosts)
	}
	seen := map[plan.ID]bool{}
	for _, change := range planned.Hosts[0].Changes {
		if seen[change.ID] {
			h.t.Errorf("%s stands there twice", change.ID)
		}
		seen[change.ID] = true
		if change.ID.Name == "/etc/relay/workers.d/gpu-1.json" && change.Resource.Want[plan.AttrContent] != plan.MadeOn("edge") {
			h.t.Errorf("%s: %+v", change.ID, change.Resource.Want)
		}
		if change.ID.Name == "relay-worker.service" && change.Resource.Origin.Block != `worker "gpu-1"` {
			h.t.Errorf("%s is asked for by %+v", change.ID, change.Resource.Origin)
		}
	}
}

// mustBeOneConversation holds that a session talks to the proxy's machine once.
func (h *home) mustBeOneConversation() {
	h.t.Helper()
	session := h.connect()
	defer session.Close()
	h.edge.mu.Lock()
	defer h.edge.mu.Unlock()
	if h.edge.open != 1 {
		h.t.Errorf("%d conversations", h.edge.open)
	}
}

func (h *home) mustServeBoth() {
	h.t.Helper()
	settings := h.edge.read("/etc/relay/worker.json")
	if !strings.Contains(settings, `"relay": "http://127.0.0.1:8080"`) || strings.Contains(settings, "ca_file") || h.edge.has("/etc/relay/ca.pem") {
		h.t.Errorf("the worker's settings:\n%s", settings)
	}
	for _, unit := range []string{"relay-server.service", "relay-worker.service", "caddy.service"} {
		if !h.edge.Systemd.Unit(unit).State.Running() {
			h.t.Errorf("%s does not run", unit)
		}
	}
}

func (h *home) mustBeProxyOnly() {
	h.t.Helper()
	for _, path := range []string{
		"/etc/relay/worker.json", "/etc/relay/worker.secret", "/etc/relay/backends", "/etc/relay/workers.d/gpu-1.json",
		"/etc/systemd/system/relay-worker.service", "/usr/local/lib/relayctl/relay-worker/current", "/var/lib/relayctl/secrets/worker",
	} {
		if h.edge.has(path) {
			h.t.Errorf("%s is left on the proxy's machine", path)
		}
	}
	for _, unit := range []string{"relay-server.service", "caddy.service"} {
		if !h.edge.Systemd.Unit(unit).State.Running() {
			h.t.Errorf("%s does not run", unit)
		}
	}
	for _, path := range []string{"/etc/relay/relay.json", "/usr/local/lib/relayctl/relay-host"} {
		if !h.edge.has(path) {
			h.t.Errorf("%s is gone", path)
		}
	}
}

// Clones share a machine-id and never a boot id.
func TestClonesAreTwoHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.gpu1.write("/etc/machine-id", h.edge.read("/etc/machine-id"))
		h.gpu2.write("/etc/machine-id", h.edge.read("/etc/machine-id"))
		if planned := h.plan(); len(planned.Hosts) != 3 {
			t.Errorf("%d hosts", len(planned.Hosts))
		}
	})
}

// A machine has one relay-worker.
func TestTwoWorkersOnOneMachine(t *testing.T) {
	for name, prepare := range map[string]func(*home) *machine{
		"by themselves":         func(h *home) *machine { h.network["10.0.0.21"] = h.gpu2; return h.gpu2 },
		"with the proxy, found": func(h *home) *machine { h.network["10.0.0.21"], h.network["10.0.0.22"] = h.edge, h.edge; return h.edge },
		"with the proxy, as said": func(h *home) *machine {
			h.config.Stack, h.network["10.0.0.22"] = load(h.t, atAddresses(homeStack, "10.0.0.10", "10.0.0.10")), h.edge
			return h.edge
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				m := prepare(h)
				before := m.snapshot()
				_, err := engine.Connect(t.Context(), h.config)
				mustFail(t, err, "gpu-2")
				failure := explained(err)[0]
				if !errors.Is(err, engine.ErrSameMachine) || failure.Summary != "it is the same machine as gpu-1" ||
					!strings.Contains(failure.Hint, "put the models of gpu-1 and gpu-2 into one worker block") || failure.Origin.Block != `worker "gpu-2"` {
					t.Errorf("error %+v", failure)
				}
				if diff := cmp.Diff(before, m.snapshot()); diff != "" || m.open != 0 {
					t.Errorf("%d conversations are left; changed:\n%s", m.open, diff)
				}
			})
		})
	}
}

// What is wrong with the one machine is one error.
func TestOneMachineThatIsRefused(t *testing.T) {
	for name, row := range map[string]struct {
		spoil func(*home)
		says  string
	}{
		"unreachable":   {func(h *home) { h.edge.refuse = errors.New("connection timed out") }, "edge: connection timed out"},
		"another stack": {otherStackOnEdge, `edge: it belongs to the stack "lab", not to "home"`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newOneMachine(t, "10.0.0.10", "10.0.0.10")
				row.spoil(h)
				planned := h.plan()
				if len(planned.Failed) != 1 || planned.Failed[0].Error() != row.says || planned.Failed[0].Origin.Block != `proxy "edge"` {
					t.Errorf("failed: %v", planned.Failed)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		h := newOneMachine(t, "10.0.0.10", "10.0.0.21")
		otherStackOnEdge(h)
		if planned := h.plan(); len(planned.Failed) != 1 || !errors.Is(planned.Failed, engine.ErrOtherStack) {
			t.Errorf("failed: %v", planned.Failed)
		}
	})
}

func otherStackOnEdge(h *home) {
	h.edge.belongsTo("lab", testVersion)
}

// An error of the worker's unit points at the worker's block.
func TestWorkerThatDoesNotStartOnTheProxysMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newOneMachine(t, "10.0.0.10", "10.0.0.10")
		h.edge.Systemd.Unit("relay-worker.service").Fails = true
		outcome, err := h.apply()
		mustFail(t, err, "edge")
		if failure := outcome.Failed[0]; failure.Origin.Block != `worker "gpu-1"` || failure.Resource.Name != "relay-worker.service" {
			t.Errorf("error %+v", failure)
		}
		h.edge.Systemd.Unit("relay-worker.service").Fails = false
		h.mustApply()
		mustBeEmpty(t, h.plan())
	})
}

// A worker that moves to the proxy's machine leaves nothing on its own, and
// the other way round.
func TestWorkerMovesToTheProxysMachineAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		h.config.Stack = load(t, atAddresses(homeStack, "10.0.0.10", "10.0.0.10"))
		planned := h.plan()
		if len(planned.Hosts) != 3 || planned.Hosts[2].Role != plan.RoleDeparted || planned.Hosts[2].Address != "10.0.0.21" {
			t.Fatalf("hosts %+v", planned.Hosts)
		}
		h.mustApply()
		mustBeEmpty(t, h.plan())
		h.mustServeBoth()
		for _, path := range []string{"/etc/relay", "/var/lib/relayctl", "/usr/local/lib/relayctl"} {
			if h.gpu1.has(path) {
				t.Errorf("%s is left on the worker's own machine", path)
			}
		}

		h.config.Stack = load(t, homeStack)
		h.mustApply()
		mustBeEmpty(t, h.plan())
		h.mustBeBack()
	})
}

func (h *home) mustBeBack() {
	h.t.Helper()
	for _, path := range []string{"/etc/relay/worker.json", "/usr/local/lib/relayctl/relay-worker/current"} {
		if h.edge.has(path) || !h.gpu1.has(path) {
			h.t.Errorf("%s: on edge %t, on gpu-1 %t", path, h.edge.has(path), h.gpu1.has(path))
		}
	}
}

// The machine that a worker moved away from may be gone.
func TestWorkerMovesFromAnUnreachableMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		h.config.Stack = load(t, atAddresses(homeStack, "10.0.0.10", "10.0.0.10"))
		h.gpu1.refuse = errors.New("connection timed out")
		h.mustApply()
		planned := h.plan()
		if !planned.Empty() || len(planned.Failed) > 0 || len(planned.Stays) != 1 || planned.Stays[0].Host != "gpu-1" {
			t.Errorf("stays %v, failed %v", planned.Stays, planned.Failed)
		}
		h.config.Forget = []string{"gpu-1"}
		h.mustApply()
		h.config.Forget = nil
		if planned := h.plan(); !planned.Empty() || len(planned.Stays) > 0 {
			t.Errorf("stays %v", planned.Stays)
		}
		h.mustServeBoth()
	})
}

// An address of the worker that leads nowhere for now is no reason to take away
// what stands on the proxy's machine.
func TestWorkerOnTheProxysMachineByAnAddressThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newOneMachine(t, "10.0.0.10", "10.0.0.21")
		h.mustApply()
		delete(h.network, "10.0.0.21")
		planned := h.plan()
		if !planned.Empty() || len(planned.Failed) != 1 || planned.Failed[0].Host != "gpu-1" ||
			!strings.Contains(planned.Failed[0].Hint, "gpu-1 stays where it is, on the machine of edge") {
			t.Errorf("failed %v; hosts %+v", planned.Failed, planned.Hosts)
		}
		_, err := h.apply()
		mustFail(t, err, "gpu-1")
		h.mustServeBoth()
	})
}

// Nor is an address of the proxy that leads nowhere.
func TestProxyByAnAddressThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newOneMachine(t, "10.0.0.10", "10.0.0.21")
		h.mustApply()
		delete(h.network, "10.0.0.10")
		planned := h.plan()
		if !planned.Empty() || len(planned.Failed) != 2 || planned.Failed[1].Error() != "gpu-1: a relay stands there, and edge can't be looked at" {
			t.Errorf("failed %v; hosts %+v", planned.Failed, planned.Hosts)
		}
	})
}

func TestStatusOfOneMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newOneMachine(t, "10.0.0.10", "10.0.0.21")
		h.mustApply()
		session := h.connect()
		defer session.Close()
		status, err := session.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var rows []string
		for _, host := range status.Hosts {
			row := host.Name + "/" + host.Worker
			for _, unit := range host.Units {
				row += " " + unit.Name
			}
			rows = append(rows, row)
		}
		if diff := cmp.Diff([]string{"edge/gpu-1 relay-server caddy relay-worker", "gpu-2/gpu-2 relay-worker"}, rows); diff != "" {
			t.Error("(-want +got)\n" + diff)
		}
	})
}
