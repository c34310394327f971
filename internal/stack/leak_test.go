package stack_test

import (
	"strings"
	"testing"

	"github.com/relayctl/relayctl/internal/stack"
)

// Whatever is done with a sensitive value, no message tells it, or what the
// environment or a file gave.
func TestNoExpressionShowsAValue(t *testing.T) {
	const key = "hunter2hunter2hunter2hunter2hunter2"
	for _, expr := range []string{
		`tonumber(X)`, `tobool(X)`, `X + 1`, `-X`, `!X`, `X.y`, `X[0]`, `["a"][X]`, `{ a = 1 }[X]`,
		`[for k in X : k]`, `{ for k in [X, X] : k => 1 }`, `{ (X) = 1 }.x`, `{ (X) = 1 }["x"]`, `{ (X) = 1, (X) = 2 }`,
		`"${X}" + 1`, `X ? 1 : 2`, `cidrhost(X, 1)`, `cidrhost("10.0.0.0/8", X)`, `cidrhost("10.0.0.0/8", length(X))`,
		`format(X)`, `format("%d", X)`, `format("%z", X)`, `format("%s%d", X, X)`, `formatlist("%d", [X])`,
		`split("", X)[99]`, `element([], X)`, `lookup({}, X)`, `lookup({ a = 1 }, X)`, `file(X)`, `env(X)`, `substr(X, 99, X)`,
		`contains(X, "a")`, `keys(X)`, `values(X)`, `merge(X, {})`, `merge({ a = 1 }, X)`, `concat(X)`, `concat([X])[1]`, `flatten(X)`,
		`distinct(X)`, `join(X, X)`, `sort([X])[2]`, `replace(X, "/(/", "")`, `coalesce(X, "")`, `X...`, `upper(X...)`, `[X].*.y`,
		`nosuch(X)`, `"${X.foo}"`, "<<E\n${X}\n${X.y}\nE", `X == 1 ? X : X.y`, `%{ if X }a%{ endif }`, `title(X)`, `startswith(X, 1, 2)`,
		`"%{ for a in X }${a}%{ endfor }"`, `"%{ if X }a%{ endif }"`, `X && true`, `X > 1`, `X`, `[X]`, `{ a = X }`, `"a b ${X}"`,
	} {
		for _, source := range []string{"var.key", `env("KEY")`, `file("key")`, "local.key", `split("-", var.parts)[1]`} {
			text := `
variable "key" {
  type      = string
  sensitive = true
}
variable "parts" { sensitive = true }
locals {
  key  = trimspace(var.key)
  try  = ` + strings.ReplaceAll(expr, "X", source) + `
}
stack "home" {}
ssh {
  user = local.try
}
proxy "edge" {
  address = ` + strings.ReplaceAll(expr, "X", source) + `
  domain  = local.try
  server  = local.try
  tls "internal" {}
  relay {
    listen    = local.try
    max_queue = local.try
  }
}
worker "gpu-1" {
  address = local.try
  model "a" {
    backend     = local.try
    backend_key = ` + strings.ReplaceAll(expr, "X", source) + `
    kind        = local.try
  }
}
api_key "a" {
  value   = local.try
  models  = [local.try]
  expires = local.try
}
`
			_, src, diags := stack.Load("stack.hcl", stack.Options{
				NeedValues: true,
				Env: lookup(map[string]string{"KEY": key, "RELAYCTL_VAR_key": key,
					"RELAYCTL_VAR_parts": "a-" + key}),
				ReadFile: files{"stack.hcl": text, "key": key + "\n"}.read,
			})
			if len(diags) == 0 {
				t.Fatalf("no error:\n%s", text)
			}
			if all := printed(t, src, diags); strings.Contains(all, key) {
				t.Errorf("%s with %s:\n%s", expr, source, all)
			}
		}
	}
}

// The same for sensitive lists and maps, whose elements and keys are secrets.
func TestNoExpressionShowsAnElement(t *testing.T) {
	const key = "hunter2hunter2"
	for typ, value := range map[string]string{
		"list(string)":      `["` + key + `", "b"]`,
		"map(string)":       `{ ` + key + ` = "` + key + `" }`,
		"map(list(string))": `{ a = ["` + key + `"] }`,
	} {
		for _, expr := range []string{
			`X.a`, `X["zz"]`, `X[0]`, `X[99]`, `X[*].b`, `X.*.b`, `X[X]`, `[for v in X : v]`, `{ for k, v in X : v => k }`,
			`{ for k, v in X : "a" => v }`, `[for v in X : v if v]`, `{ for v in concat(X, X) : v => 1 }`,
			`"%{ for v in X }${v}%{ endfor }"`, `join(",", X)`, `concat(X, X)`, `merge(X, X)`, `keys(X)`, `values(X)`,
			`lookup(X, "zz")`, `element(X, 1)`, `sort(X)`, `distinct(X)`, `flatten([X])`, `compact(X)`, `formatlist("%d", X)`,
			`format("%d", X)`, `format("%v", X)`, `upper(X...)`, `cidrhost(X...)`, `tonumber(X[0])`, `tobool(values(X)[0])`,
			`tonumber(keys(X)[0])`, `coalesce(X...)`, `X ? 1 : 2`, `{ (X[0]) = 1 }.b`, `{ a = 1 }[X[0]]`, `file(X[0])`, `env(keys(X)[0])`,
		} {
			text := "variable \"x\" {\n  type = " + typ + "\n  sensitive = true\n}\n" +
				"locals {\n  a = " + strings.ReplaceAll(expr, "X", "var.x") + "\n  b = \"${local.a}\"\n}\n" +
				"stack \"home\" {}\nssh {\n  user = local.a\n  host_key = local.b\n}\n" +
				"api_key \"a\" {\n  value = local.a\n  models = local.a\n}\n"
			_, src, diags := stack.Load("stack.hcl", stack.Options{
				NeedValues: true,
				Env:        lookup(map[string]string{"RELAYCTL_VAR_x": value}),
				ReadFile:   files{"stack.hcl": text}.read,
			})
			if all := printed(t, src, diags); len(diags) == 0 || strings.Contains(all, key) {
				t.Errorf("%s of %s:\n%s", expr, typ, all)
			}
		}
	}
}

// A library that gives up on a value takes nothing down, and tells nothing.
func TestPanicOfALibrary(t *testing.T) {
	for _, d := range stack.EvaluatePanic("hunter2hunter2") {
		if d.Summary != "Invalid expression" || strings.Contains(d.Detail, "hunter2") {
			t.Errorf("%s: %s", d.Summary, d.Detail)
		}
	}
	if len(stack.EvaluatePanic("x")) != 1 {
		t.Error("no error")
	}
}
