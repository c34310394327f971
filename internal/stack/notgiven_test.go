package stack_test

import (
	"strings"
	"testing"

	"github.com/relayctl/relayctl/internal/stack"
)

// aside loads a stack without the content of its secrets.
func aside(text string, env map[string]string) (*stack.Stack, *stack.Sources, []string) {
	s, src, diags := stack.Load("stack.hcl", stack.Options{
		NeedValues: true, SecretsAside: true, Env: lookup(env), ReadFile: files{"stack.hcl": text}.read,
	})
	return s, src, found(diags)
}

const forSecretsOnly = `
variable "key" {
  sensitive = true
}
variable "spare" {
  sensitive = true
  default   = null
}
variable "folder" {}
locals {
  key = trimspace(var.key)
  old = "${var.folder}/old.key"
}
stack "home" {}
proxy "edge" {
  address = "203.0.113.10"
  domain  = "llm.example.com"
  tls "internal" {}
}
worker "gpu-1" {
  address = "10.0.0.21"
  model "a" {
    backend     = "http://127.0.0.1:11434"
    backend_key = local.key
  }
  model "b" {
    backend     = "http://127.0.0.1:11434"
    backend_key = var.spare
  }
  model "c" {
    backend     = "http://127.0.0.1:11434"
    backend_key = env("GIVEN")
  }
}
api_key "old" {
  value = trimspace(file(local.old))
}
api_key "older" {
  value = trimspace(file("${var.folder}/older.key"))
}
api_key "new" {}
`

func TestSecretsMayBeUnknown(t *testing.T) {
	s, src, problems := aside(forSecretsOnly, map[string]string{"GIVEN": "hunter2"})
	if s == nil {
		t.Fatalf("%q: %v", problems, src)
	}
	models := s.Workers[0].Models
	if key := models[0].BackendKey; key.IsKnown() || key.IsZero() {
		t.Error("the key that is not given counts as known, or as none")
	}
	if key := models[1].BackendKey; !key.IsKnown() || !key.IsZero() {
		t.Error("the key that is null is one")
	}
	if key := models[2].BackendKey; !key.IsKnown() || key.Reveal() != "hunter2" {
		t.Error("the key that is given is not taken")
	}
	for i, want := range []bool{false, false, true} {
		if value := s.APIKeys[i].Value; value.IsKnown() != want || value.IsZero() != want {
			t.Errorf("value of %s: known %t, none %t", s.APIKeys[i].Name, value.IsKnown(), value.IsZero())
		}
	}
	if _, _, diags := stack.Load("stack.hcl", stack.Options{NeedValues: true, ReadFile: files{"stack.hcl": forSecretsOnly}.read}); !diags.HasErrors() {
		t.Error("without SecretsAside the same is taken")
	}
}

// Whatever else hangs on a missing value is refused, with what is missing, once.
func TestOnlySecretsMayBeUnknown(t *testing.T) {
	const rest = "\nstack \"home\" {}\nproxy \"edge\" {\n  address = ADDRESS\n  domain  = DOMAIN\n  tls \"internal\" {}\n}\n"
	for name, c := range map[string]struct {
		head, address, domain string
		want                  string // found
		says                  string
	}{
		"variable":           {"variable \"a\" {}", "var.a", `"x"`, "1: Variable without value", "--var a=VALUE"},
		"variable twice":     {"variable \"a\" {}", "var.a", "var.a", "1: Variable without value", "--var a=VALUE"},
		"by a local":         {"variable \"a\" {}\nlocals {\n b = upper(local.c)\n c = \"${var.a}.example.com\"\n}", "local.b", "local.b", "1: Variable without value", "--var a=VALUE"},
		"environment":        {"", `env("NOWHERE")`, `"x"`, "4: Error in function call", `"NOWHERE" is not set`},
		"environment, local": {"locals { a = env(\"NOWHERE\") }", `local.a`, `local.a`, "1: Error in function call", `"NOWHERE" is not set`},
		"file":               {"", `chomp(file("nowhere"))`, `"x"`, "4: Error in function call", "can't be read"},
		"path of a file":     {"variable \"a\" {}", `file("${var.a}/b")`, `"x"`, "1: Variable without value", "--var a=VALUE"},
		"sensitive":          {"variable \"a\" { sensitive = true }", `var.a`, `"x"`, "4: Sensitive value not allowed", "can't stand here: as address it would be"},
		"not used":           {"variable \"a\" {}", `"10.0.0.1"`, `"x"`, "", ""},
	} {
		text := c.head + strings.NewReplacer("ADDRESS", c.address, "DOMAIN", c.domain).Replace(rest)
		_, _, problems := aside(text, nil)
		if got := strings.Join(problems, ", "); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		_, src, diags := stack.Load("stack.hcl", stack.Options{NeedValues: true, SecretsAside: true, ReadFile: files{"stack.hcl": text}.read})
		if all := printed(t, src, diags); !strings.Contains(strings.Join(strings.Fields(all), " "), c.says) {
			t.Errorf("%s: %q is not in:\n%s", name, c.says, all)
		}
	}
}

// Each way that is named gives the value, when it is typed as it stands.
func TestAdviceForAVariableWorks(t *testing.T) {
	for name, c := range map[string]struct{ block, want, not string }{
		"plain":             {`variable "a_1" {}`, "RELAYCTL_VAR_a_1", ""},
		"plain, option":     {`variable "a_1" {}`, "--var a_1=VALUE", ""},
		"plain, sensitive":  {`variable "a_1" { sensitive = true }`, "RELAYCTL_VAR_a_1", "--var "},
		"hyphen":            {`variable "ollama-key" {}`, "--var ollama-key=VALUE", "RELAYCTL_VAR_"},
		"hyphen, sensitive": {`variable "ollama-key" { sensitive = true }`, `a line ollama-key = "…"`, "with the environment variable"},
		"letters":           {`variable "größe" { sensitive = true }`, `a line größe = "…"`, "with the environment variable"},
		"number":            {"variable \"n\" {\n  type = number\n}", "a line n = …", ""},
		"default":           {"variable \"ollama-key\" {\n  sensitive = true\n  default = \"x\"\n}", `a line ollama-key = "…"`, "with the environment variable"},
	} {
		_, src, diags := stack.Load("stack.hcl", stack.Options{NeedValues: true, ReadFile: files{"stack.hcl": c.block + "\n" + whole}.read})
		all := strings.Join(strings.Fields(printed(t, src, diags)), " ")
		if len(diags) != 1 || !strings.Contains(all, c.want) || c.not != "" && strings.Contains(all, c.not) {
			t.Errorf("%s: want %q and not %q:\n%s", name, c.want, c.not, all)
		}
	}
	for name, value := range map[string]string{"ollama-key": `"x"`, "größe": `"y"`} {
		options := stack.Options{NeedValues: true, VarFiles: []string{"vars"}, ReadFile: files{
			"stack.hcl": "variable \"" + name + "\" {}\n" + strings.Replace(whole, `"203.0.113.10"`, "var."+name, 1), "vars": name + " = " + value + "\n",
		}.read}
		if s, src, diags := stack.Load("stack.hcl", options); s == nil || s.Proxy.Address != strings.Trim(value, `"`) {
			t.Errorf("%s by a file:\n%s", name, printed(t, src, diags))
		}
		options.VarFiles, options.Vars = nil, []string{name + "=" + strings.Trim(value, `"`)}
		if s, src, diags := stack.Load("stack.hcl", options); s == nil {
			t.Errorf("%s by --var:\n%s", name, printed(t, src, diags))
		}
	}
}
