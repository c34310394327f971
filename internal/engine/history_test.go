package engine_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/plan"
)

func (h *home) history(request engine.HistoryRequest) (*engine.History, error) {
	h.t.Helper()
	session := h.connect()
	defer session.Close()
	return session.History(h.t.Context(), request)
}

func (h *home) mustHistory(request engine.HistoryRequest) *engine.History {
	h.t.Helper()
	history, err := h.history(request)
	if err != nil {
		h.t.Fatal(err)
	}
	return history
}

// inShort says in a line each what a history tells.
func inShort(history *engine.History) []string {
	var list []string
	for _, apply := range history.Applies {
		list = append(list, fmt.Sprintf("%d %s by %s: %s", apply.Number, apply.Command, apply.Operator, apply.State))
		for _, host := range apply.Hosts {
			list = append(list, fmt.Sprintf("  %s %d: %s %s", host.Host, host.Number, host.State, host.Why))
		}
	}
	return list
}

func TestHistoryOfAllHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		h.config.Stack = load(t, strings.Replace(homeStack, "\n  model \"qwen3\"", "\n  model \"other\"", 1))
		h.mustApply() // nothing on gpu-1
		h.config.Operator = "ann@laptop"
		h.config.Stack = load(t, homeStack)
		h.gpu2.hangUpAt = "finish"
		if _, err := h.apply(); err == nil {
			t.Fatal("an apply without its end went well")
		}
		h.gpu2.hangUpAt = ""
		lines := []string{
			"3 apply by ann@laptop: cut off", "  edge 3: done ", "  gpu-2 3: cut off ",
			"2 apply by ops@desk: done", "  edge 2: done ", "  gpu-2 2: done ",
			"1 apply by ops@desk: done", "  edge 1: done ", "  gpu-1 1: done ", "  gpu-2 1: done ",
		}
		all := h.mustHistory(engine.HistoryRequest{Last: 10})
		if diff := cmp.Diff(lines, inShort(all)); diff != "" {
			t.Error(diff)
		}
		last := h.mustHistory(engine.HistoryRequest{Last: 2})
		if diff := cmp.Diff(lines[:6], inShort(last)); diff != "" || !last.More || all.More {
			t.Errorf("the last two; more %v\n%s", last.More, diff)
		}
		one := h.mustHistory(engine.HistoryRequest{Last: 10, Apply: 3})
		steps := one.Applies[0].Hosts[1].Taken
		if diff := cmp.Diff(lines[:3], inShort(one)); diff != "" || len(steps) != all.Applies[0].Hosts[1].Steps || len(steps) < 2 {
			t.Errorf("the third, with %v\n%s", steps, diff)
		}
		one = h.mustHistory(engine.HistoryRequest{Apply: 2, Host: "edge"})
		if len(one.Applies) != 1 || len(one.Applies[0].Hosts) != 1 || len(one.Applies[0].Hosts[0].Taken) == 0 {
			t.Errorf("the second on edge: %+v", one.Applies)
		}
		h.mayNotKnow()
	})
}

// mayNotKnow asks for what is not in the history, and for a host that is away.
func (h *home) mayNotKnow() {
	for _, request := range []engine.HistoryRequest{{Apply: 4}, {Apply: 2, Host: "gpu-1"}} {
		if _, err := h.history(request); !errors.Is(err, engine.ErrNoSuchApply) {
			h.t.Errorf("%+v: %v", request, err)
		}
	}
	if _, err := h.history(engine.HistoryRequest{Apply: 2, Host: "gpu-9"}); err == nil {
		h.t.Error("a host that is none")
	}
	h.edge.refuse = errors.New("connection timed out")
	told := h.mustHistory(engine.HistoryRequest{Last: 10})
	want := []string{"3 apply by ann@laptop: cut off", "  gpu-2 3: cut off ", "2 apply by ops@desk: done", "  gpu-2 2: done "}
	if diff := cmp.Diff(want, inShort(told)[:4]); diff != "" || len(told.Failed) != 1 || told.Failed[0].Host != "edge" {
		h.t.Errorf("failed %v\n%s", told.Failed, diff)
	}
	h.edge.refuse = nil
}

// What hosts did that are away, or have left the stack, is told by the proxy
// host as it was seen.
func TestHostsThatCannotTellAreInTheHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		h.gpu1.refuse = errors.New("connection timed out")
		h.config.Stack = load(t, homeWithout)
		if _, err := h.apply(); err == nil {
			t.Fatal("it went well without gpu-1")
		}
		history := h.mustHistory(engine.HistoryRequest{Last: 10})
		want := []string{
			"2 apply by ops@desk: failed", "  edge 2: done ", "  gpu-1 2: failed connection timed out", "  gpu-2 2: done ",
			"1 apply by ops@desk: done", "  edge 1: done ", "  gpu-1 1: done ", "  gpu-2 1: done ",
		}
		if diff := cmp.Diff(want, inShort(history)); diff != "" {
			t.Error(diff)
		}
		gone := history.Applies[0].Hosts[2]
		if gone.Told || gone.Steps < 5 || gone.Summary != fmt.Sprintf("%d removed", gone.Steps) {
			t.Errorf("gpu-2: %+v", gone)
		}
		one := h.mustHistory(engine.HistoryRequest{Apply: 2, Host: "gpu-1"})
		if len(one.Applies[0].Hosts) != 1 || one.Applies[0].Hosts[0].Taken != nil {
			t.Errorf("on gpu-1: %+v", one.Applies[0].Hosts)
		}
		if len(one.Failed) != 1 || one.Failed[0].Host != "gpu-1" {
			t.Errorf("could not be asked: %v", one.Failed)
		}
	})
}

// What failed is in the history with its reason, also on hosts that waited.
func TestFailureIsInTheHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.edge.Systemd.Unit("relay-server.service").Fails = true
		if _, err := h.apply(); err == nil {
			t.Fatal("it went well")
		}
		told := h.mustHistory(engine.HistoryRequest{Last: 10}).Applies[0]
		if told.State != plan.PastFailed || len(told.Hosts) != 3 {
			t.Fatalf("%+v", told)
		}
		if why := told.Hosts[0].Why; !strings.Contains(why, "relay-server") {
			t.Errorf("edge: %s", why)
		}
		if why := told.Hosts[1].Why; why != "edge failed" {
			t.Errorf("gpu-1: %s", why)
		}
	})
}

// A plan says in which step an apply was cut off.
func TestPlanTellsWhereAnApplyWasCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		caddy := plan.ID{Kind: plan.KindPackage, Name: "caddy"}
		h.edge.writeLine(map[string]any{"begin": record.Apply{Number: 2, Stack: "home", Operator: "ann@laptop", Command: "apply"}})
		h.edge.writeLine(map[string]any{"change": record.Change{ID: caddy, Action: plan.Create}})
		planned := h.plan()
		if len(planned.CutOff) != 1 || planned.CutOff[0].At != caddy || planned.CutOff[0].Holder != "ann@laptop" {
			t.Errorf("cut off: %+v", planned.CutOff)
		}
	})
}

// A worker that only a killed apply has reached is remembered.
func TestMembersOfAnApplyThatWasCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.config.Stack = load(t, homeWithout)
		h.mustApply()
		h.config.Stack = load(t, homeStack)
		h.edge.hangUpAt = "apply"
		if _, err := h.apply(); err == nil {
			t.Fatal("it went well")
		}
		h.edge.hangUpAt = ""
		if !h.gpu2.has("/var/lib/relayctl/secrets/worker") {
			t.Fatal("gpu-2 was not prepared")
		}
		h.config.Stack = load(t, homeWithout)
		planned := h.plan()
		if len(planned.Hosts) != 3 || planned.Hosts[2].Name != "gpu-2" || planned.Hosts[2].Role != plan.RoleDeparted {
			t.Fatalf("planned hosts %+v", planned.Hosts)
		}
		h.mustApply()
		if h.gpu2.has("/var/lib/relayctl") {
			t.Error("gpu-2 is not cleaned")
		}
		mustBeEmpty(t, h.plan())
	})
}

const movedStack = "10.0.0.99"

// A machine that moved under its name is the same, and only remembered anew.
func TestAddressOfAWorkerChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		delete(h.network, "10.0.0.22")
		h.network[movedStack] = h.gpu2
		h.config.Stack = load(t, strings.Replace(homeStack, "10.0.0.22", movedStack, 1))
		planned := h.plan()
		mustBeEmpty(t, planned)
		if len(planned.Hosts) != 3 || len(planned.Stays) > 0 {
			t.Errorf("hosts %v, stays %v", len(planned.Hosts), planned.Stays)
		}
		h.gpu2.asked()
		h.mustApply()
		if asked := h.gpu2.asked(); slices.Contains(asked, "lock") {
			t.Errorf("gpu-2 was asked %v", asked)
		}
		if !h.edge.remembers(movedStack) || h.edge.remembers("10.0.0.22") {
			t.Error("its new address is not remembered")
		}
	})
}

// A machine whose name another one has got is one that left the stack.
func TestNameOfAWorkerGoesToAnotherMachine(t *testing.T) {
	for _, end := range []string{"reached", "forgotten"} {
		t.Run(end, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				h.mustApply()
				const aside = "gpu-2 at 10.0.0.22"
				h.network[movedStack] = newMachine(t, "gpu-new")
				h.config.Stack = load(t, strings.Replace(homeStack, "10.0.0.22", movedStack, 1))
				if end == "forgotten" {
					h.gpu2.refuse = errors.New("connection timed out")
				}
				planned := h.plan()
				switch {
				case end == "forgotten" && (len(planned.Stays) != 1 || planned.Stays[0].Host != aside):
					t.Errorf("stays %v", planned.Stays)
				case end == "reached" && (len(planned.Hosts) != 4 || planned.Hosts[3].Name != aside || planned.Hosts[3].Role != plan.RoleDeparted):
					t.Errorf("hosts %+v", planned.Hosts)
				}
				h.mustApply()
				if end == "forgotten" {
					if planned = h.plan(); !planned.Empty() || len(planned.Stays) != 1 || planned.Stays[0].Host != aside {
						t.Errorf("stays %v", planned.Stays)
					}
					h.config.Forget = []string{aside}
					h.mustApply()
					h.config.Forget = nil
				}
				if left := h.gpu2.has("/etc/relay"); left != (end == "forgotten") || !h.network[movedStack].has("/etc/relay/worker.json") {
					t.Errorf("things left on the old machine: %v", left)
				}
				if h.edge.remembers("10.0.0.22") {
					t.Error("the old machine is still remembered")
				}
				mustBeEmpty(t, h.plan())
			})
		})
	}
}
