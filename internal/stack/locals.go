package stack

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// locals evaluates the entries of all locals blocks, each after those that it
// refers to.
type locals struct {
	*loader
	scope   *scope
	entries hclsyntax.Attributes
	path    []string // the entries being evaluated, each needed by the one before
}

// evaluateLocals declares and evaluates all locals into s.
func (l *loader) evaluateLocals(body *hclsyntax.Body, s *scope) {
	run := locals{loader: l, scope: s, entries: l.declareLocals(body)}
	s.results = map[string]cty.Value{}
	s.locals = run.entries
	for _, attr := range inOrder(run.entries) {
		run.evaluate(attr.Name)
	}
}

func (l *loader) declareLocals(body *hclsyntax.Body) hclsyntax.Attributes {
	entries := hclsyntax.Attributes{}
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
		if i := slices.Index(r.path, needed); i >= 0 {
			r.reportCircle(r.path[i:])
			return
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
// first. None of them has a value.
func (r *locals) reportCircle(circle []string) {
	for _, name := range circle {
		r.scope.results[name] = cty.DynamicVal
	}
	r.report(r.entries[circle[0]].NameRange, "Locals in a circle", "local.%s needs local.%s.",
		circle[0], strings.Join(slices.Concat(circle[1:], circle[:1]), ", which needs local."))
}
