package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

// schema is the published one, in a strict form: what it does not name is
// refused, so that nothing is printed that it does not tell of.
func schema(t *testing.T) *jsonschema.Compiler {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "..", "..", "docs", "relayctl.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	forbidOthers(document)
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("relayctl.schema.json", document); err != nil {
		t.Fatal(err)
	}
	if _, err := compiler.Compile("relayctl.schema.json"); err != nil {
		t.Fatal(err)
	}
	return compiler
}

func forbidOthers(node any) {
	switch node := node.(type) {
	case map[string]any:
		if _, isObject := node["properties"].(map[string]any); isObject && node["type"] == "object" {
			node["additionalProperties"] = false
		}
		for _, child := range node {
			forbidOthers(child)
		}
	case []any:
		for _, child := range node {
			forbidOthers(child)
		}
	}
}

// wantJSON holds all that was printed to the schema, and to a golden file.
func wantJSON(t *testing.T, name string, c *console) {
	t.Helper()
	valid := schema(t)
	var indented bytes.Buffer
	lines := strings.Split(strings.TrimSuffix(c.stdout.String(), "\n"), "\n")
	for i, line := range lines {
		document, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
		if err != nil {
			t.Fatalf("line %d is no JSON: %v\n%s", i+1, err, line)
		}
		kind, _ := document.(map[string]any)["type"].(string)
		if shape, err := valid.Compile("relayctl.schema.json#/$defs/" + kind); err != nil {
			t.Errorf("line %d is of type %q: %v", i+1, kind, err)
		} else if err := shape.Validate(document); err != nil {
			t.Errorf("line %d: %v\n%s", i+1, err, line)
		}
		code, isLast := document.(map[string]any)["exit_code"]
		if isLast != (i == len(lines)-1) {
			t.Errorf("line %d of %d is the last: %t", i+1, len(lines), isLast)
		}
		if isLast && code != json.Number(string(rune('0'+c.code))) {
			t.Errorf("exit_code %v, want %d", code, c.code)
		}
		if err := json.Indent(&indented, []byte(line), "", "  "); err != nil {
			t.Fatal(err)
		}
		indented.WriteByte('\n')
	}
	if c.stderr.String() != "" {
		t.Errorf("standard error holds %q", c.stderr.String())
	}
	golden(t, "json-"+name, indented.String())
}

var everyKind = []plan.Change{
	newPackage, newKey,
	{ID: plan.ID{Kind: plan.KindFile, Name: "/etc/caddy/Caddyfile"}, Action: plan.Update, Drops: 1, Adopt: true,
		Attributes: []plan.AttrChange{{Name: plan.AttrContent, Before: "sha256:1", After: plan.Known("sha256:2")}, {Name: plan.AttrMode, Before: "0600", After: plan.Known("0644")}},
		Reasons:    []string{"edited on the host since apply 12 (2026-11-20 09:14 UTC)"}, Notes: []string{"taken over; the original is kept on the host"},
		Resource: &plan.Resource{Origin: plan.Origin{File: "stack.hcl", Line: 3, Block: `proxy "edge"`}}},
	{ID: plan.ID{Kind: plan.KindFile, Name: "/etc/relay/workers.d/gpu-1.json"}, Action: plan.Create,
		Attributes: []plan.AttrChange{{Name: plan.AttrContent, After: plan.MadeOn("gpu-1")}}},
	{ID: plan.ID{Kind: plan.KindUnit, Name: "caddy.service"}, Action: plan.Reload, Reasons: []string{"because /etc/caddy/Caddyfile \x1b[1mchanges"}},
	{ID: plan.ID{Kind: plan.KindUnit, Name: "ollama.service"}, Action: plan.Attention, Reasons: []string{"not ours, left alone"}},
}

func TestPlanAsJSON(t *testing.T) {
	lost := planOf(newPackage, inTheWay)
	lost.Failed = engine.HostErrors{unreachable("gpu-1", 9)}
	lost.Failed[0].Cause = engine.ErrNotConnected
	lost.Locks = []engine.Lock{{Host: "edge", Holder: "ann@desk", Command: "apply", Since: now}}
	lost.CutOff = []engine.Lock{lost.Locks[0], lost.Locks[0]}
	lost.CutOff[1].At = plan.ID{Kind: plan.KindPackage, Name: "caddy"}
	lost.Clocks = []engine.Clock{{Off: time.Hour}, {Host: "gpu-1", Off: -62 * time.Minute}}
	lost.Stays = engine.HostErrors{unreachable("gpu-9", 9)}
	lost.GivenUp, lost.Unknown = []string{"gpu-8"}, []string{"gpu-7"}
	changes := planOf(everyKind...)
	changes.Keys = []string{"laptop"}
	for _, row := range []struct {
		name    string
		planned *engine.Planned
		args    []string
		code    int
	}{
		{"plan", changes, nil, 0},
		{"plan-detailed", planOf(newPackage), []string{"--detailed-exitcode"}, 2},
		{"plan-none", planOf(), []string{"--detailed-exitcode"}, 0},
		{"plan-lost", lost, nil, 1},
		{"plan-usage", nil, []string{"--nope"}, 1},
		{"plan-two-files", nil, []string{"a.hcl", "b.hcl"}, 1},
		{"plan-no-file", nil, []string{"none.hcl"}, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newConsole(t, "", append([]string{"plan", "--json"}, row.args...)...).piped().run(&hosts{planned: row.planned})
			c.wantCode(t, row.code)
			wantJSON(t, row.name, c)
		})
	}
}

// Mistakes in the stack file come with their ranges, and without the secrets
// that stand beside them.
func TestStackFileMistakesAsJSON(t *testing.T) {
	const secret = "abcdefghijklmnopqrstuvwxyz0123456789"
	text := strings.Replace(stackFile, "address = \"10.0.0.21\"\n", "adress = \"10.0.0.21\"\n", 1)
	text = strings.Replace(text, "    backend = ", "    backend_key = \""+secret+"\"\n    concurency = 4\n    backend = ", 1)
	for _, command := range []string{"validate", "plan", "apply", "status"} {
		c := newConsole(t, "", command, "--json").piped()
		if err := os.WriteFile("stack.hcl", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c.run(&hosts{}).wantCode(t, 1)
		wantJSON(t, command+"-mistakes", c)
		if strings.Contains(c.screen(), secret) {
			t.Errorf("%s --json tells the secret:\n%s", command, c.screen())
		}
	}
	c := newConsole(t, "", "validate", "--json").piped().run(&hosts{})
	c.wantCode(t, 0)
	wantJSON(t, "validate", c)
}

func TestStatusAsJSON(t *testing.T) {
	units := []engine.UnitStatus{{Name: "relay-worker", Version: "0.2.9", Wanted: "0.3.0", Detail: "exit status 1"}, {Name: "caddy", Version: "2.6.2-5", Active: true}}
	ill := engine.Status{
		Stack: "home", URL: "https://llm.example.com", Applied: now.Add(-2 * time.Hour), Operator: "ops@desk",
		Problems: []engine.Problem{
			{Kind: engine.HostTrouble, Cause: engine.ErrNotConnected, Host: "gpu-2", Summary: "no answer within 10 s"},
			{Kind: engine.HostTrouble, Host: "gpu-3", Summary: "relay-host runs as user 1000, not as root"},
			{Kind: engine.UnitDown, Host: "gpu-1", Summary: "relay-worker does not run", Log: []string{"exit \x1b[1mstatus 1"}, Command: "relayctl apply", Why: "starts it"},
			{Kind: engine.ModelSilent, Model: "llama3-8b", Summary: "llama3-8b: no token within 10 s", Why: "The engine may hang.\nLook at its log on gpu-1."},
		},
		NotCompared: []engine.NotCompared{{Host: "gpu-1", Block: `model "llama3-8b"`, Argument: "backend_key"}},
		Hosts:       []engine.HostStatus{{Name: "edge", Role: "proxy", Up: true, Drift: 2, Units: units[1:]}, {Name: "gpu-1", Role: "worker", Worker: "gpu-1", Up: true, Units: units[:1]}, {Name: "gpu-2", Role: "worker"}},
		Models: []engine.ModelStatus{
			{Model: "llama3-8b", Workers: 1, Expected: 2, Running: 3, Known: true, Proof: engine.ModelProof{Model: "llama3-8b", Err: &engine.NoToken{Model: "llama3-8b", Summary: "no token within 10 s"}}},
			{Model: "qwen3-4b", Expected: 1, Proof: engine.ModelProof{Model: "qwen3-4b", Route: engine.RouteAddress, FirstToken: 240 * time.Millisecond, Detours: []string{"domain: no such host"}}},
		},
	}
	c := newConsole(t, "", "status", "--json").piped().run(&hosts{status: &ill})
	c.wantCode(t, 1)
	wantJSON(t, "status", c)

	c = newConsole(t, "", "status", "--json").piped().run(&hosts{status: &engine.Status{Stack: "home", URL: "https://llm.example.com"}})
	c.wantCode(t, 0)
	wantJSON(t, "status-well", c)

	c = newConsole(t, "", "status", "--json").piped().run(&hosts{err: engine.HostErrors{unreachable("edge", 3)}})
	c.wantCode(t, 1)
	wantJSON(t, "status-lost", c)
}

func TestApplyAsJSON(t *testing.T) {
	c := newConsole(t, "", "apply", "--json", "--yes", "--keys-out", "keys").piped()
	h := &hosts{planned: needsKey(), apply: func(ctx context.Context, h *hosts, show func(*engine.Outcome) error) (*engine.Outcome, error) {
		for _, happens := range []func(*hosts){
			event(engine.Event{Host: "edge", Phase: engine.Connecting, Text: "203.0.113.10"}),
			event(engine.Event{Host: "edge", Phase: engine.NewHostKey, Text: "ED25519 SHA256:abc of bastion.example.com, added to known_hosts"}),
			event(engine.Event{Phase: engine.NotFollowed, Text: "BindInterface wg0"}),
			event(engine.Event{Host: "edge", Phase: engine.Uploading, ID: workerBinary, Amount: plan.Amount{Done: 1 << 18, Total: 3 << 20, Measure: plan.InBytes}, Steps: 6}),
			event(engine.Event{Host: "edge", Phase: engine.Uploading, ID: workerBinary, Amount: plan.Amount{Done: 1 << 19, Total: 3 << 20, Measure: plan.InBytes}, Steps: 6}),
			event(engine.Event{Host: "edge", Phase: engine.Started, ID: caddyPackage, Action: plan.Create, Steps: 6}),
			event(engine.Event{Host: "edge", Phase: engine.Waiting, ID: caddyPackage, Action: plan.Create, Text: "installing", By: "apt", Took: 5 * time.Second, Steps: 6}),
			event(engine.Event{Host: "edge", Phase: engine.Done, ID: caddyPackage, Action: plan.Create, Took: 14200 * time.Millisecond, Step: 1, Steps: 6}),
			event(engine.Event{Host: "edge", Phase: engine.Finished, Step: 6, Steps: 6, Took: 46 * time.Second}),
			event(engine.Event{Phase: engine.Proving, Text: "llama3-8b to answer"}),
		} {
			happens(h)
		}
		return succeeds(t)(ctx, h, show)
	}}
	synctest.Test(t, func(*testing.T) { c.run(h) })
	c.wantCode(t, 0)
	wantJSON(t, "apply", c)
	if key, err := os.ReadFile("keys"); err != nil || string(key) != "laptop="+testKey+"\n" {
		t.Errorf("the file for keys holds %q (%v)", key, err)
	}
	if strings.Contains(c.screen(), testKey) {
		t.Error("the key is in the output:\n" + c.screen())
	}
}

func TestApplyAsJSONThatFails(t *testing.T) {
	c := newConsole(t, "", "apply", "--json", "--yes").piped()
	planned := planOf(newPackage)
	planned.Failed = engine.HostErrors{unreachable("gpu-2", 9)}
	failure := &engine.HostError{
		Host: "gpu-1", Resource: workerUnit, Origin: plan.Origin{File: "stack.hcl", Line: 11, Block: `worker "gpu-1"`},
		Summary: "unit relay-worker.service did not stay up", Log: []string{"dial: certificate \x1b[31msigned by unknown authority"},
		Hint: "Was the CA made anew?", Did: "stopped at step 5 of 6; what was not reached is as before",
	}
	silent := &engine.NoToken{Model: "llama3-8b", Summary: "the relay says 503", Log: []string{"relay-worker: dial refused"}, Hint: "Look at it: relayctl status"}
	c.run(&hosts{planned: planned, apply: func(_ context.Context, h *hosts, show func(*engine.Outcome) error) (*engine.Outcome, error) {
		event(engine.Event{Host: "gpu-1", Phase: engine.Failed, ID: workerUnit, Text: failure.Summary, Step: 4, Steps: 6})(h)
		outcome := &engine.Outcome{Took: time.Second, Failed: append(planned.Failed, failure),
			Proof: engine.Proof{URL: "https://llm.example.com", Models: []engine.ModelProof{{Model: "llama3-8b", Err: silent}}},
			Hosts: []engine.HostOutcome{{Name: "edge", Created: 3, Steps: 3, Done: 3, OK: true}, {Name: "gpu-1", Steps: 6, Done: 4}, {Name: "gpu-3", Steps: 2, Skipped: "edge failed"}}}
		if err := show(outcome); err != nil {
			return outcome, err
		}
		return outcome, outcome.Failed
	}}).wantCode(t, 1)
	wantJSON(t, "apply-failed", c)
}

func TestApplyAsJSONStopsBeforeItChangesAnything(t *testing.T) {
	for _, row := range []struct {
		name    string
		planned *engine.Planned
		args    []string
	}{
		{"no-yes", planOf(newPackage), nil},
		{"no-keys-out", needsKey(), []string{"--yes"}},
		{"blocked", planOf(inTheWay, portTaken), []string{"--yes"}},
		{"keys-nowhere", needsKey(), []string{"--yes", "--keys-out", "no/such/folder/keys"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := &hosts{planned: row.planned}
			c := newConsole(t, "home\n", append([]string{"apply", "--json"}, row.args...)...)
			c.StdoutTerminal = row.name == "no-keys-out" // a terminal is no place for keys here
			c.run(h).wantCode(t, 1)
			if h.applied > 0 {
				t.Error("applied all the same")
			}
			wantJSON(t, "apply-"+row.name, c)
		})
	}
}

// Also who is stopped at once ends what is printed.
func TestApplyAsJSONThatIsStoppedAtOnce(t *testing.T) {
	interrupts := make(chan os.Signal, 2)
	c := newConsole(t, "", "apply", "--json", "--yes").piped()
	c.Interrupts = interrupts
	c.run(&hosts{planned: planOf(newPackage), apply: func(ctx context.Context, h *hosts, show func(*engine.Outcome) error) (*engine.Outcome, error) {
		interrupts <- os.Interrupt
		<-ctx.Done()
		interrupts <- os.Interrupt
		<-c.exited
		return &engine.Outcome{}, show(&engine.Outcome{})
	}})
	c.code = 1
	wantJSON(t, "apply-stopped", c)
}

// The live view goes on beside JSON that is read by somebody else.
func TestJSONBesideALiveView(t *testing.T) {
	c := newConsole(t, "", "apply", "--json", "--yes")
	f := &film{terminal: onTerminal(c, 80, 24, false)}
	c.Stdout, c.StdoutTerminal = &c.stdout, false
	f.run(t, c, planOfMany(1), &engine.Outcome{},
		event(engine.Event{Host: "edge", Phase: engine.Started, ID: caddyPackage, Action: plan.Create, Step: 1, Steps: 4}), wait(2*time.Second), f.look("at work"))
	if !strings.Contains(f.text.String(), "1/4  installing caddy (2 s)") {
		t.Errorf("the terminal shows\n%s", f.text.String())
	}
	for line := range strings.Lines(c.stdout.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
}
