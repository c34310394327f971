package stack

import (
	"fmt"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// provenance marks a value that came from a sensitive variable, from env() or from
// file(). It stays on everything made from the value, and what has one is quoted
// in no message. The zero provenance is an env() or a file() whose name is not known.
type provenance struct {
	key   string // env("KEY")
	shown string // key, as messages may name it
}

// secrets is what is known of secrets.
type secrets struct {
	texts map[provenance]string // what env() and file() gave
	why   map[provenance]string // why a provenance is a secret: such may stand where a secret is taken only
}

// declareSecret makes a secret of all that comes from a provenance.
func (l *loader) declareSecret(o provenance, why string) {
	if _, known := l.secrets.why[o]; known || o == (provenance{}) {
		return
	}
	l.secrets.why[o] = why
	l.sources.secrets.Add(l.secrets.texts[o])
}

// sensitive is the provenance of what comes from a sensitive variable.
func (l *loader) sensitive(variable string) provenance {
	o := provenance{"var." + variable, "var." + variable}
	l.declareSecret(o, "")
	return o
}

// secretAmong finds a provenance among marks that is a secret.
func (l *loader) secretAmong(marks cty.ValueMarks) (provenance, bool) {
	for mark := range marks {
		if _, ok := l.secrets.why[mark.(provenance)]; ok {
			return mark.(provenance), true
		}
	}
	return provenance{}, false
}

// noteSecrets finds out, before anything is decoded, what the secrets of a block
// are made from, and what they are.
func (d decoder) noteSecrets(body *hclsyntax.Body, schema *block) {
	for _, attr := range inOrder(body.Attributes) {
		if a, ok := find(schema.attributes, attr.Name); !ok || !a.form.secret {
			continue
		}
		v, _ := d.scope.evaluate(attr.Expr, true) // it is decoded later, and what is wrong is reported then
		v, marks := v.UnmarkDeep()
		d.sources.hide(v)
		for mark := range marks {
			d.declareSecret(mark.(provenance), fmt.Sprintf("%s on line %d is made from", attr.Name, attr.NameRange.Start.Line))
		}
	}
	for _, b := range body.Blocks {
		if nested, ok := find(schema.blocks, b.Type); ok {
			d.noteSecrets(b.Body, nested)
		}
	}
}

// hide keeps all texts in a value, which may have marks, out of all messages.
func (s *Sources) hide(v cty.Value) {
	v, _ = v.UnmarkDeep()
	cty.Walk(v, func(path cty.Path, v cty.Value) (bool, error) { // the function never fails
		if len(path) > 0 {
			if step, ok := path[len(path)-1].(cty.IndexStep); ok && step.Key.Type() == cty.String && step.Key.IsKnown() {
				s.secrets.Add(step.Key.AsString())
			}
		}
		switch {
		case !v.IsKnown() || v.IsNull():
		case v.Type() == cty.String:
			s.secrets.Add(v.AsString())
		case v.Type() == cty.Number:
			s.secrets.Add(v.AsBigFloat().Text('f', -1))
		}
		return true, nil
	})
}
