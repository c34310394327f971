package stack_test

import (
	"strings"
	"testing"

	"github.com/relayctl/relayctl/internal/stack"
)

// withVariables is a stack whose proxy's user is var.user.
const withVariables = `
variable "user" {
  default = "default"
}
variable "port" {
  type    = number
  default = 22
}
variable "models" {
  type    = list(string)
  default = null
}
variable "key" {
  type      = string
  sensitive = true
  default   = null
}
stack "home" {}
ssh {
  user = var.user
  port = var.port
}
proxy "edge" {
  address = "203.0.113.10"
  domain  = "llm.example.com"
  tls "internal" {}
}
worker "gpu-1" {
  address = "10.0.0.21"
  model "a" {
    backend     = "http://127.0.0.1:11434"
    backend_key = var.key
  }
}
api_key "x" {
  models = var.models
}
`

func TestWhereValuesComeFrom(t *testing.T) {
	environment := map[string]string{"RELAYCTL_VAR_user": "environment", "RELAYCTL_VAR_key": "env-key"}
	for name, c := range map[string]struct {
		options stack.Options
		user    string
		port    int
		key     string
		models  string
	}{
		"default":               {stack.Options{}, "default", 22, "", ""},
		"environment":           {stack.Options{Env: lookup(environment)}, "environment", 22, "env-key", ""},
		"file before":           {stack.Options{Env: lookup(environment), VarFiles: []string{"a"}}, "a", 2200, "a-key", "a"},
		"later file":            {stack.Options{VarFiles: []string{"a", "b"}}, "b", 2200, "a-key", "a"},
		"argument":              {stack.Options{VarFiles: []string{"a"}, Vars: []string{"user=x", "user=c=d"[:6]}}, "c", 2200, "a-key", "a"},
		"number as an argument": {stack.Options{Vars: []string{"port=2222"}}, "default", 2222, "", ""},
		"list as an argument":   {stack.Options{Vars: []string{`models=["a"]`}}, "default", 22, "", "a"},
	} {
		c.options.NeedValues = true
		c.options.ReadFile = files{
			"stack.hcl": withVariables,
			"a":         "user = \"a\"\nport = 2200\nkey = \"a-key\"\nmodels = [\"a\"]\n",
			"b":         "user = \"b\"\n",
		}.read
		s, src, diags := stack.Load("stack.hcl", c.options)
		if diags.HasErrors() {
			t.Errorf("%s:\n%s", name, printed(t, src, diags))
			continue
		}
		got := s.Proxy.SSH
		if got.User != c.user || got.Port != c.port {
			t.Errorf("%s: user %s, port %d; want %s, %d", name, got.User, got.Port, c.user, c.port)
		}
		if key := s.Workers[0].Models[0].BackendKey.Reveal(); key != c.key {
			t.Errorf("%s: key %q, want %q", name, key, c.key)
		}
		if models := strings.Join(s.APIKeys[0].Models, ","); models != c.models {
			t.Errorf("%s: models %q, want %q", name, models, c.models)
		}
	}
}

func lookup(m map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := m[name]; return v, ok }
}

// No value that was given may show, least of all one whose name is mistyped.
func TestWrongValues(t *testing.T) {
	const key = "hunter2hunter2"
	for name, c := range map[string]struct {
		options stack.Options
		want    string // in the output
	}{
		"sensitive argument":      {stack.Options{Vars: []string{"key=" + key}}, "Sensitive variable in --var"},
		"unknown argument":        {stack.Options{Vars: []string{"keyy=" + key}}, `Did you mean "key"?`},
		"argument without a name": {stack.Options{Vars: []string{key}}, "--var takes NAME=VALUE"},
		"argument of wrong type":  {stack.Options{Vars: []string{"port=" + key}}, "a value of type number"},
		"environment, wrong type": {stack.Options{Env: lookup(map[string]string{"RELAYCTL_VAR_port": key})}, "RELAYCTL_VAR_port"},
		"environment, no syntax":  {stack.Options{Env: lookup(map[string]string{"RELAYCTL_VAR_models": `["` + key})}, "a value of type list(string)"},
		"no such file":            {stack.Options{VarFiles: []string{"nowhere"}}, "nowhere can't be read"},
		"unknown in a file":       {stack.Options{VarFiles: []string{"unknown"}}, `Did you mean "key"?`},
		"no syntax in a file":     {stack.Options{VarFiles: []string{"syntax"}}, "text stands in straight double quotes"},
		"reference in a file":     {stack.Options{VarFiles: []string{"reference"}}, "has to be plain"},
		"block in a file":         {stack.Options{VarFiles: []string{"block"}}, "NAME = VALUE only"},
		"wrong type in a file":    {stack.Options{VarFiles: []string{"type"}}, "and type gives something else"},
		"text in lines in a file": {stack.Options{VarFiles: []string{"heredoc"}}, "Error:"},
	} {
		c.options.ReadFile = files{
			"stack.hcl": withVariables,
			"unknown":   "keyy = \"" + key + "\"\n",
			"syntax":    "key = \"" + key + "\n\"" + key,
			"reference": "user = " + key + "\n",
			"block":     "key \"" + key + "\" {}\n",
			"type":      "port = \"" + key + "\"\n",
			"heredoc":   "key = <<EOT\n" + key + "\nEOT\nkey = \"" + key + "\"\n",
		}.read
		_, src, diags := stack.Load("stack.hcl", c.options)
		all := printed(t, src, diags)
		if !strings.Contains(strings.Join(strings.Fields(all), " "), c.want) {
			t.Errorf("%s: %q is not in:\n%s", name, c.want, all)
		}
		if strings.Contains(all, key) {
			t.Errorf("%s: shows the value:\n%s", name, all)
		}
	}
}
