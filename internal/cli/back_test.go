package cli_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

func (h *hosts) PlanRollback(_ context.Context, to int) (*engine.Rollback, error) {
	h.look()
	h.to = to
	return h.rollback, h.err
}

func (h *hosts) Rollback(ctx context.Context, _ *engine.Rollback, show func(*engine.Outcome) error) (*engine.Outcome, error) {
	h.applied++
	return h.apply(ctx, h, show)
}

func (h *hosts) PlanDestroy(_ context.Context, purge bool) (*engine.Planned, error) {
	h.look()
	h.purge = purge
	return h.planned, h.err
}

func (h *hosts) Destroy(ctx context.Context, _ *engine.Planned, show func(*engine.Outcome) error) (*engine.Outcome, error) {
	h.applied++
	return h.apply(ctx, h, show)
}

func idOf(kind plan.Kind, name string) plan.ID { return plan.ID{Kind: kind, Name: name} }

// goesBack undoes apply 14, which brought gpu-2 and more work to gpu-1.
func goesBack() *engine.Rollback {
	settings, entry := idOf(plan.KindFile, "/etc/relay/worker.json"), idOf(plan.KindFile, "/etc/relay/workers.d/gpu-2.json")
	planned := planOf(
		plan.Change{ID: entry, Action: plan.Remove, Fact: plan.Fact{ID: entry, Exists: true}},
		plan.Change{ID: idOf(plan.KindUnit, "relay-server.service"), Action: plan.Reload, Reasons: []string{"because /etc/relay/workers.d changes"}},
		plan.Change{ID: idOf(plan.KindKey, "guest"), Action: plan.Attention, Reasons: []string{"was revoked since: stays revoked"}},
	)
	planned.Hosts[1].Changes = []plan.Change{
		{ID: settings, Action: plan.Update, Resource: &plan.Resource{ID: settings}, Attributes: []plan.AttrChange{
			{Name: plan.AttrContent, Before: "sha256:1", After: plan.Known("sha256:2")},
		}},
		{ID: idOf(plan.KindUnit, "relay-worker.service"), Action: plan.Reload, Reasons: []string{"because /etc/relay/worker.json changes"}},
	}
	return &engine.Rollback{Planned: planned, To: 13, Last: 14}
}

// takesAway takes away a stack that took over an nginx and a drop-in; of gpu-1
// nothing is left already.
func takesAway() *engine.Planned {
	remove := func(kind plan.Kind, name string) plan.Change {
		return plan.Change{ID: idOf(kind, name), Action: plan.Remove, Fact: plan.Fact{ID: idOf(kind, name), Exists: true}}
	}
	caddyfile, caddy := remove(plan.KindFile, "/etc/caddy/Caddyfile"), remove(plan.KindPackage, "caddy")
	caddyfile.Notes = []string{"what stood there before is put back"}
	caddy.Reasons = []string{"unless another package needs it"}
	asBefore := []string{"as it was before apply 1"}
	ca, key := idOf(plan.KindCA, "internal"), idOf(plan.KindKey, "laptop")
	planned := planOf(remove(plan.KindUnit, "relay-server.service"), caddyfile, caddy,
		plan.Change{ID: idOf(plan.KindFile, "/etc/systemd/system/caddy.service.d/override.conf"), Action: plan.PutBack, Reasons: asBefore,
			Attributes: []plan.AttrChange{{Name: plan.AttrContent, After: plan.Known("")}}},
		plan.Change{ID: idOf(plan.KindUnit, "nginx.service"), Action: plan.PutBack, Reasons: asBefore, Attributes: []plan.AttrChange{
			{Name: plan.AttrEnabled, Before: plan.No, After: plan.Known(plan.Yes)}, {Name: plan.AttrRunning, Before: plan.No, After: plan.Known(plan.Yes)},
		}},
		plan.Change{ID: ca, Action: plan.Forget, Fact: plan.Fact{ID: ca, Exists: true}},
		plan.Change{ID: idOf(plan.KindUnit, "caddy.service"), Action: plan.Forget, Fact: plan.Fact{ID: idOf(plan.KindUnit, "caddy.service"), Exists: true}},
		plan.Change{ID: ca, Action: plan.Attention, Reasons: []string{"goes with --purge only"}},
		plan.Change{ID: key, Action: plan.Attention, Reasons: []string{"goes with --purge only"}},
		plan.Change{ID: idOf(plan.KindPackage, "curl"), Action: plan.Forget, Fact: plan.Fact{ID: idOf(plan.KindPackage, "curl"), Exists: true}},
	)
	for i := range planned.Hosts {
		h := &planned.Hosts[i]
		h.Role, h.Unchanged = plan.RoleDeparted, 0
	}
	planned.Hosts[1].New = true
	planned.Hosts = append(planned.Hosts, plan.HostPlan{
		Name: "gpu-9", Address: "10.0.0.29", Role: plan.RoleDeparted, Worker: "gpu-9", Machine: plan.Machine{Pretty: "Debian 12", Arch: "arm64"},
		Changes: []plan.Change{remove(plan.KindUnit, "relay-worker.service"), remove(plan.KindUser, "relay")},
	})
	return planned
}

// ends is a command that ends with an outcome, and with what failed in it.
func ends(outcome engine.Outcome) applyFunc {
	return func(_ context.Context, h *hosts, show func(*engine.Outcome) error) (*engine.Outcome, error) {
		h.config.Events(engine.Event{Host: "edge", Phase: engine.Done, ID: idOf(plan.KindUnit, "nginx.service"), Action: plan.PutBack, Took: 1200 * time.Millisecond, Step: 1, Steps: 5})
		outcome.Took = 3 * time.Second
		err := show(&outcome)
		if len(outcome.Failed) > 0 {
			err = errors.Join(err, outcome.Failed)
		}
		return &outcome, err
	}
}

func wentBack() engine.Outcome {
	return engine.Outcome{Proof: answered(), Hosts: []engine.HostOutcome{
		{Name: "edge", OK: true, Steps: 2, Done: 2, Removed: 1}, {Name: "gpu-1", OK: true, Steps: 2, Done: 2, Changed: 1},
	}}
}

func tookAway() engine.Outcome {
	return engine.Outcome{Hosts: []engine.HostOutcome{
		{Name: "edge", OK: true, Steps: 5, Done: 5, Changed: 2, Removed: 3}, {Name: "gpu-9", OK: true, Steps: 2, Done: 2, Removed: 2},
	}}
}

// applies are those that goesBack knows of.
func applies() *engine.History {
	return &engine.History{Stack: "home", Applies: []engine.PastApply{
		{Number: 14, Ended: now.Add(-time.Hour), Hosts: []engine.PastHost{{Host: "gpu-1", Past: plan.Past{Number: 14, Steps: 2}}}},
		{Number: 13, Ended: now.Add(-118 * time.Minute)},
	}}
}

// Both commands, from the plan to the end, as their users see it.
func TestGoingBackAndTakingAway(t *testing.T) {
	for _, row := range []struct {
		name  string
		args  []string
		width int
		ascii bool
	}{
		{"rollback", []string{"rollback"}, 80, false},
		{"rollback-wide", []string{"rollback", "--to", "13"}, 200, false},
		{"rollback-in-ascii", []string{"rollback"}, 80, true},
		{"destroy", []string{"destroy"}, 80, false},
		{"destroy-wide", []string{"destroy"}, 200, false},
		{"destroy-in-ascii", []string{"destroy"}, 80, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := &hosts{planned: takesAway(), rollback: goesBack(), history: applies(), apply: ends(wentBack())}
			if row.args[0] == "destroy" {
				h.apply = ends(tookAway())
			}
			c := newConsole(t, "home\n", row.args...)
			c.Width = row.width
			if row.ascii {
				c.Env = func(name string) (string, bool) { return "1", name == "NO_COLOR" }
			}
			c.run(h).wantCode(t, 0)
			golden(t, row.name, c.screen())
			if h.applied != 1 {
				t.Errorf("done %d times", h.applied)
			}
		})
	}
}

// What is asked for reaches the engine, and secrets need not be there.
func TestWhatIsAskedOfGoingBackAndTakingAway(t *testing.T) {
	for _, row := range []struct {
		args  string
		to    int
		purge bool
	}{
		{"rollback --yes", engine.LastChange, false},
		{"rollback --yes --to 0", 0, false},
		{"rollback --yes --to 13 --accept-new-host-keys", 13, false},
		{"destroy --yes", 0, false},
		{"destroy --yes --purge --forget gpu-7 --forget gpu-8", 0, true},
	} {
		h := &hosts{planned: takesAway(), rollback: goesBack(), history: applies(), apply: ends(engine.Outcome{})}
		c := newConsole(t, "", strings.Fields(row.args)...).piped()
		text := "variable \"phone\" { sensitive = true }\n" + stackFile + "api_key \"phone\" { value = var.phone }\n"
		if err := os.WriteFile("stack.hcl", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c.run(h).wantCode(t, 0)
		if h.to != row.to || h.purge != row.purge || h.applied != 1 {
			t.Errorf("%s: asked for %d, %t, done %d times", row.args, h.to, h.purge, h.applied)
		}
		if got := strings.Join(h.config.Forget, " "); strings.Contains(row.args, "--forget") != (got == "gpu-7 gpu-8") {
			t.Errorf("%s: gives up %q", row.args, got)
		}
		if h.config.AcceptNewHostKeys != strings.Contains(row.args, "--accept") {
			t.Errorf("%s: %+v", row.args, h.config)
		}
	}
}

// Nothing is done where it may not be, or where nobody said so.
func TestGoingBackAndTakingAwayStopBeforeTheyChangeAnything(t *testing.T) {
	edited := idOf(plan.KindFile, "/etc/relay/worker.json")
	for _, row := range []struct {
		name  string
		stdin string
		args  string
		with  func(*hosts)
		piped bool
	}{
		{"rollback-another-name", "hom\n", "rollback", nil, false},
		{"rollback-no-terminal", "home\n", "rollback --to 13", nil, true},
		{"rollback-edited", "home\n", "rollback --yes", func(h *hosts) {
			h.rollback.Hosts[1].Changes = append(h.rollback.Hosts[1].Changes, plan.Change{ID: edited, Action: plan.Attention,
				Block: "edited on the host since it was applied; undo that first, or apply"})
		}, false},
		{"rollback-not-the-last", "", "rollback --yes", func(h *hosts) {
			h.rollback.Failed = engine.HostErrors{unreachable("gpu-1", 9)}
			h.rollback.To, h.rollback.Last = 11, 12
		}, false},
		{"rollback-proxy-unreachable", "", "rollback --yes", func(h *hosts) { h.err = engine.HostErrors{unreachable("edge", 3)} }, false},
		{"rollback-not-so-far", "", "rollback --yes --to 2", func(h *hosts) {
			h.err = engine.HostErrors{{Host: "gpu-1", Summary: "ask how it was: the record goes back to apply 4, and no further"}}
		}, false},
		{"rollback-before-none", "", "rollback --yes --to -2", nil, false},
		{"destroy-another-name", "hom\n", "destroy", nil, false},
		{"destroy-no-terminal", "home\n", "destroy --purge", nil, true},
		{"destroy-proxy-unreachable", "", "destroy --yes", func(h *hosts) { h.planned.Failed = engine.HostErrors{unreachable("edge", 3)} }, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := &hosts{planned: takesAway(), rollback: goesBack(), history: applies()}
			if row.with != nil {
				row.with(h)
			}
			c := newConsole(t, row.stdin, strings.Fields(row.args)...)
			if row.piped {
				c.piped()
			}
			c.run(h).wantCode(t, 1)
			if h.applied > 0 {
				t.Error("done all the same")
			}
			golden(t, row.name, c.screen())
		})
	}
}

// A host that is away is told, the others are worked on, and the last line says
// how it goes on.
func TestGoingBackAndTakingAwayWithAHostAway(t *testing.T) {
	away := engine.HostErrors{unreachable("gpu-1", 9)}
	t.Run("rollback", func(t *testing.T) {
		rollback := goesBack()
		rollback.Hosts, rollback.Failed = rollback.Hosts[:1], away
		outcome := wentBack()
		outcome.Hosts, outcome.Failed = outcome.Hosts[:1], away
		c := newConsole(t, "", "rollback", "--yes").run(&hosts{rollback: rollback, history: applies(), apply: ends(outcome)})
		c.wantCode(t, 1)
		golden(t, "rollback-host-away", c.screen())
		if text := strings.TrimSpace(c.stderr.String()); !strings.HasSuffix(text, "\n  relayctl rollback --to 13 stack.hcl") {
			t.Errorf("the last line is another: %s", text)
		}
	})
	t.Run("destroy", func(t *testing.T) {
		planned := takesAway()
		planned.Hosts, planned.Failed = planned.Hosts[:1], away
		kept := &engine.HostError{Host: "edge", Cause: engine.ErrStillThere, Did: "nothing was changed there",
			Summary: "it is left as it is: gpu-1 can't be cleaned now, and only this host remembers that",
			Hint:    "Destroy again when they can be worked on, or give them up: relayctl destroy --forget gpu-1"}
		outcome := engine.Outcome{Failed: engine.HostErrors{kept, away[0]}, Hosts: []engine.HostOutcome{{Name: "edge", Steps: 5}}}
		c := newConsole(t, "", "destroy", "--yes").run(&hosts{planned: planned, apply: ends(outcome)})
		c.wantCode(t, 1)
		golden(t, "destroy-host-away", c.screen())
	})
}

// Where there is nothing to do that is said, and it is no error.
func TestNothingToGoBackOverOrToTakeAway(t *testing.T) {
	nothing := takesAway()
	nothing.Hosts = []plan.HostPlan{{Name: "edge", Role: plan.RoleDeparted, New: true}, {Name: "gpu-1", Role: plan.RoleDeparted, New: true}}
	already := &engine.Rollback{Planned: planOf(), To: 0, Last: 2}
	for _, row := range []struct {
		name, args string
		hosts      *hosts
		code       int
	}{
		{"rollback-nothing", "rollback", &hosts{err: engine.ErrNothingToUndo}, 0},
		{"rollback-nothing-since", "rollback --to 13", &hosts{err: engine.ErrNothingToUndo}, 0},
		{"rollback-already", "rollback --to 0", &hosts{rollback: already, history: applies(), apply: ends(engine.Outcome{})}, 0},
		{"destroy-nothing", "destroy", &hosts{planned: nothing}, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newConsole(t, "", strings.Fields(row.args)...).run(row.hosts)
			c.wantCode(t, row.code)
			golden(t, row.name, c.screen())
		})
	}
}

// A rollback is told among the applies, with its steps.
func TestRollbackInTheHistory(t *testing.T) {
	began := now.Add(-time.Hour)
	step := func(n int, action plan.Action, id plan.ID) plan.StepTaken {
		return plan.StepTaken{ID: id, Step: n, Action: action, Began: began, Ended: began.Add(time.Second)}
	}
	past := &engine.History{Stack: "home", Applies: []engine.PastApply{{
		Number: 15, Version: "0.3.0", Operator: "ops@desk", Command: "rollback", Began: began, Ended: began.Add(3 * time.Second), State: plan.PastDone,
		Hosts: []engine.PastHost{{Host: "edge", Told: true, Past: plan.Past{Number: 15, State: plan.PastDone, Steps: 2, Summary: "undid apply 14"}, Taken: []plan.StepTaken{
			step(1, plan.Remove, idOf(plan.KindFile, "/etc/relay/workers.d/gpu-2.json")), step(2, plan.PutBack, idOf(plan.KindUnit, "nginx.service")),
		}}},
	}}}
	for name, args := range map[string][]string{"history-rollback": {"history"}, "history-rollback-steps": {"history", "--apply", "15"}} {
		c := newConsole(t, "", args...).run(&hosts{history: past})
		c.wantCode(t, 0)
		golden(t, name, c.screen())
	}
	c := newConsole(t, "", "history", "--apply", "15", "--json").piped().run(&hosts{history: past})
	c.wantCode(t, 0)
	wantJSON(t, "history-rollback", c)
}
