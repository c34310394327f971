package stack

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

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
		if text, ok := l.env(environmentPrefix + name); ok {
			all[name] = l.fromText(v, text, environmentPrefix+name)
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
	l.unset[v.name] = false
	if l.options.needsAll() {
		l.reportUnset(v)
	}
	return cty.UnknownVal(v.typ)
}

// reportUnset reports a variable that nothing gives a value, once.
func (l *loader) reportUnset(v variable) {
	if !l.unset[v.name] {
		l.report(v.at, "Variable without value", "Variable %s has no value and no default. %s", quote(v.name), v.ways())
	}
	l.unset[v.name] = true
}

// exportable are names that a shell can give to an environment variable.
var exportable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// ways says how a variable is given a value, so that it works when it is typed.
func (v variable) ways() string {
	file := fmt.Sprintf("--var-file FILE, where FILE has a line %s = …", v.name)
	if v.typ == cty.String || v.typ == cty.DynamicPseudoType {
		file = fmt.Sprintf("--var-file FILE, where FILE has a line %s = \"…\"", v.name)
	}
	switch {
	case exportable.MatchString(v.name) && v.sensitive:
		return "Give it one with the environment variable " + environmentPrefix + v.name + ", or with " + file + "."
	case v.sensitive:
		return "Give it one with " + file + ". (A shell can't export " + environmentPrefix + v.name + ".)"
	case exportable.MatchString(v.name):
		return "Give it one with --var " + v.name + "=VALUE, with the environment variable " + environmentPrefix + v.name + ", or with " + file + "."
	}
	return "Give it one with --var " + v.name + "=VALUE, or with " + file + "."
}

// fromText reads a value that was given as text: as it is for a string, else
// as an HCL expression.
func (l *loader) fromText(v variable, text, from string) given {
	if v.typ == cty.String || v.typ == cty.DynamicPseudoType {
		return given{cty.StringVal(text), from}
	}
	const name = "value"
	if guard([]byte(text), name).HasErrors() {
		return given{cty.EmptyTupleVal, from}
	}
	expr, diags := hclsyntax.ParseExpression([]byte(text), name, hcl.InitialPos)
	if diags.HasErrors() {
		return given{cty.StringVal(text), from}
	}
	value, diags := expr.Value(nil)
	if diags.HasErrors() {
		return given{cty.StringVal(text), from}
	}
	return given{value, from}
}

// readVar reads one --var. Its messages never repeat the value: whoever
// mistypes a name may have meant a sensitive variable.
func (l *loader) readVar(assignment string, variables map[string]variable, all map[string]given) {
	name, text, ok := strings.Cut(assignment, "=")
	if !ok || !validVariable(name) {
		l.reportAside("Invalid --var", "--var takes NAME=VALUE.")
		return
	}
	v, ok := variables[name]
	switch {
	case !ok:
		names := sortedKeys(variables)
		l.reportAside("Unknown variable", "--var: %s declares no variable named %s. %s",
			l.filename, quote(name), Suggest(name, names))
	case v.sensitive:
		l.reportAside("Sensitive variable in --var",
			"Variable %s is sensitive, and other users of this machine can read arguments. %s", quote(name), v.ways())
	default:
		all[name] = l.fromText(v, text, "--var")
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
			names := sortedKeys(variables)
			l.report(attr.NameRange, "Unknown variable", "%s declares no variable named %s. %s",
				l.filename, quote(name), Suggest(name, names))
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
