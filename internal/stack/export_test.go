package stack

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// EvaluatePanic evaluates an expression that panics with a text.
func EvaluatePanic(text string) hcl.Diagnostics {
	_, diags := (&scope{}).evaluate(panicking{&hclsyntax.LiteralValueExpr{Val: cty.True}, text}, false)
	return diags
}

type panicking struct {
	*hclsyntax.LiteralValueExpr
	text string
}

func (p panicking) Value(*hcl.EvalContext) (cty.Value, hcl.Diagnostics) { panic(p.text) }

// ReferenceRow is what the reference has to say of one argument.
type ReferenceRow struct {
	Block   string // with those it stands in: "relay in proxy"
	Name    string
	Says    string
	Default string
	Preset  cty.Value
	Problem string // what the argument's own check says about its default
}

// ReferenceRows lists the served arguments of all served blocks.
func ReferenceRows() []ReferenceRow {
	var rows []ReferenceRow
	walk(language(), nil, func(b *block, path []string) {
		for _, a := range b.attributes {
			if b.state == served && a.state == served {
				rows = append(rows, row(a, strings.Join(path, " in ")))
			}
		}
	})
	return rows
}

func row(a attribute, block string) ReferenceRow {
	r := ReferenceRow{Block: block, Name: a.name, Says: a.form.says, Default: "–", Preset: a.preset}
	switch {
	case a.required:
		r.Default = "required"
	case a.preset == cty.NilVal:
	case a.preset.Type() == cty.String:
		r.Default = "`\"" + a.preset.AsString() + "\"`"
	default:
		r.Default = "`" + a.preset.AsBigFloat().Text('f', 0) + "`"
	}
	if a.preset != cty.NilVal {
		_, r.Problem = a.form.read(a.preset)
	}
	return r
}

// Later lists what is known and not served: names of arguments and blocks, and
// values as they are written. block is the path of the served block that it
// would stand in.
func Later() []string {
	var list []string
	walk(language(), nil, func(b *block, path []string) {
		if b.state == later {
			list = append(list, b.name)
		}
		for _, a := range b.attributes {
			if a.state == later {
				list = append(list, a.name)
			} else {
				list = append(list, quoted(names(a.form.choices, later))...)
			}
		}
		if b.label != nil {
			list = append(list, quoted(names(b.label.form.choices, later))...)
		}
	})
	return list
}

func quoted(values []string) []string {
	var list []string
	for _, v := range values {
		list = append(list, `"`+v+`"`)
	}
	return list
}

// FunctionNames lists the functions of the language.
func FunctionNames() []string { return sortedKeys((&loader{}).functions()) }

// walk visits every block below b, with the names from it up to the file.
func walk(b *block, path []string, visit func(*block, []string)) {
	for _, nested := range b.blocks {
		at := append([]string{nested.name}, path...)
		visit(nested, at)
		walk(nested, at, visit)
	}
}
