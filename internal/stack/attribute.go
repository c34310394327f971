package stack

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// decodeAttribute checks one argument into s.
func (d decoder) decodeAttribute(attr *hclsyntax.Attribute, s *section) {
	a, ok := s.schema.attribute(attr.Name)
	switch {
	case !ok:
		d.reportUnknownArgument(attr, s)
		return
	case a.state == later:
		supported := "none"
		if names := s.schema.attributeNames(served); len(names) > 0 {
			supported = strings.Join(names, ", ")
		}
		d.report(attr.NameRange, "Not supported yet", "%s is not supported yet. Arguments supported in %s now: %s.",
			attr.Name, s.describe(), supported)
		return
	}
	s.attrs[a.name] = attr.SrcRange
	v, diags := d.scope.evaluate(attr.Expr, a.form.secret)
	d.diags = d.diags.Extend(diags)
	if diags.HasErrors() {
		return
	}
	v, marks := v.UnmarkDeep()
	if a.form.secret {
		if !d.checkSource(attr, v, marks) {
			return
		}
	} else if _, ok := marks[sensitive]; ok {
		d.report(attr.Expr.Range(), "Sensitive value not allowed",
			"%s is shown in plans and on hosts, so it can't come from a sensitive variable.", a.name)
		return
	}
	if !v.IsWhollyKnown() {
		return
	}
	if v, ok = d.convert(attr, a, v, len(marks) > 0); !ok {
		return
	}
	if v.IsNull() {
		d.leaveOut(attr, a, s)
		return
	}
	s.values[a.name] = v
}

// leaveOut treats an argument that is null as one that was left out.
func (d decoder) leaveOut(attr *hclsyntax.Attribute, a attribute, s *section) {
	delete(s.attrs, a.name)
	if a.preset != cty.NilVal {
		s.values[a.name] = a.preset
	}
	if a.required {
		d.report(attr.SrcRange, "Missing required argument", "%s needs %s: %s. Here it is null.", s.describe(), a.name, a.form.says)
	}
}

// convert brings a known value into the form of a. The value is quoted in
// messages unless it is hidden.
func (d decoder) convert(attr *hclsyntax.Attribute, a attribute, v cty.Value, hidden bool) (cty.Value, bool) {
	at := attr.Expr.Range()
	v, err := convert.Convert(v, a.form.typ)
	if err != nil {
		d.report(at, "Invalid value", "%s takes %s.", a.name, a.form.says)
		return v, false
	}
	if v.IsNull() {
		return v, true
	}
	if len(a.form.choices) > 0 {
		if problem := choiceProblem(a.name, v.AsString(), a.form); problem != nil {
			if hidden {
				problem.detail = a.name + " takes " + a.form.says + "."
			}
			d.report(at, problem.summary, "%s", problem.detail)
			return v, false
		}
		return v, true
	}
	problem := a.form.check(v)
	switch {
	case problem == "":
		return v, true
	case a.form.secret: // its check never quotes the value
		d.report(at, "Invalid secret", "The value of %s %s.", a.name, problem)
	case hidden:
		d.report(at, "Invalid value", "The value of %s is not %s.", a.name, a.form.says)
	default:
		d.report(at, "Invalid value", "%s %s.", show(a.name, v), problem)
	}
	return v, false
}

// show names an argument with its value.
func show(name string, v cty.Value) string {
	switch v.Type() {
	case cty.String:
		return name + " " + quote(v.AsString())
	case cty.Number:
		return name + " " + v.AsBigFloat().Text('g', 12)
	}
	return name
}

// checkSource refuses a secret that did not come from a sensitive variable,
// env() or file(), and so stands in a file in clear.
func (d decoder) checkSource(attr *hclsyntax.Attribute, v cty.Value, marks cty.ValueMarks) bool {
	if len(marks) > 0 || v.IsNull() && v.IsKnown() {
		return true
	}
	for _, traversal := range attr.Expr.Variables() {
		if traversal.RootName() != "var" {
			continue
		}
		name := stepName(traversal[1])
		if !d.scope.variables[name].sensitive {
			d.report(attr.Expr.Range(), "Secret from a variable that is not sensitive",
				"%s comes from var.%s. Set sensitive = true in that variable's block.", attr.Name, name)
			return false
		}
	}
	if !v.IsKnown() {
		return false // of a local that has been reported
	}
	d.report(attr.Expr.Range(), "Secret written in clear",
		`%s takes no text from the stack file. Use a sensitive variable, env("NAME") or file("PATH").`, attr.Name)
	return false
}

func (d decoder) reportUnknownArgument(attr *hclsyntax.Attribute, s *section) {
	if s.schema.name == "" {
		d.report(attr.NameRange, "Unsupported argument", "A stack file holds blocks only. A value of its own goes into a locals block.")
		return
	}
	if nested, ok := s.schema.block(attr.Name); ok {
		d.report(attr.NameRange, "Unsupported argument", "%s is a block here, not an argument: %s", quote(attr.Name), nested.example())
		return
	}
	known, valid := s.schema.attributeNames(served, later), s.schema.attributeNames(served)
	d.report(attr.NameRange, "Unsupported argument", "%s", fmt.Sprintf("An argument named %s is not expected here. %s",
		quote(attr.Name), didYouMean(attr.Name, known, valid)))
}
