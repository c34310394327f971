package cli_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

func (h *hosts) History(_ context.Context, request engine.HistoryRequest) (*engine.History, error) {
	h.past = request
	return h.history, h.err
}

// pastOf is an apply of which each host tells.
func pastOf(number int, command, operator string, took time.Duration, hosts ...engine.PastHost) engine.PastApply {
	began := now.Add(time.Duration(number-20) * 7 * time.Hour)
	apply := engine.PastApply{
		Number: number, Version: "0.3.0", Operator: operator, Command: command, Began: began, Ended: began.Add(took),
		State: plan.PastDone, Hosts: hosts,
	}
	for _, h := range hosts {
		if h.State != plan.PastDone {
			apply.State = h.State
		}
	}
	return apply
}

func pastHost(name string, state plan.PastState, steps int, summary, why string) engine.PastHost {
	return engine.PastHost{Host: name, Told: true, Past: plan.Past{State: state, Steps: steps, Summary: summary, Why: why}}
}

// ups and downs of a stack.
func downs() *engine.History {
	cut := pastHost("edge", plan.PastCutOff, 4, "2 created, 1 changed", "")
	cut.At = &plan.StepTaken{Step: 4, ID: plan.ID{Kind: plan.KindPackage, Name: "caddy"}, Action: plan.Create}
	many := make([]engine.PastHost, 30)
	for i := range many {
		many[i] = pastHost(fmt.Sprintf("gpu-%d", i+1), plan.PastDone, 5, "4 created, 1 restarted", "")
	}
	running := pastOf(15, "apply", "ann@laptop", 0, pastHost("edge", plan.PastRunning, 2, "1 created", ""))
	running.Ended = time.Time{}
	return &engine.History{
		Stack: "home", More: true,
		Applies: []engine.PastApply{
			running,
			pastOf(14, "apply", "ops@desk", 31*time.Second, cut, pastHost("gpu-1", plan.PastCutOff, 0, "nothing changed", ""), pastHost("gpu-2", plan.PastCutOff, 2, "1 changed", "")),
			pastOf(13, "rotate-secret", "ann@laptop", 2100*time.Millisecond,
				pastHost("edge", plan.PastDone, 3, "worker secrets rotated: gpu-1", ""), pastHost("gpu-1", plan.PastDone, 3, "worker secrets rotated: gpu-1", "")),
			pastOf(12, "apply", "ops@desk", 75*time.Second, pastHost("edge", plan.PastDone, 2, "2 changed, 1 reloaded", ""),
				pastHost("gpu-1", plan.PastFailed, 3, "1 created", "unit relay-worker.service did not stay up: it stopped three times in 10 s, last with exit code 1")),
			pastOf(9, "apply", "ops@desk", 3*time.Minute, append([]engine.PastHost{pastHost("edge", plan.PastDone, 20, "19 created, 1 changed", "")}, many...)...),
		},
		Originals: originals(),
	}
}

func originals() []engine.HostOriginal {
	by := plan.TakenOver{Number: 1, Time: now.Add(-50 * time.Hour)}
	unit := by
	unit.Before = map[string]string{plan.AttrEnabled: plan.Yes, plan.AttrRunning: plan.Yes}
	return []engine.HostOriginal{
		{Host: "edge", Original: plan.Original{ID: plan.ID{Kind: plan.KindUnit, Name: "nginx.service"}, TakenOver: unit}},
		{Host: "edge", Original: plan.Original{
			ID: plan.ID{Kind: plan.KindFile, Name: "/etc/caddy/Caddyfile"}, TakenOver: by, Kept: "/var/lib/relayctl/generations/0/etc/caddy/Caddyfile",
		}},
		{Host: "gpu-1", Original: plan.Original{
			ID: plan.ID{Kind: plan.KindUnit, Name: "relay-worker.service"}, TakenOver: unit, HiddenBy: "/etc/systemd/system/relay-worker.service",
		}},
		{Host: "gpu-1", Original: plan.Original{
			ID: plan.ID{Kind: plan.KindFile, Name: "/etc/relay/my notes.json"}, TakenOver: by, Kept: "/var/lib/relayctl/generations/0/etc/relay/my notes.json",
		}},
	}
}

// oneApply is a history with the steps of an apply.
func oneApply() *engine.History {
	step := func(n int, action plan.Action, kind plan.Kind, name string, took time.Duration) plan.StepTaken {
		began := now.Add(time.Duration(n) * time.Second)
		return plan.StepTaken{Step: n, Action: action, ID: plan.ID{Kind: kind, Name: name}, Began: began, Ended: began.Add(took)}
	}
	cut := pastHost("edge", plan.PastCutOff, 6, "2 created, 1 changed, 1 restarted", "")
	last := step(6, plan.Create, plan.KindPackage, "caddy", 0)
	last.Ended = time.Time{}
	cut.At = &last
	cut.Taken = []plan.StepTaken{
		step(1, plan.Create, plan.KindUser, "relay", 120*time.Millisecond),
		step(2, plan.Take, plan.KindDirectory, "/etc/relay", time.Millisecond),
		step(3, plan.Create, plan.KindFile, "/etc/relay/workers.d/a-worker-with-a-rather-long-name.json", time.Millisecond),
		step(4, plan.Update, plan.KindFile, "/etc/relay/relay.json", time.Millisecond),
		step(5, plan.Restart, plan.KindUnit, "relay-server.service", 2*time.Second),
		last,
	}
	failed := pastHost("gpu-1", plan.PastFailed, 1, "nothing changed", "unit relay-worker.service did not stay up")
	bad := step(1, plan.Create, plan.KindUnit, "relay-worker.service", 12*time.Second)
	bad.Error = "it stopped three times in 10 s, last with exit code 1: dial wss://llm.example.com: certificate signed by unknown authority"
	failed.Taken = []plan.StepTaken{bad}
	old := pastHost("gpu-2", plan.PastCutOff, 7, "5 created", "")
	away := pastHost("gpu-4", plan.PastDone, 7, "7 removed", "")
	away.Told = false
	return &engine.History{Stack: "home", Originals: originals(), Applies: []engine.PastApply{
		pastOf(14, "apply", "ops@desk", 31*time.Second, cut, failed, old, pastHost("gpu-3", plan.PastCutOff, 0, "nothing changed", ""), away),
	}}
}

func TestHistory(t *testing.T) {
	lost := downs()
	lost.Applies, lost.More, lost.Originals = lost.Applies[1:2], false, nil
	lost.Failed = engine.HostErrors{unreachable("gpu-1", 9)}
	for _, row := range []struct {
		name    string
		history *engine.History
		err     error
		args    []string
		code    int
	}{
		{"list", downs(), nil, nil, 0},
		{"steps", oneApply(), nil, []string{"--apply", "14"}, 0},
		{"none", &engine.History{Stack: "home"}, nil, nil, 0},
		{"host-lost", lost, nil, nil, 1},
		{"no-such-apply", &engine.History{Stack: "home"}, fmt.Errorf("apply 99: %w", engine.ErrNoSuchApply), []string{"--apply", "99"}, 1},
		{"host-without-apply", nil, nil, []string{"--host", "gpu-1"}, 1},
	} {
		for suffix, set := range map[string]func(*console){
			"":          func(*console) {},
			"-wide":     func(c *console) { c.Width = 200 },
			"-in-ascii": func(c *console) { c.Env = func(string) (string, bool) { return "", false } },
		} {
			if suffix != "" && row.name != "list" && row.name != "steps" {
				continue
			}
			t.Run(row.name+suffix, func(t *testing.T) {
				c := newConsole(t, "", append([]string{"history"}, row.args...)...).piped()
				set(c)
				c.run(&hosts{history: row.history, err: row.err})
				c.wantCode(t, row.code)
				golden(t, "history-"+row.name+suffix, c.screen())
				for line := range strings.Lines(c.stdout.String()) {
					if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > max(80, c.Width) && !strings.Contains(line, "/generations/") && !strings.Contains(line, " && rm ") && !strings.Contains(line, "a-rather-long") {
						t.Errorf("%d columns: %s", n, line)
					}
				}
			})
		}
	}
}

func TestHistoryAsJSON(t *testing.T) {
	lost := oneApply()
	lost.Failed = engine.HostErrors{unreachable("gpu-4", 9)}
	for _, row := range []struct {
		name    string
		history *engine.History
		err     error
		args    []string
		code    int
	}{
		{"history", downs(), nil, nil, 0},
		{"history-steps", lost, nil, []string{"--apply", "14"}, 1},
		{"history-none", &engine.History{Stack: "home"}, nil, nil, 0},
		{"history-no-such-apply", &engine.History{Stack: "home"}, fmt.Errorf("apply 99: %w", engine.ErrNoSuchApply), []string{"--apply", "99"}, 1},
		{"history-usage", nil, nil, []string{"--last", "0"}, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.name == "history" {
				row.history.Applies = row.history.Applies[:2]
			}
			c := newConsole(t, "", append([]string{"history", "--json"}, row.args...)...).piped().run(&hosts{history: row.history, err: row.err})
			c.wantCode(t, row.code)
			wantJSON(t, row.name, c)
		})
	}
}

// A host that tells nonsense spoils neither the document nor a terminal that a
// program prints it on.
func TestHistoryOfAHostThatLies(t *testing.T) {
	late := time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -86340)) // in UTC the year has five digits
	const csi = "\u009b31m"
	taken := plan.StepTaken{ID: plan.ID{Kind: csi, Name: csi}, Action: csi, Began: late, Ended: late, Error: csi}
	host := engine.PastHost{Host: csi, Past: plan.Past{State: csi, Summary: csi, Why: csi, At: &taken}, Taken: []plan.StepTaken{taken}}
	history := &engine.History{Stack: "home",
		Applies: []engine.PastApply{{Version: csi, Operator: csi, Command: csi, Began: late, Ended: late, State: csi, Hosts: []engine.PastHost{host}}},
		Originals: []engine.HostOriginal{{Host: "edge", Original: plan.Original{
			ID: plan.ID{Kind: csi, Name: csi}, TakenOver: plan.TakenOver{Time: late}, Kept: csi,
		}}},
	}
	for _, args := range [][]string{{"history", "--json"}, {"history"}, {"history", "--apply", "1"}} {
		c := newConsole(t, "", args...).piped().run(&hosts{history: history})
		c.wantCode(t, 0)
		if out := c.stdout.String(); !strings.Contains(out, `31m`) || strings.Contains(out, csi) {
			t.Errorf("%v prints %q", args, out)
		}
	}
	status := &engine.Status{Stack: "home", Applied: late}
	c := newConsole(t, "", "status", "--json").piped().run(&hosts{status: status})
	if out := c.stdout.String(); !strings.Contains(out, `"stack":"home"`) {
		t.Errorf("status --json prints %q", out)
	}
}

func TestHistoryIsAskedFor(t *testing.T) {
	for args, want := range map[string]engine.HistoryRequest{
		"":                      {Last: 10},
		"--last 3":              {Last: 3},
		"--apply 7 --host edge": {Last: 10, Apply: 7, Host: "edge"},
	} {
		h := &hosts{history: oneApply()}
		newConsole(t, "", append([]string{"history"}, strings.Fields(args)...)...).run(h).wantCode(t, 0)
		if h.past != want {
			t.Errorf("%q asks for %+v", args, h.past)
		}
	}
	for _, args := range []string{"--last 0", "--last 1001", "--apply 0", "--apply -1"} {
		newConsole(t, "", append([]string{"history"}, strings.Fields(args)...)...).run(&hosts{}).wantCode(t, 1)
	}
}

// A plan tells what was cut off and where, and how a machine is given up whose
// name another one has now.
func TestPlanTellsOfThePast(t *testing.T) {
	planned := planOf()
	planned.CutOff = []engine.Lock{
		{Host: "edge", Holder: "ann@desk", Command: "apply", Since: now, At: plan.ID{Kind: plan.KindPackage, Name: "caddy"}},
		{Host: "gpu-1", Holder: "ann@desk", Command: "apply", Since: now},
	}
	planned.Stays = engine.HostErrors{unreachable("gpu-2 at 10.0.0.22", 9)}
	c := newConsole(t, "", "plan").run(&hosts{planned: planned})
	c.wantCode(t, 0)
	said := strings.Join(strings.Fields(c.stdout.String()), " ")
	for _, part := range []string{
		"was cut off in the middle of package caddy; apply goes on", "was cut off; apply goes on", "add --forget 'gpu-2 at 10.0.0.22' to apply",
	} {
		if !strings.Contains(said, part) {
			t.Errorf("%q is missing in\n%s", part, c.screen())
		}
	}
}
