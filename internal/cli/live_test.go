package cli_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

// onTerminal puts a console on a terminal of its own, where both outputs go.
func onTerminal(c *console, columns, rows int, ascii bool) *terminal {
	t := newTerminal(columns, rows)
	locale := "C.UTF-8"
	if ascii {
		locale = "C"
	}
	c.Stdout, c.Stderr, c.Size, c.Width = t, t, t.size, columns
	c.Env = func(name string) (string, bool) {
		value, ok := map[string]string{"LANG": locale, "TERM": "xterm-256color", "NO_COLOR": "1"}[name]
		return value, ok
	}
	return t
}

// film is what a terminal showed at moments.
type film struct {
	*terminal
	text       strings.Builder
	interrupts chan os.Signal
}

// look takes down what is to be seen once everything was drawn.
func (f *film) look(moment string) func(*hosts) {
	return func(*hosts) {
		time.Sleep(150 * time.Millisecond) // of the bubble's clock
		fmt.Fprintf(&f.text, "======== %s\n%s", moment, f.screen())
	}
}

// planOfMany is a plan for a proxy and n-1 workers.
func planOfMany(n int) *engine.Planned {
	planned := &engine.Planned{Took: time.Second, Plan: plan.Plan{Stack: "home"}}
	for i := range n {
		h := plan.HostPlan{Name: nameOf(i), Address: "10.0.0.21", Machine: plan.Machine{Pretty: "Debian 12", Arch: "amd64"}}
		h.Changes = []plan.Change{newPackage, newPackage, newPackage, newPackage}
		planned.Hosts = append(planned.Hosts, h)
	}
	return planned
}

func nameOf(i int) string {
	if i == 0 {
		return "edge"
	}
	return fmt.Sprintf("gpu-%d", i)
}

// all lets every host from the first one on do the same.
func all(from, n int, e engine.Event) func(*hosts) {
	return func(h *hosts) {
		for i := from; i < n; i++ {
			e.Host = nameOf(i)
			h.config.Events(e)
		}
	}
}

var (
	caddyPackage = plan.ID{Kind: plan.KindPackage, Name: "caddy"}
	workerBinary = plan.ID{Kind: plan.KindProgram, Name: "relay-worker"}
	workerUnit   = plan.ID{Kind: plan.KindUnit, Name: "relay-worker.service"}
)

// scenes is an apply to n hosts: the proxy, then the workers, of which the
// second fails and the first five are in the middle of something.
func scenes(f *film, n int) []func(*hosts) {
	const mebibyte = 1 << 20
	list := []func(*hosts){
		event(engine.Event{Host: "edge", Phase: engine.Uploading, ID: workerBinary, Amount: plan.Amount{Done: mebibyte * 19 / 10, Total: mebibyte * 31 / 10, Measure: plan.InBytes}, Step: 0, Steps: 4}),
		all(1, n, engine.Event{Phase: engine.Waiting, Text: "edge to serve", Steps: 4}),
		wait(300 * time.Millisecond),
		f.look("the proxy is uploaded to"),
		event(engine.Event{Host: "edge", Phase: engine.Started, ID: caddyPackage, Action: plan.Create, Step: 2, Steps: 4}),
		wait(5 * time.Second),
		event(engine.Event{Host: "edge", Phase: engine.Waiting, ID: caddyPackage, Action: plan.Create, Text: "installing", By: "apt", Took: 5 * time.Second, Step: 2, Steps: 4}),
		wait(7 * time.Second),
		f.look("a package is installed"),
		event(engine.Event{Host: "edge", Phase: engine.NewHostKey, Text: "ED25519 SHA256:abc, added to known_hosts"}),
		event(engine.Event{Host: "edge", Phase: engine.Done, ID: caddyPackage, Action: plan.Create, Step: 4, Steps: 4}),
		event(engine.Event{Host: "edge", Phase: engine.Finished, Step: 4, Steps: 4, Took: 14 * time.Second}),
		all(1, min(n, 6), engine.Event{Phase: engine.Started, ID: workerUnit, Action: plan.Create, Step: 3, Steps: 4}),
	}
	if n > 2 {
		list = append(list,
			event(engine.Event{Host: "gpu-2", Phase: engine.Failed, ID: workerUnit, Text: "unit relay-worker.service did not stay up \x1b[2J", Step: 3, Steps: 4}),
			wait(2*time.Second),
			f.look("a worker failed"),
			all(1, 2, engine.Event{Phase: engine.Finished, Step: 4, Steps: 4, Took: 20 * time.Second}),
			all(3, n, engine.Event{Phase: engine.Finished, Step: 4, Steps: 4, Took: 20 * time.Second}))
	}
	return append(list,
		event(engine.Event{Phase: engine.Proving, Text: "llama3-8b to answer"}),
		wait(3*time.Second),
		f.look("the model is asked"))
}

// run lets an apply go through scenes and ends it.
func (f *film) run(t *testing.T, c *console, planned *engine.Planned, outcome *engine.Outcome, scenes ...func(*hosts)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f.interrupts = make(chan os.Signal, 2)
		c.Interrupts = f.interrupts
		c.run(&hosts{planned: planned, apply: func(_ context.Context, h *hosts, show func(*engine.Outcome) error) (*engine.Outcome, error) {
			for _, happens := range scenes {
				happens(h)
			}
			return outcome, show(outcome)
		}})
	})
	f.look("the end")(nil)
	if len(f.unknown) > 0 {
		t.Errorf("the terminal got %v", f.unknown)
	}
	if !f.atRest() {
		t.Error("the cursor was left in the middle of something")
	}
}

func TestLiveViewOfAnApply(t *testing.T) {
	for _, n := range []int{1, 3, 30} {
		for _, columns := range []int{80, 200} {
			for _, ascii := range []bool{false, true} {
				name := fmt.Sprintf("live-%d-hosts-%d-columns", n, columns)
				if ascii {
					name += "-ascii"
				}
				t.Run(name, func(t *testing.T) {
					c := newConsole(t, "", "apply", "--yes")
					f := &film{terminal: onTerminal(c, columns, 24, ascii)}
					outcome := &engine.Outcome{Took: 20 * time.Second, Proof: answered(), Hosts: []engine.HostOutcome{{Name: "edge", Created: 4, Steps: 4, Done: 4, OK: true}}}
					f.run(t, c, planOfMany(n), outcome, scenes(f, n)...)
					golden(t, name, f.text.String())
				})
			}
		}
	}
}

// What apt prints stands behind what it is at, as far as there is room.
func TestLiveLineShowsWhatACommandPrints(t *testing.T) {
	c := newConsole(t, "", "apply", "--yes")
	f := &film{terminal: onTerminal(c, 80, 24, false)}
	f.run(t, c, planOfMany(1), &engine.Outcome{},
		event(engine.Event{
			Host: "edge", Phase: engine.Waiting, ID: caddyPackage, Action: plan.Create, Step: 1, Steps: 4, Text: "installing",
			By: "apt", Took: 5 * time.Second, Line: "Setting up caddy (2.6.2-5) \x1b[5A and much more of what nobody needs to know",
		}),
		wait(1500*time.Millisecond),
		func(*hosts) {
			if screen := f.screen(); !strings.Contains(screen, `1/4  installing caddy (apt, 6 s): Setting up caddy (2.6.…`) || f.breaks(2) {
				t.Errorf("the screen is\n%s", screen)
			}
		})
}

// A terminal with colours shows the same.
func TestColoursDoNotMoveLiveLines(t *testing.T) {
	c := newConsole(t, "", "apply", "--yes")
	f := &film{terminal: onTerminal(c, 80, 24, false)}
	plain := c.Env
	c.Env = func(name string) (string, bool) {
		if name == "NO_COLOR" {
			return "", false
		}
		return plain(name)
	}
	outcome := &engine.Outcome{Took: 20 * time.Second, Proof: answered(), Hosts: []engine.HostOutcome{{Name: "edge", Created: 4, Steps: 4, Done: 4, OK: true}}}
	f.run(t, c, planOfMany(3), outcome, scenes(f, 3)...)
	golden(t, "live-3-hosts-80-columns", f.text.String())
}

// What a host says can't break the lines, also where characters are twice as wide
// as others.
func TestLiveLinesNeverWrap(t *testing.T) {
	text := "模型下载 🙂 \x1b[5A\x1b]0;title\a\r\n\u202e e\u0301 " + strings.Repeat("ｗ", 60)
	for _, columns := range []int{80, 79, 41, 20, 9, 3, 1} {
		c := newConsole(t, "", "apply", "--yes")
		f := &film{terminal: onTerminal(c, columns, 24, false)}
		planned := planOfMany(2)
		f.run(t, c, planned, &engine.Outcome{},
			event(engine.Event{Host: "edge", Phase: engine.Waiting, ID: caddyPackage, Text: text, Step: 1, Steps: 4}),
			event(engine.Event{Host: "gpu-1", Phase: engine.Waiting, Text: text, Steps: 4}),
			wait(time.Second),
			func(*hosts) {
				if columns > 3 && f.breaks(3) { // on less the plan above is broken everywhere
					t.Errorf("%d columns: a line is broken:\n%s", columns, f.screen())
				}
			},
			wait(time.Second), f.look(fmt.Sprint(columns)))
		if columns == 80 {
			golden(t, "live-wide", f.text.String())
		}
	}
}

func TestLiveViewFollowsTheTerminalsSize(t *testing.T) {
	c := newConsole(t, "", "apply", "--yes")
	f := &film{terminal: onTerminal(c, 100, 12, false)}
	resized := func(columns, rows int) func(*hosts) {
		return func(*hosts) { f.resize(columns, rows) }
	}
	planned := planOfMany(4)
	f.run(t, c, planned, &engine.Outcome{},
		event(engine.Event{Host: "edge", Phase: engine.Waiting, ID: caddyPackage, Text: strings.Repeat("installing ", 12), Step: 1, Steps: 4}),
		all(1, 4, engine.Event{Phase: engine.Waiting, Text: "edge to serve", Steps: 4}),
		wait(time.Second), f.look("100 columns"),
		resized(60, 12), f.look("60 columns"),
		resized(30, 8), f.look("30 columns, 8 rows"),
		resized(80, 3), f.look("80 columns, 3 rows"),
		resized(80, 20), f.look("80 columns, 20 rows"),
	)
	golden(t, "live-resized", f.text.String())
}

// What is looked at is shown while it takes long, and gone when the answer
// comes.
func TestLiveViewOfALook(t *testing.T) {
	for _, command := range []string{"plan", "status"} {
		c := newConsole(t, "", command)
		f := &film{terminal: onTerminal(c, 80, 24, false)}
		h := &hosts{planned: planOf(newPackage), status: &engine.Status{Stack: "home", URL: "https://llm.example.com"}}
		h.before = func() {
			for _, happens := range []func(*hosts){
				event(engine.Event{Host: "edge", Phase: engine.Connecting, Text: "203.0.113.10"}),
				event(engine.Event{Host: "gpu-1", Phase: engine.Connecting, Text: "10.0.0.21"}),
				f.look("at once"),
				wait(time.Second), f.look("connecting"),
				event(engine.Event{Host: "edge", Phase: engine.Connected, Text: "Debian 12, amd64"}),
				wait(time.Second), f.look("one is connected"),
				event(engine.Event{Host: "gpu-1", Phase: engine.NewHostKey, Text: "ssh-ed25519 SHA256:Uxk9KfuQ2V5gYvsS3rxB3ZkYxw1oPqfJ1cHn3b7m2dE of [bastion.example.com]:2222, added to /home/ops/.ssh/known_hosts"}),
				event(engine.Event{Phase: engine.NotFollowed, Text: "StrictHostKeyChecking accept-new"}),
				event(engine.Event{Host: "gpu-1", Phase: engine.Connected}),
				wait(time.Second), f.look("both are"),
			} {
				happens(h)
			}
		}
		synctest.Test(t, func(*testing.T) { c.run(h) })
		f.look("the end")(nil)
		golden(t, "live-"+command, f.text.String())
	}
}

func TestInterruptLeavesTheTerminalInOrder(t *testing.T) {
	c := newConsole(t, "", "apply", "--yes")
	f := &film{terminal: onTerminal(c, 80, 24, false)}
	failure := &engine.HostError{Host: "edge", Summary: "stopped as asked", Did: "stopped at step 2 of 4; what was not reached is as before"}
	f.run(t, c, planOfMany(2), &engine.Outcome{Failed: engine.HostErrors{failure}, Hosts: []engine.HostOutcome{
		{Name: "edge", Steps: 4, Done: 1}, {Name: "gpu-1", Steps: 4, Skipped: "edge failed"},
	}},
		event(engine.Event{Host: "edge", Phase: engine.Started, ID: caddyPackage, Action: plan.Create, Step: 1, Steps: 4}),
		event(engine.Event{Host: "gpu-1", Phase: engine.Waiting, Text: "edge to serve", Steps: 4}),
		wait(time.Second),
		func(*hosts) {
			f.Write([]byte("^C")) // what a terminal does by itself
			f.interrupts <- os.Interrupt
		},
		wait(time.Second), f.look("stopping"),
		event(engine.Event{Host: "edge", Phase: engine.Failed, Text: "stopped as asked", Step: 1, Steps: 4}),
		wait(time.Second),
	)
	golden(t, "live-interrupted", f.text.String())
}

// What fails after the end is told, but nothing is drawn below the outcome.
func TestNothingIsDrawnAfterTheRecord(t *testing.T) {
	c := newConsole(t, "", "apply", "--yes")
	f := &film{terminal: onTerminal(c, 80, 24, false)}
	late := &engine.HostError{Host: "edge", Summary: "end the apply: the conversation broke off"}
	synctest.Test(t, func(*testing.T) {
		c.run(&hosts{planned: planOfMany(1), apply: func(_ context.Context, h *hosts, show func(*engine.Outcome) error) (*engine.Outcome, error) {
			event(engine.Event{Host: "edge", Phase: engine.Finished, Step: 4, Steps: 4, Took: 14 * time.Second})(h)
			time.Sleep(time.Second)
			outcome := &engine.Outcome{Took: 14 * time.Second, Proof: answered(), Hosts: []engine.HostOutcome{{Name: "edge", Steps: 4, Done: 4, OK: true}}}
			if err := show(outcome); err != nil {
				return outcome, err
			}
			event(engine.Event{Host: "edge", Phase: engine.Failed, Text: late.Summary, Step: 4, Steps: 4})(h)
			time.Sleep(time.Second)
			return outcome, engine.HostErrors{late}
		}})
	})
	f.look("the end")(nil)
	golden(t, "live-late", f.text.String())
}

// Nobody needs more than ten frames a second, or any where nothing changes.
func TestLiveViewIsDrawnOnChangeOnly(t *testing.T) {
	c := newConsole(t, "", "apply", "--yes")
	f := &film{terminal: onTerminal(c, 80, 24, false)}
	var before, busy, quiet int
	f.run(t, c, planOfMany(1), &engine.Outcome{},
		func(h *hosts) {
			event(engine.Event{Host: "edge", Phase: engine.Started, ID: caddyPackage, Action: plan.Create, Step: 1, Steps: 4})(h)
			time.Sleep(time.Second)
			before = f.writes()
			for i := range 10_000 {
				event(engine.Event{Host: "edge", Phase: engine.Uploading, ID: workerBinary, Amount: plan.Amount{Done: int64(i) << 10, Total: 1 << 30, Measure: plan.InBytes}, Step: 1, Steps: 4})(h)
				time.Sleep(100 * time.Microsecond)
			}
			busy, before = f.writes()-before, f.writes()
			time.Sleep(10 * time.Second)
			quiet = f.writes() - before
		})
	if busy < 5 || busy > 11 {
		t.Errorf("drawn %d times in a busy second", busy)
	}
	if quiet < 9 || quiet > 12 { // the time that passes
		t.Errorf("drawn %d times in 10 quiet seconds", quiet)
	}
}

func TestNoLiveViewWithoutATerminalThatCan(t *testing.T) {
	for name, env := range map[string]string{"dumb": "dumb", "none": "", "piped": "xterm"} {
		c := newConsole(t, "", "apply", "--yes")
		f := &film{terminal: onTerminal(c, 80, 24, false)}
		c.StderrTerminal = name != "piped"
		c.Env = func(name string) (string, bool) {
			value, ok := map[string]string{"LANG": "C.UTF-8", "TERM": env, "NO_COLOR": "1"}[name]
			return value, ok
		}
		f.run(t, c, planOfMany(1), &engine.Outcome{},
			event(engine.Event{Host: "edge", Phase: engine.Started, ID: caddyPackage, Action: plan.Create, Step: 1, Steps: 4}), wait(2*time.Second))
		if !strings.Contains(f.screen(), "\nedge   package caddy: installing\n") || strings.Contains(f.screen(), "1/4") {
			t.Errorf("%s:\n%s", name, f.screen())
		}
	}
}
