package stack

import (
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// locals evaluates the entries of all locals blocks, each after those that it
// refers to.
type locals struct {
	*loader
	scope   *scope
	entries map[string]*hclsyntax.Attribute
	path    []string // the entries being evaluated, each needed by the one before
}

// evaluateLocals declares and evaluates all locals into s.
func (l *loader) evaluateLocals(body *hclsyntax.Body, s *scope) {
	run := locals{loader: l, scope: s, entries: l.declareLocals(body)}
	s.results = map[string]cty.Value{}
	s.locals = run.entries
	for _, name := range sortedKeys(run.entries) {
		run.evaluate(name)
	}
}

func (l *loader) declareLocals(body *hclsyntax.Body) map[string]*hclsyntax.Attribute {
	entries := map[string]*hclsyntax.Attribute{}
	for _, b := range body.Blocks {
		if b.Type != "locals" {
			continue
		}
		if len(b.Labels) > 0 {
			l.report(b.DefRange(), "Unexpected name", "A locals block has no name: locals { … }")
		}
		for _, nested := range b.Body.Blocks {
			l.report(nested.DefRange(), "Unsupported block", "A locals block holds NAME = VALUE only.")
		}
		for _, attr := range inOrder(b.Body.Attributes) {
			if first, ok := entries[attr.Name]; ok {
				l.report(attr.NameRange, "Duplicate local", "local.%s is already set on line %d.",
					attr.Name, first.NameRange.Start.Line)
				continue
			}
			entries[attr.Name] = attr
		}
	}
	return entries
}

// evaluate makes sure that scope.results holds the named entry. After an
// error it is unknown there.
func (r *locals) evaluate(name string) {
	if _, done := r.scope.results[name]; done {
		return
	}
	r.path = append(r.path, name)
	defer func() { r.path = r.path[:len(r.path)-1] }()
	attr := r.entries[name]
	for _, needed := range r.needs(attr) {
		for i, open := range r.path {
			if open == needed {
				r.reportCircle(r.path[i:])
				return
			}
		}
		r.evaluate(needed)
	}
	if _, failed := r.scope.results[name]; failed {
		return // as part of a circle
	}
	value, diags := r.scope.evaluate(attr.Expr, false)
	r.diags = r.diags.Extend(diags)
	r.scope.results[name] = value
}

// needs lists the declared locals that an entry refers to.
func (r *locals) needs(attr *hclsyntax.Attribute) []string {
	var names []string
	for _, traversal := range attr.Expr.Variables() {
		if traversal.RootName() != "local" || len(traversal) < 2 {
			continue
		}
		name := stepName(traversal[1])
		if _, ok := r.entries[name]; ok {
			names = append(names, name)
		}
	}
	return names
}

// reportCircle reports entries of which each needs the next, and the last the
// first, on the line of the first in the file. None of them has a value.
func (r *locals) reportCircle(circle []string) {
	first := 0
	for i, name := range circle {
		if r.entries[name].SrcRange.Start.Byte < r.entries[circle[first]].SrcRange.Start.Byte {
			first = i
		}
		r.scope.results[name] = cty.DynamicVal
	}
	ordered := append(append([]string{}, circle[first:]...), circle[:first]...)
	r.report(r.entries[ordered[0]].NameRange, "Locals in a circle", "local.%s needs local.%s.",
		ordered[0], strings.Join(append(ordered[1:], ordered[0]), ", which needs local."))
}
