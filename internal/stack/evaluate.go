package stack

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// scope is what expressions of the stack file can refer to.
type scope struct {
	variables map[string]variable
	locals    map[string]*hclsyntax.Attribute // that are declared
	values    map[string]cty.Value
	results   map[string]cty.Value // of the locals evaluated so far
	functions map[string]function.Function
}

// evaluate gives the value of expr. After an error it is unknown, so that one
// mistake is reported once. quiet keeps names found in expr out of messages:
// they may be a secret whose quotes were forgotten.
func (s *scope) evaluate(expr hclsyntax.Expression, quiet bool) (v cty.Value, diags hcl.Diagnostics) {
	defer func() {
		if recover() != nil { // hcl panics on some uses of marked values (hashicorp/hcl#737)
			v = cty.DynamicVal
			diags = hcl.Diagnostics{problem(expr.Range(), "Invalid expression",
				"This can't be evaluated. A sensitive value may stand where none is taken.")}
		}
	}()
	if diags := s.checkNames(expr, quiet); diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	ctx := &hcl.EvalContext{
		Variables: map[string]cty.Value{"var": cty.ObjectVal(s.values), "local": cty.ObjectVal(s.results)},
		Functions: s.functions,
	}
	v, found := expr.Value(ctx)
	if !found.HasErrors() {
		return v, nil
	}
	instead := ""
	switch {
	case quiet:
		instead = `This can't be evaluated. A secret comes from var.NAME, env("NAME") or file("PATH").`
	case touchesMarked(expr, ctx):
		instead = "A value that is not shown takes part: it is sensitive, or comes from the environment or a file."
	}
	for _, d := range found {
		diags = append(diags, plain(d, instead))
	}
	return cty.DynamicVal, diags
}

// plain strips from d what would let a writer print values: the expression and
// its context, and, where there is another text instead, hcl's own words.
func plain(d *hcl.Diagnostic, instead string) *hcl.Diagnostic {
	detail := cmp.Or(instead, d.Detail)
	if extra, ok := hcl.DiagnosticExtra[hclsyntax.FunctionCallDiagExtra](d); ok {
		var known *functionError
		if errors.As(extra.FunctionCallError(), &known) {
			detail = known.Error()
		}
	}
	return problem(*d.Subject, d.Summary, "%s", detail)
}

// touchesMarked reports whether a marked value takes part in expr, whose names
// are known to exist.
func touchesMarked(expr hclsyntax.Expression, ctx *hcl.EvalContext) bool {
	for _, traversal := range expr.Variables() {
		if ctx.Variables[traversal.RootName()].GetAttr(stepName(traversal[1])).ContainsMarked() {
			return true
		}
	}
	marked := false
	hclsyntax.VisitAll(expr, func(n hclsyntax.Node) hcl.Diagnostics {
		if call, ok := n.(*hclsyntax.FunctionCallExpr); ok && slices.Contains(outsideFunctions, call.Name) {
			marked = true
		}
		return nil
	})
	return marked
}

// checkNames looks up every variable and local that expr refers to.
func (s *scope) checkNames(expr hclsyntax.Expression, quiet bool) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, traversal := range expr.Variables() {
		if detail := s.nameProblem(traversal); detail != "" {
			if quiet {
				detail = `This is not a known name. A secret comes from var.NAME, env("NAME") or file("PATH").`
			}
			diags = append(diags, problem(traversal.SourceRange(), "Unknown name", "%s", detail))
		}
	}
	return diags
}

func (s *scope) nameProblem(traversal hcl.Traversal) string {
	root, name := traversal.RootName(), ""
	if len(traversal) > 1 {
		name = stepName(traversal[1])
	}
	var known []string
	switch root {
	case "var":
		known = sortedKeys(s.variables)
	case "local":
		known = sortedKeys(s.locals)
	default:
		return fmt.Sprintf("There is nothing named %s. Text stands in quotes; values are var.NAME and local.NAME.", quote(root))
	}
	switch {
	case name == "":
		return fmt.Sprintf("%s is followed by a dot and a name.", root)
	case slices.Contains(known, name):
		return ""
	case len(known) == 0:
		return fmt.Sprintf("%s.%s is not declared; no %s is.", root, name, root)
	}
	return fmt.Sprintf("%s.%s is not declared. %s", root, name, didYouMean(name, known, known))
}

// stepName is the name in a step such as .NAME, "" for any other step.
func stepName(step hcl.Traverser) string {
	attr, _ := step.(hcl.TraverseAttr)
	return attr.Name
}

// sourcesOf lists the places of an expression without errors and of all
// variables and locals that it hangs on.
func (s *scope) sourcesOf(expr hclsyntax.Expression) []hcl.Range {
	places := []hcl.Range{expr.Range()}
	for _, traversal := range expr.Variables() {
		name := stepName(traversal[1])
		if traversal.RootName() == "var" {
			places = append(places, s.variables[name].at)
		} else {
			places = append(places, s.sourcesOf(s.locals[name].Expr)...)
		}
	}
	return places
}

// problem is an error at a place in a file; a range of no file is no place.
func problem(at hcl.Range, summary, format string, args ...any) *hcl.Diagnostic {
	d := &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(format, args...)}
	if at.Filename != "" {
		d.Subject = &at
	}
	return d
}

// sortedKeys lists the keys of a map.
func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
