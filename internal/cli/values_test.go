package cli_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
)

// withSecrets is a stack of which secrets need values.
const withSecrets = `variable "engine_key" {
  type      = string
  sensitive = true
}
` + stackFile + `
worker "gpu-2" {
  address = "10.0.0.22"
  model "qwen3" {
    backend     = "http://127.0.0.1:11434"
    backend_key = var.engine_key
  }
}
api_key "old" {
  value = trimspace(file("old.key"))
}
`

// What does nothing with the content of secrets works without their values;
// what compares or brings it does not.
func TestWhoNeedsTheValuesOfSecrets(t *testing.T) {
	for _, row := range []struct {
		args []string
		code int
	}{
		{[]string{"validate"}, 0},
		{[]string{"status"}, 0},
		{[]string{"history"}, 0},
		{[]string{"ca"}, 0},
		{[]string{"rotate-secret", "--worker", "gpu-2", "--yes"}, 0},
		{[]string{"rotate-secret", "--yes"}, 0},
		{[]string{"rotate-secret", "--key", "laptop", "--yes"}, 1},
		{[]string{"plan"}, 1},
		{[]string{"apply", "--yes"}, 1},
	} {
		c := newConsole(t, "", row.args...)
		if err := os.WriteFile("stack.hcl", []byte(withSecrets), 0o644); err != nil {
			t.Fatal(err)
		}
		h := &hosts{
			status: &engine.Status{Stack: "home", URL: "https://llm.example.com", Applied: now.Add(-time.Hour)}, history: &engine.History{Stack: "home"},
			root: "-----BEGIN CERTIFICATE-----\n", rotation: &engine.Rotation{Stack: "home"},
			rotate: func(_ *hosts, show func(*engine.Rotated) error) (*engine.Rotated, error) {
				did := &engine.Rotated{}
				return did, show(did)
			},
		}
		c.run(h)
		if c.code != row.code || (row.code != 0) != strings.Contains(c.screen(), "Variable without value") {
			t.Errorf("%q ends with %d:\n%s", row.args, c.code, c.screen())
		}
		if row.code == 0 && row.args[0] != "validate" && h.config.Stack.Workers[1].Models[0].BackendKey.IsKnown() {
			t.Errorf("%q: the key counts as known", row.args)
		}
	}
}

// A value that the command needs is asked for, also where it feeds a secret.
func TestStatusNeedsWhatHostsAreReachedBy(t *testing.T) {
	c := newConsole(t, "", "status")
	text := strings.Replace(withSecrets, `"10.0.0.22"`, "env(\"GPU_2\")", 1)
	if err := os.WriteFile("stack.hcl", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	c.run(&hosts{})
	if c.code != 1 || !strings.Contains(c.screen(), `The environment variable "GPU_2" is not set.`) || strings.Contains(c.screen(), "engine_key") {
		t.Errorf("status ends with %d:\n%s", c.code, c.screen())
	}
}

// What is advised does what was asked for, when it is typed: with the flags
// and the file that were typed, quoted as a shell needs it.
func TestAdviceRepeatsWhatWasTyped(t *testing.T) {
	for _, row := range []struct {
		args []string
		want string
	}{
		{[]string{"rotate-secret", "--worker", "gpu-1", "my stack.hcl"}, "relayctl rotate-secret --yes --worker gpu-1 'my stack.hcl'"},
		{[]string{"apply", "--adopt", "--keys-out", "new keys", "my stack.hcl"}, "relayctl apply --yes --adopt --keys-out 'new keys' 'my stack.hcl'"},
		{[]string{"apply", "--json", "--keys-out=k", "my stack.hcl"}, "relayctl apply --yes --json --keys-out=k 'my stack.hcl'"},
		{[]string{"apply", "--yes", "--keys-out", "it's open", "my stack.hcl"}, `chmod 600 'it'\''s open'`},
		{[]string{"apply", "--yes", "--keys-out", "-open", "my stack.hcl"}, "chmod 600 ./-open"},
		{[]string{"rotate-secret", "--yes", "my stack.hcl"}, "relayctl plan 'my stack.hcl'"},
		{[]string{"status", "--var", "a=b"}, "relayctl status FILE --var a=b"},
		{[]string{"ca", "my stack.hcl"}, "relayctl apply 'my stack.hcl'"},
	} {
		c := newConsole(t, "", row.args...)
		c.StdinTerminal = false
		if err := os.Rename("stack.hcl", "my stack.hcl"); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"it's open", "-open"} {
			if err := os.WriteFile(name, nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		failure := &engine.HostError{Host: "edge", Summary: "changed", Hint: "Look again: relayctl plan"}
		h := &hosts{err: engine.ErrNoCA, rotation: &engine.Rotation{Stack: "home"}, rotate: func(*hosts, func(*engine.Rotated) error) (*engine.Rotated, error) {
			return &engine.Rotated{}, engine.HostErrors{failure}
		}}
		if row.args[0] != "ca" {
			h.err = nil
		}
		c.run(h)
		if out := c.screen(); c.code != 1 || !strings.Contains(out, row.want) {
			t.Errorf("%q ends with %d, and does not say %q:\n%s", row.args, c.code, row.want, out)
		}
	}
}
