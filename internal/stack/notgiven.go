package stack

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// reportNotGiven reports why the value of an argument is not known, where it
// has to be: the variables, environment variables and files that it hangs on,
// also by way of locals.
func (d decoder) reportNotGiven(name string, expr hclsyntax.Expression) {
	if !d.findNotGiven(expr, map[string]bool{}) {
		d.report(expr.Range(), "Value not known", "%s hangs on a value that is not given.", name)
	}
}

// isTold reports whether something is reported about a range already.
func (d decoder) isTold(at hcl.Range) bool {
	return slices.ContainsFunc(d.diags, func(other *hcl.Diagnostic) bool {
		return other.Subject != nil && at.Overlaps(*other.Subject)
	})
}

// findNotGiven reports what is missing for expr, each variable once, and
// whether there is anything. seen are the locals looked into already.
func (d decoder) findNotGiven(expr hclsyntax.Expression, seen map[string]bool) bool {
	found := false
	for _, traversal := range expr.Variables() {
		if len(traversal) < 2 {
			continue
		}
		name := stepName(traversal[1])
		_, unset := d.unset[name]
		switch root := traversal.RootName(); {
		case root == "var" && unset:
			d.reportUnset(d.scope.variables[name])
			found = true
		case root == "local" && !seen[name] && d.scope.locals[name] != nil:
			seen[name] = true
			found = d.findNotGiven(d.scope.locals[name].Expr, seen) || found
		}
	}
	hclsyntax.VisitAll(expr, func(n hclsyntax.Node) hcl.Diagnostics {
		call, ok := n.(*hclsyntax.FunctionCallExpr)
		if !ok || !slices.Contains(outsideFunctions, call.Name) {
			return nil
		}
		d.options.SecretsAside = false
		_, diags := d.scope.evaluate(call, false)
		d.options.SecretsAside = true
		if !d.isTold(call.Range()) {
			d.diags = d.diags.Extend(diags)
		}
		found = found || diags.HasErrors()
		return nil
	})
	return found
}
