package cli_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

// shownNowhere is in all secrets of the leaky stack, in each word of them, so
// that also a part is found.
const shownNowhere = "canary"

// leaky is a stack with a secret of each kind.
const leaky = `variable "engine_key" {
  type      = string
  sensitive = true
}
variable "plain" {
  default = "plain"
}
variable "key_3" { sensitive = true }
` + stackFile + `
worker "gpu-2" {
  address = "10.0.0.22"
  model "qwen3" {
    backend     = "http://127.0.0.1:11434"
    backend_key = var.engine_key
    upstream    = "canary\"1<2>canary's-canary&canary=canary/canary%canary" # as the key says
  }
  model "qwen4" {
    backend     = "http://127.0.0.1:11434"
    backend_key = "${split(" ", env("KEY"))[0]}${var.key_3}"
  }
}
api_key "old" {
  value = trimspace(file("old.key"))
}
`

// leakySecrets are its secrets, by where they come from.
var leakySecrets = map[string]string{
	"RELAYCTL_VAR_engine_key": `canary"1<2>canary's-canary&canary=canary/canary%canary`,
	"KEY":                     "canary-of-the-environment-canary canary-behind-it",
	"RELAYCTL_VAR_key_3":      "canary3canary",
	"RELAYCTL_SUDO_PASSWORD":  "canary for sudo 'canary'",
	"old.key":                 "canary file canary of canary words canary that canary break canary",
}

// quoted is a text of all secrets, quoted and escaped in every way, and cut.
func quoted(t *testing.T) string {
	t.Helper()
	var says []string
	for _, key := range leakySecrets {
		encoded, err := json.Marshal(key)
		if err != nil {
			t.Fatal(err)
		}
		says = append(says, key, fmt.Sprintf("%q", key), string(encoded), html.EscapeString(key), url.QueryEscape(key), url.PathEscape(key),
			"'"+strings.ReplaceAll(key, "'", `'\''`)+"'", key[:len(key)-3]+"…", "lookup "+key+": no such host", key+key)
	}
	return strings.Join(says, ", ")
}

// leakyWorld is a stack's hosts that tell its secrets wherever they tell
// anything.
func leakyWorld(t *testing.T) *hosts { return worldSaying(quoted(t), quoted(t)) }

// worldSaying is a stack's hosts that say that wherever they say anything, with
// block as what the stack file says.
func worldSaying(says, block string) *hosts {
	id := plan.ID{Kind: plan.KindFile, Name: "/etc/" + says}
	origin := plan.Origin{File: "stack.hcl", Line: strings.Count(leaky[:strings.Index(leaky, "upstream")], "\n") + 1, Block: block}
	onHosts := engine.HostErrors{{Host: "gpu-2", Resource: id, Origin: origin, Summary: says, Cause: errors.New(says), Log: []string{says, says}, Hint: says, Did: says}}
	noToken := &engine.NoToken{Model: "qwen3", Summary: says, Log: []string{says}, Hint: says}
	proof := engine.ModelProof{Model: "qwen3", Detours: []string{says}, Err: noToken}
	planned := planOf(plan.Change{
		ID: plan.ID{Kind: plan.KindDirectory, Name: "/etc/" + says}, Action: plan.Update, Notes: []string{says}, Resource: &plan.Resource{ID: id, Origin: origin},
		Attributes: []plan.AttrChange{{Name: plan.AttrOwner, Before: says, After: plan.Known("b")}},
	})
	planned.Hosts[0].Changes = append(planned.Hosts[0].Changes, plan.Change{ID: id, Action: plan.Remove, Fact: plan.Fact{Exists: true, Content: []byte(says)}})
	planned.Locks = []engine.Lock{{Host: "edge", Holder: says, Command: says}}
	planned.CutOff = []engine.Lock{{Host: "edge", Holder: says, Command: says, At: id}}
	planned.Stays, planned.Unknown = onHosts, []string{leakySecrets["RELAYCTL_VAR_engine_key"]}
	outcome := engine.Outcome{
		Hosts:  []engine.HostOutcome{{Name: "edge", OK: true, Steps: 1, Done: 1}, {Name: "gpu-2", Steps: 1, Skipped: says}},
		Failed: onHosts, Proof: engine.Proof{URL: "https://llm.example.com", Models: []engine.ModelProof{proof}},
	}
	tell := func(h *hosts) {
		for _, phase := range []engine.Phase{engine.Connecting, engine.NotFollowed, engine.NewHostKey, engine.Reached, engine.Locking, engine.Started, engine.Waiting,
			engine.Uploading, engine.Done, engine.Failed, engine.Proving, engine.Proving} {
			h.config.Events(engine.Event{Host: "gpu-2", Phase: phase, ID: id, Action: plan.Update, Text: says, By: says, Line: says, Step: 1, Steps: 2})
		}
	}
	h := &hosts{
		rollback: &engine.Rollback{Planned: planned, To: 1, Last: 2},
		planned:  planned, root: "-----BEGIN CERTIFICATE-----\n", rotation: &engine.Rotation{Stack: "home", Workers: twoWorkers().Workers, Failed: onHosts},
		status: &engine.Status{
			Stack: "home", URL: "https://llm.example.com", Applied: now, Operator: says,
			Problems: []engine.Problem{{Host: "gpu-2", Model: "qwen3", Summary: says, Log: []string{says}, Command: "relayctl apply", Why: says}},
			Hosts:    []engine.HostStatus{{Name: "gpu-2", Up: true, Units: []engine.UnitStatus{{Name: "relay-worker", Version: says, Wanted: says, Detail: says}}}},
			Models:   []engine.ModelStatus{{Model: "qwen3", Proof: proof}},
		},
		history: &engine.History{Stack: "home", Applies: []engine.PastApply{{Number: 2, Operator: says, Command: says, State: plan.PastFailed, Hosts: []engine.PastHost{{
			Host: "gpu-2", Past: plan.Past{Number: 2, Summary: says, Why: says, Steps: 1, State: plan.PastFailed}, Told: true,
			Taken: []plan.StepTaken{{ID: id, Step: 1, Action: plan.Update, Error: says}},
		}}}}},
		apply: func(_ context.Context, h *hosts, show func(*engine.Outcome) error) (*engine.Outcome, error) {
			tell(h)
			return &outcome, errors.Join(show(&outcome), onHosts)
		},
		rotate: func(h *hosts, show func(*engine.Rotated) error) (*engine.Rotated, error) {
			tell(h)
			rotated := &engine.Rotated{Outcome: outcome}
			return rotated, errors.Join(show(rotated), onHosts)
		},
	}
	h.before = func() { tell(h) }
	return h
}

// Whoever quotes a secret, a host, DNS, SSH, an engine or the stack file, and
// wherever that is told: it is printed by no command, as text or as JSON.
func TestNoCommandPrintsASecret(t *testing.T) {
	shown := 0
	for _, words := range []string{
		"validate", "plan", "plan --diff", "apply --yes", "apply --yes --diff", "apply", "status", "history", "history --apply 2", "ca",
		"rollback --yes", "rollback", "destroy --yes --forget gpu-7", "destroy",
		"rotate-secret --yes", "rotate-secret --yes --worker gpu-2", "rotate-secret --yes --key old",
		"plan --var engine_key=x", "plan --var engine_keyy=x", "plan --var plain=x --var-file vars", "plan --var-file nowhere",
	} {
		for _, break_ := range []string{"nothing", "failure", "stack file"} {
			for _, form := range []string{"terminal", "piped", "--json"} {
				args := strings.Fields(words)
				if form == "--json" && !slices.Contains(withoutJSON, args[0]) {
					args = append(args, form)
				}
				c := newConsole(t, "home\n", args...)
				env := c.Env
				c.Env = func(name string) (string, bool) {
					if secret, ok := leakySecrets[name]; ok {
						return secret, true
					}
					if name == "TERM" {
						return "xterm", true
					}
					return env(name)
				}
				if form != "terminal" {
					c.piped()
				}
				h := leakyWorld(t)
				text := leaky
				switch break_ {
				case "failure":
					h.err = fmt.Errorf("dial %s: %w", quoted(t), errors.New(quoted(t)))
				case "stack file":
					text = strings.NewReplacer(`"203.0.113.10"`, `env("KEY")`, `"10.0.0.21"`, `trimspace(file("old.key"))`, `"10.0.0.22"`, `var.key_3`).Replace(leaky) +
						"api_key \"twice\" {\n value = trimspace(file(\"old.key\"))\n}\n"
				}
				for name, content := range map[string]string{
					"stack.hcl": text, "old.key": leakySecrets["old.key"] + "\n", "vars": "key_3 = \"" + leakySecrets["KEY"] + "\" x\n",
				} {
					if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				c.run(h)
				screen := c.screen()
				shown++
				if at := strings.Index(screen, shownNowhere); at >= 0 {
					before := screen[:at]
					t.Errorf("%s (%s, %s) shows a secret, behind %q", strings.Join(args, " "), break_, form, before[max(0, len(before)-60):])
				}
				if args[0] != "ca" && len(c.stdout.String()+c.stderr.String()) == 0 {
					t.Errorf("%s (%s, %s) prints nothing", words, break_, form)
				}
				if form == "--json" && len(args) > 1 && args[len(args)-1] == form {
					for line := range strings.Lines(c.stdout.String()) {
						if !json.Valid([]byte(line)) {
							t.Errorf("%s (%s): a line is no JSON", words, break_)
						}
					}
				}
			}
		}
	}
	t.Logf("%d secrets looked for in what %d runs of commands print", len(leakySecrets), shown)
}

// fmt asks for no values: what is written where a secret is taken is one.
func TestFormatPrintsNoSecret(t *testing.T) {
	key := strings.ReplaceAll(leakySecrets["old.key"], "w", `\"`)
	for _, text := range []string{
		"worker \"a\" {\nmodel \"b\" {\nupstream = \"" + key + "\"\nbackend_key = \"" + key + "\"\n}\n}\n",
		"variable \"a\" {\ndescription = \"" + key + "\"\nsensitive = true\ndefault = \"" + key + "\"\n}\n",
		"upstream = \"" + key + "\" @\nbackend_key = \"" + key + "\"\n",
		"upstream = \"" + key + "\nbackend_key = \"" + key + "\"\n",
	} {
		c := newConsole(t, "", "fmt", "--check", "--diff")
		if err := os.WriteFile("stack.hcl", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c.run(nil)
		if screen := c.screen(); c.code != 1 || strings.Contains(screen, shownNowhere) {
			t.Errorf("fmt ends with %d, and shows a secret, or has nothing to show", c.code)
		}
	}
}

// A secret that is a word of ours leaves the names in JSON as they are.
func TestKeysOfJSONAreNeverMasked(t *testing.T) {
	c := newConsole(t, "", "plan", "--json")
	env := c.Env
	c.Env = func(name string) (string, bool) {
		if _, ok := leakySecrets[name]; ok {
			return "exit_code", true
		}
		return env(name)
	}
	for name, text := range map[string]string{"stack.hcl": leaky, "old.key": leakySecrets["old.key"]} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.run(&hosts{planned: planOf(newPackage)})
	if !strings.Contains(c.stdout.String(), `"exit_code":0`) {
		t.Error(c.screen())
	}
}
