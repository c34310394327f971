package stack

import (
	"cmp"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/relayctl/relayctl/internal/secret"
)

// decodeAttribute checks one argument into s.
func (d decoder) decodeAttribute(attr *hclsyntax.Attribute, s *section) {
	a, ok := find(s.schema.attributes, attr.Name)
	switch {
	case !ok:
		d.reportUnknownArgument(attr, s)
		return
	case a.state == later:
		d.report(attr.NameRange, "Not supported yet", "%s is not supported yet. Arguments supported in %s now: %s.",
			attr.Name, s.describe(), cmp.Or(strings.Join(names(s.schema.attributes, served), ", "), "none"))
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
	} else if o, ok := d.secretAmong(marks); ok {
		d.reportSensitive(attr, o)
		return
	}
	s.hidden[a.name] = len(marks) > 0
	v, err := convert.Convert(v, a.form.typ)
	switch {
	case err != nil:
		d.report(attr.Expr.Range(), "Invalid value", "%s takes %s.", a.name, a.form.says)
	case !v.IsWhollyKnown() && a.form.secret:
		s.values[a.name] = secret.Unknown()
	case !v.IsWhollyKnown():
		if d.options.SecretsAside && !d.diags.HasErrors() {
			d.lacks = append(d.lacks, d.scope.sourcesOf(attr.Expr)...)
		}
	case !v.IsNull():
		d.read(attr, a, v, s)
	case a.required:
		d.report(attr.SrcRange, "Missing required argument", "%s needs %s: %s. Here it is null.",
			s.start(), a.name, a.form.says)
	default:
		delete(s.attrs, a.name) // null is as good as left out
	}
}

// read reads a known value into s. It is quoted in messages unless it is hidden.
func (d decoder) read(attr *hclsyntax.Attribute, a attribute, v cty.Value, s *section) {
	value, problem := a.form.read(v)
	switch at := attr.Expr.Range(); {
	case problem == "":
		s.values[a.name] = value
	case a.form.secret: // its form never quotes the value
		d.report(at, "Invalid secret", "%s %s.", a.name, problem)
	case s.hidden[a.name]:
		d.report(at, "Invalid value", "The value of %s is not %s.", a.name, a.form.says)
	default:
		d.reportInvalid(at, "Invalid value", show(a.name, v), problem)
	}
}

// reportInvalid reports what a form says of something.
func (l *loader) reportInvalid(at hcl.Range, summary, what, problem string) {
	if strings.HasPrefix(problem, notYet) {
		summary = "Not supported yet"
	}
	if !strings.HasSuffix(problem, "?") {
		problem = strings.TrimSuffix(problem, ".") + "."
	}
	l.report(at, summary, "%s %s", what, problem)
}

// show names an argument with its value.
func show(name string, v cty.Value) string {
	switch v.Type() {
	case cty.String:
		return name + " " + quote(userInfo.ReplaceAllString(v.AsString(), "://"+secret.Mask+"@"))
	case cty.Number:
		return name + " " + v.AsBigFloat().Text('g', 12)
	}
	return name
}

// reportSensitive reports a value where it would not stay secret.
func (d decoder) reportSensitive(attr *hclsyntax.Attribute, o provenance) {
	why := o.shown + " is sensitive."
	if use := d.secrets.why[o]; use != "" {
		why = use + " " + o.shown + ": keep the two apart."
	}
	d.report(attr.Expr.Range(), "Sensitive value not allowed",
		"A sensitive value can't stand here: as %s it would be shown in plans, in messages and on hosts. %s", attr.Name, why)
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
	if nested, ok := find(s.schema.blocks, attr.Name); ok {
		d.report(attr.NameRange, "Unsupported argument", "%s is a block here, not an argument: %s", quote(attr.Name), nested.example())
		return
	}
	known, valid := names(s.schema.attributes, served, later), names(s.schema.attributes, served)
	d.report(attr.NameRange, "Unsupported argument", "An argument named %s is not expected here. %s",
		quote(attr.Name), didYouMean(attr.Name, known, valid))
	s.mean(attr.Name, known)
}
