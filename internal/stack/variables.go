package stack

import (
	"slices"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// variable is a variable block.
type variable struct {
	name      string
	typ       cty.Type
	preset    cty.Value // of typ; cty.NilVal: none
	sensitive bool
	at        hcl.Range
}

// variableAttributes are the arguments of a variable block.
var variableAttributes = []string{"type", "default", "sensitive", "description"}

// validVariable reports whether a name can stand behind var. in an expression.
func validVariable(name string) bool {
	return hclsyntax.ValidIdentifier(name) && utf8.RuneCountInString(name) <= 63
}

// declareVariables reads all variable blocks.
func (l *loader) declareVariables(body *hclsyntax.Body) map[string]variable {
	variables := map[string]variable{}
	for _, b := range body.Blocks {
		if b.Type != "variable" {
			continue
		}
		v, ok := l.declareVariable(b)
		if !ok {
			continue
		}
		if first, exists := variables[v.name]; exists {
			l.report(b.DefRange(), "Duplicate variable", "Variable %s is already declared on line %d.",
				quote(v.name), first.at.Start.Line)
			continue
		}
		variables[v.name] = v
	}
	return variables
}

func (l *loader) declareVariable(b *hclsyntax.Block) (variable, bool) {
	l.checkVariableBody(b)
	if len(b.Labels) != 1 || !validVariable(b.Labels[0]) {
		l.report(b.DefRange(), "Invalid name",
			`A variable has one name of letters, digits, _ and - that begins with a letter or _, at most 63 characters: variable "name" { … }`)
		return variable{}, false
	}
	v := variable{name: b.Labels[0], typ: cty.DynamicPseudoType, at: b.DefRange()}
	if attr, ok := b.Body.Attributes["type"]; ok {
		typ, diags := typeexpr.TypeConstraint(attr.Expr)
		l.extendPlain(diags)
		if !diags.HasErrors() {
			v.typ = typ
		}
	}
	if attr, ok := b.Body.Attributes["sensitive"]; ok {
		value, diags := attr.Expr.Value(nil)
		leftOut := !diags.HasErrors() && value.IsNull()
		if diags.HasErrors() || !leftOut && value.Type() != cty.Bool {
			l.report(attr.SrcRange, "Invalid value", "sensitive is true or false.")
		}
		v.sensitive = diags.HasErrors() || !leftOut && !value.RawEquals(cty.False) // in doubt, nothing of it is shown
	}
	if attr, ok := b.Body.Attributes["default"]; ok {
		v.preset = l.variableDefault(v, attr)
	}
	return v, true
}

func (l *loader) checkVariableBody(b *hclsyntax.Block) {
	for name, attr := range b.Body.Attributes {
		if !slices.Contains(variableAttributes, name) {
			l.report(attr.NameRange, "Unsupported argument", "An argument named %s is not expected here. %s",
				quote(name), didYouMean(name, variableAttributes, variableAttributes))
		}
	}
	for _, nested := range b.Body.Blocks {
		l.report(nested.DefRange(), "Unsupported block", "A variable holds no blocks. Valid here: %s.",
			"type, default, sensitive, description")
	}
	if attr, ok := b.Body.Attributes["description"]; ok {
		if v, diags := attr.Expr.Value(nil); diags.HasErrors() || !v.IsNull() && v.Type() != cty.String {
			l.report(attr.SrcRange, "Invalid value", "A description is text in quotes.")
		}
	}
}

// variableDefault evaluates a default. A sensitive one may be null or empty
// only: anything else would be a secret written in clear.
func (l *loader) variableDefault(v variable, attr *hclsyntax.Attribute) cty.Value {
	value, diags := attr.Expr.Value(nil)
	if v.sensitive {
		if diags.HasErrors() || !isBlank(value) {
			l.report(attr.SrcRange, "Secret written in clear",
				"The default of a sensitive variable can only be null or \"\". %s", v.ways())
		}
		if diags.HasErrors() {
			return cty.NilVal
		}
	}
	if diags.HasErrors() {
		l.report(attr.SrcRange, "Invalid default", "A default is a plain value, without variables and functions.")
		return cty.UnknownVal(v.typ)
	}
	value, err := convert.Convert(value, v.typ)
	if err != nil {
		l.report(attr.SrcRange, "Invalid default", "Variable %s takes %s.", quote(v.name), typeName(v.typ))
		return cty.UnknownVal(v.typ)
	}
	return value
}

// isBlank reports whether a value is null or an empty string.
func isBlank(v cty.Value) bool {
	return v.IsNull() || v.Type() == cty.String && v.AsString() == ""
}

// extendPlain adds diagnostics of hcl, without what would print values.
func (l *loader) extendPlain(diags hcl.Diagnostics) {
	for _, d := range diags {
		l.diags = l.diags.Append(plain(d, false))
	}
}

func typeName(t cty.Type) string {
	return "a value of type " + typeexpr.TypeString(t)
}
