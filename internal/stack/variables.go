package stack

import (
	"regexp"
	"slices"
	"strings"
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
		for _, d := range diags {
			l.diags = l.diags.Append(plain(d, ""))
		}
		if !diags.HasErrors() {
			v.typ = typ
		}
	}
	if attr, ok := b.Body.Attributes["sensitive"]; ok {
		value, diags := attr.Expr.Value(nil)
		isFalse := !diags.HasErrors() && (value.IsNull() || value.RawEquals(cty.False))
		if !isFalse && (diags.HasErrors() || !value.RawEquals(cty.True)) {
			l.report(attr.SrcRange, "Invalid value", "sensitive is true or false.")
		}
		v.sensitive = !isFalse // in doubt, nothing of it is shown
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
			strings.Join(variableAttributes, ", "))
	}
}

// variableDefault evaluates a default. A sensitive one may be null or empty
// only: anything else would be a secret written in clear.
func (l *loader) variableDefault(v variable, attr *hclsyntax.Attribute) cty.Value {
	value, diags := attr.Expr.Value(nil)
	blank := !diags.HasErrors() && (value.IsNull() || value.RawEquals(cty.StringVal("")))
	if v.sensitive && !blank {
		l.report(attr.SrcRange, "Secret written in clear",
			"The default of a sensitive variable can only be null or \"\". %s", v.ways())
	}
	switch {
	case diags.HasErrors() && v.sensitive:
		return cty.NilVal
	case diags.HasErrors():
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

func typeName(t cty.Type) string {
	return "a value of type " + typeexpr.TypeString(t)
}

// environmentPrefix precedes the name of a variable in the environment.
const environmentPrefix = "RELAYCTL_VAR_"

// given is the value of a variable and where it came from.
type given struct {
	value cty.Value
	from  string // for messages: "--var", "RELAYCTL_VAR_x", a file
}

// variableValues finds a value for every variable: from --var, else the last
// file of VarFiles that has one, else the environment, else the default.
func (l *loader) variableValues(variables map[string]variable) map[string]cty.Value {
	all := map[string]given{}
	for name, v := range variables {
		if text, ok := l.options.Env(environmentPrefix + name); ok {
			all[name] = v.fromText(text, environmentPrefix+name)
		}
	}
	for _, path := range l.options.VarFiles {
		l.readVarFile(path, variables, all)
	}
	for _, assignment := range l.options.Vars {
		l.readVar(assignment, variables, all)
	}
	values := map[string]cty.Value{}
	for _, name := range sortedKeys(variables) {
		v := variables[name]
		values[name] = l.settle(v, all)
		if v.sensitive {
			l.sources.hide(values[name])
			values[name] = values[name].Mark(l.sensitive(name))
		}
	}
	return values
}

// settle converts what was given for v, or takes its default.
func (l *loader) settle(v variable, all map[string]given) cty.Value {
	g, ok := all[v.name]
	switch {
	case ok:
		value, err := convert.Convert(g.value, v.typ)
		if err != nil {
			l.report(v.at, "Invalid value for variable", "Variable %s takes %s, and %s gives something else.",
				quote(v.name), typeName(v.typ), g.from)
			return cty.UnknownVal(v.typ)
		}
		return value
	case v.preset != cty.NilVal:
		return v.preset
	}
	if l.options.needsAll() {
		l.report(v.at, "Variable without value", "Variable %s has no value and no default. %s", quote(v.name), v.ways())
	}
	return cty.UnknownVal(v.typ)
}

// exportable are names that a shell can give to an environment variable.
var exportable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// takesText reports whether a value of v stands on the command line as it is.
func (v variable) takesText() bool { return v.typ == cty.String || v.typ == cty.DynamicPseudoType }

// ways says how a variable is given a value, so that it works when it is typed.
func (v variable) ways() string {
	var ways []string
	if !v.sensitive {
		ways = append(ways, "--var "+v.name+"=VALUE")
	}
	if exportable.MatchString(v.name) {
		ways = append(ways, "the environment variable "+environmentPrefix+v.name)
	}
	file := "--var-file FILE, where FILE has a line " + v.name + " = …"
	if v.takesText() {
		file = strings.Replace(file, "…", `"…"`, 1)
	}
	if len(ways) > 0 {
		file = strings.Join(ways, ", with ") + ", or with " + file
	}
	return "Give it one with " + file + "."
}

// fromText reads a value that was given as text: as it is for a string, else
// as an HCL expression. Where it is none, the text stands for it: that it is of
// the wrong type is told later.
func (v variable) fromText(text, from string) given {
	if v.takesText() {
		return given{cty.StringVal(text), from}
	}
	const name = "value"
	tokens, _ := hclsyntax.LexExpression([]byte(text), name, hcl.InitialPos)
	if guard(tokens) != nil {
		return given{cty.StringVal(""), from}
	}
	if expr, diags := hclsyntax.ParseExpression([]byte(text), name, hcl.InitialPos); !diags.HasErrors() {
		if value, diags := expr.Value(nil); !diags.HasErrors() {
			return given{value, from}
		}
	}
	return given{cty.StringVal(text), from}
}

// readVar reads one --var. Its messages never repeat the value: whoever
// mistypes a name may have meant a sensitive variable.
func (l *loader) readVar(assignment string, variables map[string]variable, all map[string]given) {
	name, text, ok := strings.Cut(assignment, "=")
	if !ok || !validVariable(name) {
		l.report(hcl.Range{}, "Invalid --var", "--var takes NAME=VALUE.")
		return
	}
	v, ok := variables[name]
	switch {
	case !ok:
		l.report(hcl.Range{}, "Unknown variable", "--var: %s declares no variable named %s. %s",
			l.filename, quote(name), Suggest(name, sortedKeys(variables)))
	case v.sensitive:
		l.report(hcl.Range{}, "Sensitive variable in --var",
			"Variable %s is sensitive, and other users of this machine can read arguments. %s", quote(name), v.ways())
	default:
		all[name] = v.fromText(text, "--var")
	}
}

// readVarFile reads one file of assignments.
func (l *loader) readVarFile(path string, variables map[string]variable, all map[string]given) {
	body := l.parse(path, true)
	if body == nil {
		return
	}
	if len(body.Blocks) > 0 {
		l.report(body.Blocks[0].DefRange(), "Unsupported block", "A file of variables holds NAME = VALUE only. Is this a stack file, or that of another program?")
		return
	}
	for name, attr := range body.Attributes {
		if _, ok := variables[name]; !ok {
			l.report(attr.NameRange, "Unknown variable", "%s declares no variable named %s. %s",
				l.filename, quote(name), Suggest(name, sortedKeys(variables)))
			continue
		}
		value, diags := attr.Expr.Value(nil)
		if diags.HasErrors() {
			l.report(attr.NameRange, "Invalid value", "The value of %s has to be plain, without variables and functions. Text stands in quotes: %s = \"…\"", name, name)
			value = cty.UnknownVal(variables[name].typ)
		}
		all[name] = given{value, path}
	}
}
