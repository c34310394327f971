package engine_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/host/machine/machinetest"
	"github.com/relayctl/relayctl/internal/plan"
)

// newAdmin answers as a relay's admin socket does, on the socket whose path is
// returned. It has to be made outside a bubble, where waiting for a real
// connection would stop the time.
func newAdmin(t *testing.T, status string) string {
	t.Helper()
	folder := machinetest.Folder(t) // on the file system of the machines, which link to it
	listener, err := net.Listen("unix", filepath.Join(folder, "admin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.Method == http.MethodGet && request.URL.Path == "/v1/status" {
			io.WriteString(w, status)
		}
	})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		server.Serve(listener)
	}()
	t.Cleanup(func() {
		server.Close()
		<-ended
	})
	return listener.Addr().String()
}

// useAdmin makes socket the admin socket of the relay on the machine.
func (m *machine) useAdmin(socket string) {
	m.t.Helper()
	m.write("/run/relay/note", "made by relay-server's unit\n")
	if err := os.Link(socket, m.path("/run/relay/admin.sock")); err != nil { // a symbolic one is not asked
		m.t.Fatal(err)
	}
}

const allConnected = `{
  "workers": [{"name": "gpu-1", "connected": true}, {"name": "gpu-2", "connected": true}],
  "models": [{"name": "llama3-8b", "workers": 2, "of": 2, "running": 3, "waiting": 1}, {"name": "qwen3", "workers": 1, "of": 1}]
}`

const gpu2Missing = `{
  "workers": [{"name": "gpu-1", "connected": true}, {"name": "gpu-2", "connected": false}],
  "models": [{"name": "llama3-8b", "workers": 1, "of": 2}, {"name": "qwen3", "workers": 0, "of": 1}]
}`

func (h *home) status() *engine.Status {
	h.t.Helper()
	session := h.connect()
	defer session.Close()
	status, err := session.Status(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return status
}

func problems(status *engine.Status) []string {
	var list []string
	for _, problem := range status.Problems {
		if problem.Kind == "" {
			list = append(list, "of no kind:")
		}
		list = append(list, strings.TrimPrefix(problem.Host+": "+problem.Summary, ": "))
	}
	return list
}

func TestStatusOfAllWell(t *testing.T) {
	admin := newAdmin(t, allConnected)
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		h.edge.useAdmin(admin)
		before := h.snapshots()
		status := h.status()
		if diff := cmp.Diff(before, h.snapshots()); diff != "" {
			t.Errorf("status changed something (-before +after):\n%s", diff)
		}
		if got := problems(status); len(got) > 0 {
			t.Errorf("problems %q", got)
		}
		if status.URL != "https://llm.example.com" || status.Operator != "ops@desk" || status.Applied.IsZero() {
			t.Errorf("status %+v", status)
		}
		units := []engine.UnitStatus{
			{Name: "relay-server", Version: testVersion, Active: true, Detail: "active (running)"},
			{Name: "caddy", Version: "2.6.2-5", Active: true, Detail: "active (running)"},
		}
		if diff := cmp.Diff(units, status.Hosts[0].Units); diff != "" {
			t.Errorf("units of edge (-want +got):\n%s", diff)
		}
		llama := status.Models[0]
		if llama.Model != "llama3-8b" || llama.Workers != 2 || llama.Expected != 2 || llama.Running != 3 || llama.Waiting != 1 || !llama.Known || llama.Proof.Err != nil {
			t.Errorf("llama3-8b %+v", llama)
		}
	})
}

// trouble is something wrong, and the problems that status tells of it.
type trouble struct {
	name  string
	admin string
	spoil func(*home)
	kind  engine.ProblemKind // of the first problem
	want  []string
}

func troubles() []trouble {
	return []trouble{
		{"a host is down", allConnected, func(h *home) { h.gpu2.refuse = errors.New("no route to host") },
			engine.HostTrouble, []string{"gpu-2: no route to host"}},
		{"a unit stands still", gpu2Missing, func(h *home) { h.gpu2.Systemd.Unit("relay-worker.service").Stop() },
			engine.UnitDown, []string{
				"gpu-2: relay-worker does not run: inactive (dead)",
				"llama3-8b is served by 1 of 2 workers", "qwen3 is served by 0 of 1 workers",
			}},
		{"a unit stands still, and more", gpu2Missing, func(h *home) {
			h.gpu2.Systemd.Unit("relay-worker.service").Stop()
			h.gpu2.write("/etc/relay/ca.pem", "")
		},
			engine.UnitDown, []string{
				"gpu-2: relay-worker does not run: inactive (dead)",
				"llama3-8b is served by 1 of 2 workers", "qwen3 is served by 0 of 1 workers",
				"gpu-2: 1 more thing is not as the stack file says",
			}},
		{"the relay stands still", "", func(h *home) {
			h.edge.Systemd.Unit("relay-server.service").Stop()
			h.relay.setFront(refuseWith(502, "the relay does not answer"))
		},
			engine.UnitDown, []string{"edge: relay-server does not run: inactive (dead)"}},
		{"nothing stands behind the proxy", allConnected, func(h *home) {
			h.relay.setFront(refuseWith(502, "the relay does not answer"))
		},
			engine.NoWay, []string{"the relay can't be reached: the answer is 502: the relay does not answer"}},
		{"a file was edited", allConnected, func(h *home) { h.edge.write("/etc/relay/keys.json", "{}") },
			engine.DriftFromFile, []string{"edge: 2 things are not as the stack file says"}},
		{"a model hangs", allConnected, func(h *home) { h.relay.setAnswer(hang) },
			engine.ModelSilent, []string{
				"llama3-8b gave no token within 10 s: it may be loading, or hang",
				"qwen3 gave no token within 10 s: it may be loading, or hang",
			}},
		{"a model hangs as long as a client may wait", allConnected, func(h *home) {
			h.relay.setAnswer(refuseAs(504, "first_byte_timeout", "the model did not begin to answer in time"))
		},
			engine.ModelSilent, []string{
				"llama3-8b hangs: no token within 10 min, as long as a client may wait",
				"qwen3 hangs: no token within 10 min, as long as a client may wait",
			}},
		{"something else answers", allConnected, func(h *home) { h.relay.setFront(nginx) },
			engine.NoWay, []string{"llm.example.com is answered by something else: 200, Server: nginx"}},
		{"an engine fails, another answers", `{
  "workers": [
    {"name": "gpu-1", "connected": true, "models": [{"name": "llama3-8b"}]},
    {"name": "gpu-2", "connected": true, "models": [
      {"name": "llama3-8b", "failed": {"at": "2000-01-01T00:00:00Z", "code": "engine_unreachable", "text": "nothing listens on 127.0.0.1:11434"}},
      {"name": "qwen3", "failed": {"at": "1999-12-31T23:00:00Z", "code": "engine_failed", "text": "long ago"}}
    ]}
  ],
  "models": [{"name": "llama3-8b", "workers": 2, "of": 2}, {"name": "qwen3", "workers": 1, "of": 1}]
}`, func(*home) {}, engine.EngineTrouble, []string{"gpu-2: llama3-8b fails there: nothing listens on 127.0.0.1:11434"}},
		{"no worker is there", gpu2Missing, func(h *home) { h.relay.setAnswer(refuseWith(503, "no worker serves it now")) },
			engine.ModelSilent, []string{
				"llama3-8b does not answer: the answer is 503: no worker serves it now",
				"qwen3 does not answer: the answer is 503: no worker serves it now",
			}},
		{"the relay can't be asked", "", func(h *home) {},
			engine.RelaySilent, []string{"edge: ask the relay for its status: relay-host: ask /run/relay/admin.sock: dial unix: no such file or directory"}},
	}
}

func TestStatusOfTrouble(t *testing.T) {
	for _, test := range troubles() {
		t.Run(test.name, func(t *testing.T) {
			admin := newAdmin(t, test.admin)
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				h.mustApply()
				if test.admin != "" {
					h.edge.useAdmin(admin)
				}
				test.spoil(h)
				status := h.status()
				if kind := status.Problems[0].Kind; kind != test.kind {
					t.Errorf("the first is of kind %q, want %q", kind, test.kind)
				}
				got := problems(status)
				for i := range got {
					got[i] = strings.ReplaceAll(got[i], " "+h.edge.path("/run/relay/admin.sock"), "")
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("problems (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestStatusBeforeTheFirstApply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		status := h.status()
		if got := problems(status); len(got) != 1 || got[0] != "nothing was applied yet" || status.Problems[0].Kind != engine.NeverApplied || len(status.Models) > 0 {
			t.Errorf("problems %q, models %v", got, status.Models)
		}
	})
}

// A failure says what the relay and the workers know about it.
func TestNoTokenIsExplained(t *testing.T) {
	admin := newAdmin(t, gpu2Missing)
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		h.edge.useAdmin(admin)
		h.relay.setAnswer(refuseWith(503, "no worker serves it now"))
		h.gpu2.Log["relay-worker.service"] = []string{"dial wss://llm.example.com: connection refused"}
		failure := h.status().Models[1].Proof.Err
		said := strings.Join(failure.Log, "\n")
		if failure.Model != "qwen3" || !strings.Contains(said, "gpu-2: its worker is not connected to the relay") ||
			!strings.Contains(said, "gpu-2: dial wss://llm.example.com: connection refused") || !strings.Contains(failure.Hint, "gpu-2") {
			t.Errorf("error %+v", failure)
		}
	})
}

// The plan tells how many connections a reload of Caddy closes.
func TestPlanTellsDroppedConnections(t *testing.T) {
	admin := newAdmin(t, allConnected)
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		h.edge.useAdmin(admin)
		h.edge.write("/etc/caddy/Caddyfile", "# edited\n")
		h.edge.asked()
		planned := h.plan()
		var drops int
		for _, change := range planned.Hosts[0].Changes {
			if change.Action == plan.Reload {
				drops += change.Drops
			}
		}
		if drops != 2 {
			t.Errorf("%d connections are told to be dropped: %+v", drops, planned.Hosts[0].Changes)
		}
		if diff := cmp.Diff([]string{"observe", "ask"}, h.edge.asked()); diff != "" {
			t.Errorf("requests (-want +got):\n%s", diff)
		}
	})
}

// Where the relay should be asked and can't, the plan says so.
func TestPlanCannotTellDroppedConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		h.edge.write("/etc/caddy/Caddyfile", "# edited\n")
		var notes []string
		for _, change := range h.plan().Hosts[0].Changes {
			notes = append(notes, change.Notes...)
		}
		if !strings.Contains(strings.Join(notes, "\n"), "is not known") {
			t.Errorf("notes %q", notes)
		}
	})
}
