package stack_test

import (
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"

	"github.com/relayctl/relayctl/internal/stack"
)

// Whatever line of a file is quoted, what is given to an argument that takes a
// secret is not in it, and what is no secret stays readable.
func TestSecretsAreMaskedInQuotedLines(t *testing.T) {
	for line, want := range map[string]string{
		`backend_key = "hunter2"`:                               `backend_key = "(secret)"`,
		`backend_key = hunter2`:                                 `backend_key = (secret)`,
		`backend_key = var.hunter # old: hunter2`:               `backend_key = var.hunter`,
		`backend_key = /* hunter2 */ "hunter2"`:                 `backend_key =  "(secret)"`,
		`backend_key = trimspace("hunter2")`:                    `backend_key = trimspace("(secret)")`,
		`backend_key = var.x == "" ? "hunter2" : var.x`:         `backend_key = var.x == "" ? "(secret)" : var.x`,
		`backend_key = coalesce(env("KEY"), "hunter2")`:         `backend_key = coalesce(env("KEY"), "(secret)")`,
		`backend_key = "${env("KEY")}hunter2"`:                  `backend_key = "${env("KEY")}(secret)"`,
		`backend_key = file("key.txt")`:                         `backend_key = file("key.txt")`,
		`backend_key = local.key`:                               `backend_key = local.key`,
		`backend_key = 1234567`:                                 `backend_key = (secret)`,
		`backend_key = hunter2("x")`:                            `backend_key = (secret)("(secret)")`,
		`model "a" { backend_key = "hunter2" }`:                 `model "a" { backend_key = "(secret)" }`,
		`model "a" { upstream = "x" }`:                          `model "a" { upstream = "x" }`,
		`api_key "a" { value = "hunter2" }`:                     `api_key "a" { value = "(secret)" }`,
		`variable "a" { default = "x" }`:                        `variable "a" { default = "x" }`,
		`backend = "http://user:hunter2@host" # "x@y"`:          `backend = "http://(secret)@host" # "x@y"`,
		`jump = "ops:hunter2@host:22,a@b:22"`:                   `jump = "ops:(secret)@host:22,a@b:22"`,
		"backend_key = <<EOT\nhunter2\nEOT\nupstream = \"x\"":   `backend_key = <<EOT`,
		"backend_key = <<EOT\nhunter2\n\n\nhunter2\nEOT\nx = 1": `backend_key = <<EOT`,
	} {
		snippet, all := snippets(line)
		if got := strings.TrimPrefix(snippet, "   1: "); got != want {
			t.Errorf("%s\n got %s\nwant %s", line, got, want)
		}
		if strings.Contains(all, "hunter2") {
			t.Errorf("%s\nshows the secret:\n%s", line, all)
		}
	}
}

func TestDefaultOfASensitiveVariableIsMasked(t *testing.T) {
	for _, text := range []string{
		"variable \"k\" {\n  default = \"hunter2\"\n  sensitive = true\n}",
		"variable \"k\" {\n  sensitive = true\n  type = object({ a = string })\n  default = { a = \"hunter2\" }\n}",
		"variable \"k\" { # }\n  sensitive = true\n  default = \"hunter2\n}",
	} {
		if _, all := snippets(text); strings.Contains(all, "hunter2") {
			t.Errorf("%s\nshows the secret:\n%s", text, all)
		}
	}
}

// snippets quotes each line of a text as a stack file, and returns the first
// and all of them.
func snippets(text string) (first, all string) {
	_, src, _ := stack.Load("stack.hcl", stack.Options{ReadFile: files{"stack.hcl": text}.read})
	var quoted []string
	at := 0
	for i, line := range strings.SplitAfter(text, "\n") {
		start := hcl.Pos{Line: i + 1, Column: 1, Byte: at}
		snippet := src.Snippet(hcl.Range{Filename: "stack.hcl", Start: start, End: start})
		_, body, _ := strings.Cut(snippet, "\n")
		quoted = append(quoted, strings.TrimSuffix(body, "\n"))
		at += len(line)
	}
	return quoted[0], strings.Join(quoted, "\n")
}

// A valid file with one character put in or taken out anywhere has all kinds
// of mistakes. None of them shows the secrets.
func TestNoMistakeShowsASecret(t *testing.T) {
	const key = "hunter2hunter2hunter2hunter2hunter2"
	const text = `variable "k" {
  type      = string
  sensitive = true
  default   = "` + key + `"
}
stack "home" {}
proxy "edge" {
  address = "203.0.113.10"
  domain  = "llm.example.com"
  tls "internal" {}
}
worker "gpu-1" {
  address = "10.0.0.21"
  model "llama" {
    backend     = "http://127.0.0.1:11434"
    backend_key = "` + key + `"
    upstream    = "x"
  }
}
api_key "a" {
  value  = "` + key + `"
  models = ["llama"]
}
`
	tried := 0
	for at := range len(text) {
		variants := []string{text[:at] + text[at+1:]}
		for _, insert := range []string{`"`, "\n", "{", "}", "(", "${", "<<A\n", "#", "/*", "=", "x", "\x00", "ü"} {
			variants = append(variants, text[:at]+insert+text[at:])
		}
		for _, variant := range variants {
			if cutsKey(variant, key) {
				continue
			}
			tried++
			_, src, diags := stack.Load("stack.hcl", stack.Options{ReadFile: files{"stack.hcl": variant}.read})
			if all := printed(t, src, diags); strings.Contains(all, key) {
				t.Fatalf("%s\nshows the secret:\n%s", variant, all)
			}
		}
	}
	if tried < len(text) {
		t.Errorf("only %d files were tried", tried)
	}
}

// cutsKey reports whether a variant of a text no longer has each key whole.
func cutsKey(variant, key string) bool { return strings.Count(variant, key) != 3 }
