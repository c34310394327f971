package stack_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/relayctl/relayctl/internal/stack"
)

// Whatever is made from a secret is one, however little of it is left: it may
// not stand where it is shown. What feeds a secret by env() or file() counts,
// also where it has no value yet.
func TestSensitivityTravels(t *testing.T) {
	const key = "hunter2hunter2hunter2hunter2hunter2"
	// Of what these make of a value that is not known, cty forgets where it is from.
	withValues := []string{`element(split("2", X), 1)`, `lookup({}, "a", X)`, `lookup({ a = "b" }, X, "c")`, `keys({ (X) = "a" })[0]`,
		`"%{ for v in [X] }${v}%{ endfor }"`, `tostring(!(X == "a"))`}
	for _, expr := range append([]string{
		`X`, `"${X}"`, `"a-${X}"`, "<<E\n${X}\nE\n", `trimspace(X)`, `chomp(X)`, `trim(X, "h")`, `trimprefix(X, "h")`, `trimsuffix(X, "2")`,
		`split("2", X)[0]`, `join("-", [X, "a"])`, `join(X, ["a", "b"])`, `format("%s", X)`, `format("%d", length(X))`,
		`formatlist("%s", [X])[0]`, `upper(X)`, `lower(X)`, `title(X)`, `replace(X, "h", "j")`, `replace("abc", "b", X)`, `substr(X, 0, 4)`,
		`tostring(length(X))`, `tostring(startswith(X, "h"))`, `tostring(endswith(X, "2"))`, `tostring(contains([X], "h"))`,
		`X == "a" ? "b" : "c"`, `true ? X : "c"`, `X != "" ? X : "c"`, `coalesce(null, X)`, `[X, "a"][0]`, `[for v in [X] : v][0]`,
		`join("", [for v in split("", X) : v if v != "h"])`, `join("", [for v in ["a", "b"] : v if v != X])`, `{ for v in [X] : "k" => v }["k"]`,
		`{ a = X }.a`, `{ a = X }["a"]`, `merge({ a = X }, { b = "c" }).a`,
		`values({ a = X })[0]`, `concat([X], ["a"])[0]`, `flatten([[X]])[0]`, `distinct([X])[0]`, `compact([X])[0]`, `sort([X])[0]`,
		`[[X]][0][0]`, `"%{ if X == "a" }b%{ else }c%{ endif }"`, `tostring(X == "a" && true)`,
		`[for k, v in { a = X } : v][0]`, `{ for k, v in { a = X } : k => v }.a`, `"${length(X) + 1}"`, `([{ a = X }][*].a)[0]`,
	}, withValues...) {
		for _, source := range []string{"var.key", "local.key", `env("KEY")`, "local.env", `file("key")`, "local.file"} {
			made := strings.ReplaceAll(expr, "X", source)
			text := `variable "key" {
  type      = string
  sensitive = true
}
locals {
  key  = "${var.key}"
  env  = env("KEY")
  file = trimspace(file("key"))
  made = ` + made + `
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
    upstream    = ` + made + `
    backend_key = "x${local.key}"
  }
  model "b" {
    backend     = "http://127.0.0.1:11434"
    upstream    = local.made
    backend_key = env("KEY")
  }
}
api_key "a" {
  value = trimspace(file("key"))
}
`
			for _, options := range []stack.Options{
				{NeedValues: true, Env: lookup(map[string]string{"KEY": key, "RELAYCTL_VAR_key": key}), ReadFile: files{"stack.hcl": text, "key": key + "\n"}.read},
				{ReadFile: files{"stack.hcl": text}.read},
			} {
				if !options.NeedValues && slices.Contains(withValues, expr) {
					continue
				}
				_, src, diags := stack.Load("stack.hcl", options)
				all := printed(t, src, diags)
				if got := strings.Count(all, "Sensitive value not allowed"); got != 2 || len(diags) != 2 {
					t.Errorf("%s: %d errors, %d of sensitive values (values given: %t):\n%s", made, len(diags), got, options.NeedValues, all)
				}
			}
		}
	}
}

// A secret is refused wherever it would be shown, with what it comes from.
func TestSecretsStandInNoOtherArgument(t *testing.T) {
	const key = "hunter2hunter2hunter2hunter2hunter2"
	for where, text := range map[string]string{
		"address": "proxy|worker", "domain": "proxy", "server": "proxy", "user": "ssh", "port": "ssh", "identity_file": "ssh", "host_key": "ssh", "sudo": "ssh", "jump": "ssh",
		"listen": "relay", "idle_timeout": "relay", "max_queue": "relay", "backend": "model", "upstream": "model", "kind": "model", "concurrency": "model",
		"models": "api_key", "expires": "api_key",
	} {
		for _, block := range strings.Split(text, "|") {
			for source, why := range map[string]string{
				"var.key": "var.key is sensitive.", `env("KEY")`: `value on line 3 is made from env("KEY")`, `file("k")`: `value on line 4 is made from file("k")`,
			} {
				line := "  " + where + " = " + source + "\n"
				body := map[string]string{
					"ssh": "ssh {\n" + line + "}\n", "proxy": "proxy \"e\" {\n" + line + "}\n", "relay": "proxy \"e\" {\n relay {\n" + line + " }\n}\n",
					"worker": "worker \"g\" {\n" + line + "}\n", "model": "worker \"g\" {\n model \"m\" {\n" + line + " }\n}\n", "api_key": "api_key \"z\" {\n" + line + "}\n",
				}[block]
				_, src, diags := stack.Load("stack.hcl", stack.Options{NeedValues: true,
					Env: lookup(map[string]string{"KEY": key, "RELAYCTL_VAR_key": key}),
					ReadFile: files{"k": key + "\n", "stack.hcl": "variable \"key\" { sensitive = true }\nstack \"home\" {}\n" +
						"api_key \"a\" { value = env(\"KEY\") }\napi_key \"b\" { value = \"x${trimspace(file(\"k\"))}\" }\n" + body}.read,
				})
				all := strings.Join(strings.Fields(printed(t, src, diags)), " ")
				if !strings.Contains(all, "A sensitive value can't stand here: as "+where+" it would be shown") || !strings.Contains(all, why) {
					t.Errorf("%s in %s from %s:\n%s", where, block, source, all)
				}
				if strings.Contains(all, key) {
					t.Errorf("%s in %s from %s shows the value", where, block, source)
				}
			}
		}
	}
}

// What only chose a file that a secret is read from is none.
func TestTheNameOfASecretsFileIsNoSecret(t *testing.T) {
	text := strings.Replace(whole, `backend = `, "backend_key = trimspace(file(\"${env(\"WHO\")}.key\"))\n    backend = ", 1) + "ssh {\n  user = env(\"WHO\")\n}\n"
	_, src, diags := stack.Load("stack.hcl", stack.Options{NeedValues: true, Env: lookup(map[string]string{"WHO": "ops"}), ReadFile: files{"stack.hcl": text, "ops.key": "hunter2\n"}.read})
	if len(diags) > 0 {
		t.Error(printed(t, src, diags))
	}
}

// A secret is masked by its text: on lines that are quoted for another reason,
// in messages, and however it is escaped there.
func TestSecretsAreMaskedByValue(t *testing.T) {
	const key = `hunt"er<2>'s & key, of 32 or more \ characters`
	const escaped = `hunt\"er<2>'s & key, of 32 or more \\ characters`
	clear := "  address = \"" + escaped + "\"\n"
	for name, c := range map[string]struct{ head, secret string }{
		"variable":             {"variable \"k\" { sensitive = true }\n", "var.k"},
		"environment":          {"", `env("K")`},
		"file":                 {"", `trimspace(file("k"))`},
		"in clear":             {"", `"` + escaped + `"`},
		"in clear, heredoc":    {"", "chomp(<<E\n" + key + "\nE\n)"},
		"heredoc":              {"", "<<E\n" + key + "\nE"},
		"by a local":           {"locals { k = \"" + escaped + "\" }\n", "local.k"},
		"not sensitive":        {"variable \"k\" {}\n", "var.k"},
		"default":              {"variable \"k\" {\n  default = \"" + escaped + "\"\n}\n", "var.k"},
		"default in sensitive": {"variable \"k\" {\n  sensitive = true\n  default = \"" + escaped + "\"\n}\n", "var.k"},
		"does not parse":       {"@\n", `"` + escaped + `"`},
	} {
		text := c.head + "stack \"home\" {}\nproxy \"edge\" {\n" + clear + "  domain = \"" + escaped + "\"\n  tls \"internal\" {}\n}\n" +
			"worker \"" + escaped + "\" {\n" + clear + "  model \"a\" {\n    upstream = \"\\n" + escaped + "\"\n    backend = \"x\"\n    backend_key = " + c.secret + "\n  }\n}\n" +
			"api_key \"a\" {\n  value = " + c.secret + "\n  models = [\"" + escaped + "\"]\n  expires = \"" + escaped + "\"\n}\n" +
			"api_key \"b\" {\n  value = " + c.secret + "\n}\n"
		_, src, diags := stack.Load("stack.hcl", stack.Options{NeedValues: true,
			Env:      lookup(map[string]string{"K": key, "RELAYCTL_VAR_k": key}),
			ReadFile: files{"stack.hcl": text, "k": key + "\n"}.read,
		})
		all := printed(t, src, diags)
		for line := range strings.Lines(text) {
			all += src.Snippet(src.Line("stack.hcl", strings.Count(text[:strings.Index(text, line)], "\n")+1))
		}
		if name == "does not parse" { // where it stands is all that is known
			all = printed(t, src, diags)
		}
		if len(diags) == 0 || strings.Contains(all, "of 32 or more") {
			t.Errorf("%s: %d errors, and the secret is shown, or there is none", name, len(diags))
		}
	}
}

// A secret that is cut where a message cuts long values is not shown in part.
func TestLongSecretsAreMaskedWhereTheyAreCut(t *testing.T) {
	key := strings.Repeat("hunter2-", 30)
	text := "stack \"home\" {}\nproxy \"edge\" {\n  address = \"" + key + "\"\n  domain = \"x\"\n  tls \"internal\" {}\n}\napi_key \"a\" { value = env(\"K\") }\n"
	_, src, diags := stack.Load("stack.hcl", stack.Options{NeedValues: true, Env: lookup(map[string]string{"K": key}), ReadFile: files{"stack.hcl": text}.read})
	if all := printed(t, src, diags); len(diags) == 0 || strings.Contains(all, "hunter2") {
		t.Errorf("%d errors, and a part of the secret is shown, or there is none", len(diags))
	}
}

// A short secret is one where it stands, and nowhere else: it is in too many
// texts by chance.
func TestShortSecretsMaskNothingElse(t *testing.T) {
	for _, key := range []string{"true", "8080", "edge", "x", "llm"} {
		text := strings.Replace(whole, `"203.0.113.10"`, `"edge llm true 8080 x"`, 1) + "variable \"k\" { sensitive = true }\n" +
			"worker \"gpu-2\" {\n  address = \"10.0.0.22\"\n  model \"b\" {\n    backend = \"http://127.0.0.1:1\"\n    backend_key = var.k\n  }\n}\n"
		_, src, diags := stack.Load("stack.hcl", stack.Options{NeedValues: true, Env: lookup(map[string]string{"RELAYCTL_VAR_k": key}), ReadFile: files{"stack.hcl": text}.read})
		if all := printed(t, src, diags); len(diags) != 1 || strings.Contains(all, "(secret)") {
			t.Errorf("%s:\n%s", key, all)
		}
	}
}

// The values of a file of variables: where it does not parse, and where one of
// them is given to a variable that is not sensitive, too.
func TestSecretsOfAVarFile(t *testing.T) {
	const key = "hunter2hunter2hunter2hunter2hunter2"
	text := "variable \"k\" { sensitive = true }\nvariable \"a\" {}\n" + strings.Replace(whole, `"203.0.113.10"`, "var.a", 1) +
		"api_key \"b\" { value = var.k }\n"
	for name, vars := range map[string]string{
		"same value":     "k = \"" + key + "\"\na = \"@" + key + "\"\n",
		"heredoc":        "k = <<E\n" + key + "\nE\na = \"@" + key + "\"\n",
		"without quotes": "k = " + key + "\na = \"b\"\n",
		"no end":         "k = \"" + key + "\na = \"b\"\n",
		"heredoc no end": "k = <<E\n" + key + "\n",
		"two on a line":  "k = \"" + key + "\" a = \"" + key + "\"\n",
		"block":          "k \"" + key + "\" {}\n",
		"JSON":           "{ \"k\": \"" + key + "\" }\n",
		"name":           key + " = \"b\"\n",
		"odd character":  "k = “" + key + "”\n",
	} {
		_, src, diags := stack.Load("stack.hcl", stack.Options{NeedValues: true, VarFiles: []string{"vars"}, ReadFile: files{"stack.hcl": text, "vars": vars}.read})
		all := printed(t, src, diags)
		if len(diags) == 0 || strings.Contains(all, key) && name != "name" { // a name is no value
			t.Errorf("%s: %d errors, and the secret is shown, or there is none", name, len(diags))
		}
	}
}

// What is shown of a file that fmt brings into form has no secret either.
func TestFormatMasksByValue(t *testing.T) {
	const key = "hunter2hunter2hunter2hunter2hunter2"
	for name, text := range map[string]string{
		"same text": "worker \"a\" {\naddress = \"" + key + "\"\nbackend_key = \"" + key + "\"\n}\n",
		"no syntax": "address = \"" + key + "\" @\nbackend_key = \"" + key + "\"\n",
	} {
		f, src, diags := stack.Format("stack.hcl", stack.Options{ReadFile: files{"stack.hcl": text}.read})
		all := printed(t, src, diags)
		if !diags.HasErrors() {
			before, after := f.Masked()
			all += before + after
		}
		if strings.Contains(all, key) {
			t.Errorf("%s: the secret is shown", name)
		}
	}
}
