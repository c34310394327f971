package cli_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

// story lets an apply send events, at their times.
func story(events ...func(h *hosts)) applyFunc {
	return func(_ context.Context, h *hosts, show func(*engine.Outcome) error) (*engine.Outcome, error) {
		for _, happens := range events {
			happens(h)
		}
		return &engine.Outcome{}, nil
	}
}

func event(e engine.Event) func(*hosts) { return func(h *hosts) { h.config.Events(e) } }

func wait(d time.Duration) func(*hosts) { return func(*hosts) { time.Sleep(d) } } // of the bubble's clock

func TestProgressIsALineAnEvent(t *testing.T) {
	caddy, worker := plan.ID{Kind: plan.KindPackage, Name: "caddy"}, plan.ID{Kind: plan.KindProgram, Name: "relay-worker"}
	unit := plan.ID{Kind: plan.KindUnit, Name: "caddy.service"}
	c := newConsole(t, "", "apply", "--yes")
	synctest.Test(t, func(t *testing.T) {
		c.run(&hosts{planned: planOf(newPackage), apply: story(
			event(engine.Event{Host: "edge", Phase: engine.Connecting}),
			event(engine.Event{Host: "gpu-2", Phase: engine.Failed, Text: "told with the plan"}),
			event(engine.Event{Host: "edge", Phase: engine.NewHostKey, Text: "ED25519 SHA256:abc of bastion.example.com, added to known_hosts"}),
			event(engine.Event{Phase: engine.NotFollowed, Text: "BindInterface wg0"}),
			event(engine.Event{Host: "edge", Phase: engine.Connected}),
			event(engine.Event{Host: "edge", Phase: engine.Looked}),
			event(engine.Event{Host: "edge", Phase: engine.Locking, Text: "held by ann@desk (apply, pid 7)"}),
			wait(5*time.Second),
			event(engine.Event{Host: "edge", Phase: engine.Locking, Text: "held by ann@desk (apply, pid 7)"}),
			event(engine.Event{Host: "gpu-1", Phase: engine.Waiting, Text: "edge to serve"}),
			event(engine.Event{Host: "edge", Phase: engine.Uploading, ID: worker, Amount: plan.Amount{Done: 1 << 18, Total: 3 << 20, Measure: plan.InBytes}, Steps: 6}),
			event(engine.Event{Host: "edge", Phase: engine.Uploading, ID: worker, Amount: plan.Amount{Done: 1 << 20, Total: 3 << 20, Measure: plan.InBytes}, Steps: 6}),
			event(engine.Event{Host: "edge", Phase: engine.Uploading, ID: worker, Amount: plan.Amount{Done: 3 << 20, Total: 3 << 20, Measure: plan.InBytes}, Steps: 6}),
			event(engine.Event{Host: "edge", Phase: engine.Started, ID: caddy, Action: plan.Create, Steps: 6}),
			wait(5*time.Second),
			event(engine.Event{Host: "edge", Phase: engine.Waiting, ID: caddy, Text: "installing", By: "apt", Took: 5 * time.Second, Steps: 6}),
			wait(5*time.Second),
			event(engine.Event{Host: "edge", Phase: engine.Waiting, ID: caddy, Text: "installing", By: "apt", Took: 10 * time.Second, Steps: 6}),
			wait(30*time.Second),
			event(engine.Event{Host: "edge", Phase: engine.Done, ID: caddy, Action: plan.Create, Took: 41 * time.Second, Steps: 6}),
			event(engine.Event{Host: "edge", Phase: engine.Started, ID: plan.ID{Kind: plan.KindFile, Name: "/etc/x.service"}, Action: plan.Create, Steps: 6}),
			event(engine.Event{Host: "edge", Phase: engine.Done, ID: plan.ID{Kind: plan.KindFile, Name: "/etc/x.service"}, Action: plan.Create, Steps: 6}),
			event(engine.Event{Host: "edge", Phase: engine.Started, ID: unit, Action: plan.Reload, Steps: 6}),
			event(engine.Event{Host: "edge", Phase: engine.Done, ID: unit, Action: plan.Reload, Steps: 6}),
			event(engine.Event{Host: "edge", Phase: engine.Started, ID: unit, Action: plan.Update, Steps: 6}),
			event(engine.Event{Host: "edge", Phase: engine.Done, ID: unit, Action: plan.Update, Steps: 6}),
			event(engine.Event{Host: "edge", Phase: engine.Done, ID: plan.ID{Kind: plan.KindDirectory, Name: "/etc/x"}, Action: plan.Remove, Text: "left in place: it is not empty", Steps: 6}),
			event(engine.Event{Host: "edge", Phase: engine.Finished, Steps: 6, Took: 46 * time.Second}),
			event(engine.Event{Host: "gpu-1", Phase: engine.Failed, Text: "connection \x1b[1mlost", Steps: 2}),
			event(engine.Event{Phase: engine.Proving, Text: "the proxy to answer"}),
			event(engine.Event{Phase: engine.Proving, Text: "llama3-8b to answer"}),
			event(engine.Event{Phase: engine.Proving, Text: "qwen3-4b to answer"}),
			wait(5*time.Second),
			event(engine.Event{Phase: engine.Proving, Text: "llama3-8b to answer"}),
			wait(5*time.Second),
			event(engine.Event{Phase: engine.Proving, Text: "llama3-8b to answer"}),
			wait(12*time.Second),
		)})
	})
	c.wantCode(t, 0)
	golden(t, "progress", c.stderr.String())
}

func TestHostThatWaitsForOthersIsNotLookedAtYet(t *testing.T) {
	c := newConsole(t, "", "apply", "--yes")
	synctest.Test(t, func(t *testing.T) {
		c.run(&hosts{planned: planOf(newPackage), apply: story(
			event(engine.Event{Host: "edge", Phase: engine.Connecting}),
			event(engine.Event{Host: "gpu-1", Phase: engine.Connecting}),
			event(engine.Event{Host: "edge", Phase: engine.Connected}),
			wait(10*time.Second),
			event(engine.Event{Host: "gpu-1", Phase: engine.Failed, Text: "no answer"}),
			wait(10*time.Second),
		)})
	})
	golden(t, "progress-waits-for-others", c.stderr.String())
}

// A host that goes on as another one is not waited for.
func TestHostThatIsAnotherOne(t *testing.T) {
	c := newConsole(t, "", "apply", "--yes")
	synctest.Test(t, func(t *testing.T) {
		c.run(&hosts{planned: planOf(newPackage), apply: story(
			event(engine.Event{Host: "edge", Phase: engine.Connected}),
			event(engine.Event{Host: "gpu-1", Phase: engine.Connected}),
			event(engine.Event{Host: "gpu-1", Phase: engine.Merged, Text: "edge"}),
			wait(10*time.Second),
		)})
	})
	if said := c.stderr.String(); strings.Contains(said, "gpu-1") || !strings.Contains(said, "edge   still looking at it (9 s)") {
		t.Errorf("said %q", said)
	}
}

func TestFirstInterruptStopsGracefullyTheSecondAtOnce(t *testing.T) {
	interrupts := make(chan os.Signal, 2)
	c := newConsole(t, "", "apply", "--yes")
	c.Interrupts = interrupts
	hard := c.exited
	c.run(&hosts{planned: planOf(newPackage), apply: func(ctx context.Context, h *hosts, _ func(*engine.Outcome) error) (*engine.Outcome, error) {
		h.config.Events(engine.Event{Host: "edge", Phase: engine.Started, ID: plan.ID{Kind: plan.KindPackage, Name: "caddy"}, Action: plan.Create})
		interrupts <- os.Interrupt
		<-ctx.Done()
		interrupts <- os.Interrupt
		if code := <-hard; code != 1 {
			t.Errorf("hard stop with code %d, want 1", code)
		}
		failure := &engine.HostError{Host: "edge", Summary: context.Cause(ctx).Error(), Did: "stopped at step 1 of 2; what was not reached is as before"}
		return &engine.Outcome{Failed: engine.HostErrors{failure}}, engine.HostErrors{failure}
	}})
	c.wantCode(t, 1)
	golden(t, "interrupted", c.screen())
}

// A host that left the file is named before it is dialled.
func TestHostThatLeftIsNamedFirst(t *testing.T) {
	c := newConsole(t, "", "apply", "--yes")
	c.run(&hosts{planned: planOf(newPackage), apply: story(
		event(engine.Event{Host: "gpu-9", Phase: engine.Left, Text: "edge remembers it at 10.0.0.99\x1b[2J"}),
	)})
	if said := c.stderr.String(); !strings.Contains(said, `gpu-9  left the stack file; edge remembers it at 10.0.0.99\x1b[2J`) {
		t.Errorf("said %q", said)
	}
}

// Whatever keeps relayctl from ending, one interrupt is enough.
func TestOneInterruptEndsRelayctl(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		interrupts := make(chan os.Signal, 1)
		c := newConsole(t, "", "apply", "--yes")
		c.Interrupts = interrupts
		hard := c.exited
		c.run(&hosts{planned: planOf(newPackage), apply: func(ctx context.Context, _ *hosts, _ func(*engine.Outcome) error) (*engine.Outcome, error) {
			began := time.Now()
			interrupts <- os.Interrupt
			if code, took := <-hard, time.Since(began); code != 1 || took > 5*time.Minute {
				t.Errorf("stopped with code %d after %v", code, took)
			}
			return &engine.Outcome{}, context.Cause(ctx)
		}})
		c.wantCode(t, 1)
		if said := c.stderr.String(); !strings.Contains(said, "Stopped: not every host came to an end within 5 min") {
			t.Errorf("said %q", said)
		}
	})
}

func TestInterruptAtTheQuestionStopsToo(t *testing.T) {
	interrupts := make(chan os.Signal, 1)
	c := newConsole(t, "", "apply")
	typing, typed := newPipe()
	defer typed()
	c.Stdin, c.Interrupts = typing, interrupts
	interrupts <- os.Interrupt
	h := &hosts{planned: planOf(newPackage)}
	c.run(h).wantCode(t, 1)
	if h.applied > 0 {
		t.Error("applied all the same")
	}
}
