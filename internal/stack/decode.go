package stack

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/relayctl/relayctl/internal/secret"
)

// section is a block of the file whose names and values were checked.
type section struct {
	Place
	schema   *block
	label    string
	values   map[string]any // as the forms read them; none for null; defaults included
	sections []*section
	swallows bool     // a block that belongs to the file was found inside, and reported
	meant    []string // arguments and blocks that mistyped ones were probably meant to be
}

// decoder checks the file against the language.
type decoder struct {
	*loader
	scope *scope
}

// decodeFile checks everything but variables and locals, which have been read.
func (l *loader) decodeFile(body *hclsyntax.Body, s *scope) *section {
	d := decoder{l, s}
	start := hcl.Range{Filename: l.filename, Start: hcl.InitialPos, End: hcl.InitialPos}
	root := &section{schema: language(), Place: Place{Range: start}}
	d.noteSecrets(body, root.schema)
	d.decodeBody(body, root)
	return root
}

// decodeBody checks what a block holds into its section.
func (d decoder) decodeBody(body *hclsyntax.Body, s *section) {
	s.attrs, s.hidden, s.values = map[string]hcl.Range{}, map[string]bool{}, map[string]any{}
	for _, attr := range inOrder(body.Attributes) {
		d.decodeAttribute(attr, s)
	}
	firsts := map[string]*hclsyntax.Block{}
	for _, b := range body.Blocks {
		if s.schema.name == "" && (b.Type == "variable" || b.Type == "locals") {
			continue
		}
		if nested, ok := d.decodeBlock(b, s, firsts); ok {
			s.sections = append(s.sections, nested)
		}
	}
	s.fillIn()
	d.reportMissing(body, s)
}

// decodeBlock checks a block inside s. It says no where the block is left out
// of the stack. firsts are the blocks met so far, by type and by label.
func (d decoder) decodeBlock(b *hclsyntax.Block, s *section, firsts map[string]*hclsyntax.Block) (*section, bool) {
	schema, ok := find(s.schema.blocks, b.Type)
	if !ok {
		d.reportUnknownBlock(b, s)
		return nil, false
	}
	if schema.state == later {
		d.report(b.DefRange(), "Not supported yet", "The %s block is not supported yet. Blocks supported in %s now: %s.",
			b.Type, s.describe(), strings.Join(names(s.schema.blocks, served), ", "))
		return nil, false
	}
	if first, ok := firsts[b.Type]; ok && schema.single {
		d.report(b.DefRange(), "Duplicate block", "There can be one %s block in %s, and line %d has it.",
			b.Type, s.describe(), first.DefRange().Start.Line)
		return nil, false
	}
	nested := &section{schema: schema, Place: Place{Range: b.DefRange()}}
	if !d.decodeLabel(b, nested) {
		firsts[b.Type] = b
		return nil, false
	}
	key := b.Type + " " + nested.label
	if first, ok := firsts[key]; ok && nested.label != "" {
		d.report(b.DefRange(), "Duplicate name", "%s already stands on line %d.", nested.describe(), first.DefRange().Start.Line)
	}
	firsts[b.Type], firsts[key] = b, b
	d.decodeBody(b.Body, nested)
	return nested, true
}

// decodeLabel checks the labels of a block. It says no where a label asks for
// something that is not supported, so that the block means nothing here.
func (d decoder) decodeLabel(b *hclsyntax.Block, s *section) bool {
	want := s.schema.label
	switch {
	case want == nil && len(b.Labels) > 0:
		d.report(b.LabelRanges[0], "Unexpected name", "This block has no name: %s { … }", b.Type)
		return true
	case want == nil:
		return true
	case len(b.Labels) != 1:
		d.report(b.DefRange(), "Missing "+want.what, "This block takes one %s: %s %q { … }", want.what, b.Type, want.what)
		return true
	}
	s.label = b.Labels[0]
	_, problem := want.form.read(cty.StringVal(s.label))
	switch {
	case problem == "":
		return true
	case len(want.form.choices) > 0:
		d.reportInvalid(b.LabelRanges[0], "Invalid value", b.Type+" "+quote(s.label), problem)
		return false
	}
	d.reportInvalid(b.LabelRanges[0], "Invalid name", quote(s.label), problem)
	s.label = ""
	return true
}

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
	v, err := a.form.convert(v)
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

// convert brings a value without marks to the form's type.
func (f form) convert(v cty.Value) (cty.Value, error) {
	if f.orText && v.Type() == cty.String && !v.IsNull() {
		return cty.ListVal([]cty.Value{v}), nil
	}
	return convert.Convert(v, f.typ)
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
		return name + " " + quote(withoutPasswords(v.AsString()))
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
	meant := s.schema.ownName(attr.Name)
	d.report(attr.NameRange, "Unsupported argument", "An argument named %s is not expected here. %s",
		quote(attr.Name), didYouMean(meant, known, valid))
	s.mean(meant, known)
}

// ownName is what an argument is called here that other programs call
// otherwise, else its name as it stands.
func (b *block) ownName(given string) string {
	for _, a := range b.attributes {
		if slices.Contains(a.elsewhere, strings.ToLower(given)) {
			return a.name
		}
	}
	return given
}

// fillIn adds the defaults of what was left out.
func (s *section) fillIn() {
	for _, a := range s.schema.attributes {
		if _, given := s.attrs[a.name]; !given && a.preset != cty.NilVal {
			s.values[a.name], _ = a.form.read(a.preset)
		}
	}
}

// reportMissing reports what is required and was left out.
func (d decoder) reportMissing(body *hclsyntax.Body, s *section) {
	present := func(name string) bool { return holds(body, name) || slices.Contains(s.meant, name) }
	for _, a := range s.schema.attributes {
		if a.required && !present(a.name) && !slices.ContainsFunc(a.unless, present) {
			d.report(s.Range, "Missing required argument", "%s needs %s: %s.", s.start(), a.name, a.form.says)
		}
	}
	for _, nested := range s.schema.blocks {
		if !nested.required || present(nested.name) {
			continue
		}
		count := "at least one"
		if nested.single {
			count = "exactly one"
		}
		d.report(s.Range, "Missing "+nested.name+" block", "%s has %s %s block: %s",
			s.start(), count, nested.name, nested.example())
	}
}

// holds reports whether a body has an argument or a block of that name.
func holds(body *hclsyntax.Body, name string) bool {
	_, ok := body.Attributes[name]
	return ok || slices.ContainsFunc(body.Blocks, func(b *hclsyntax.Block) bool { return b.Type == name })
}

// describe names a section in messages.
func (s *section) describe() string {
	switch {
	case s.schema.name == "":
		return "a stack file"
	case s.label == "" && s.schema.label != nil:
		return "this " + s.schema.name
	case s.label == "":
		return s.schema.name
	}
	return fmt.Sprintf("%s %q", s.schema.name, s.label)
}

// start names a section at the start of a sentence.
func (s *section) start() string {
	if s.label == "" {
		return upperFirst(s.describe())
	}
	return s.describe()
}

// example writes the shortest form of a block.
func (b *block) example() string {
	if b.label == nil {
		return b.name + " { … }"
	}
	word := b.label.what
	if values := names(b.label.form.choices, served); len(values) > 0 {
		word = values[0]
	}
	return fmt.Sprintf("%s %q { … }", b.name, word)
}

func (d decoder) reportUnknownBlock(b *hclsyntax.Block, s *section) {
	ofFile := append(names(language().blocks, served), "variable", "locals")
	known, valid := names(s.schema.blocks, served, later), names(s.schema.blocks, served)
	if s.schema.name == "" {
		known, valid = ofFile, ofFile
	}
	_, isArgument := find(s.schema.attributes, b.Type)
	switch {
	case isArgument:
		d.report(b.DefRange(), "Unsupported block", "%s is an argument here, not a block: %s = …", quote(b.Type), b.Type)
	case s.schema.name != "" && slices.Contains(ofFile, b.Type):
		if !s.swallows { // of several only the first is told: it is one brace that is missing
			d.report(b.DefRange(), "Block inside another", "A %s block stands at the top of the file, and this one is inside of %s, which begins on line %d. Is a } missing above?",
				b.Type, s.describe(), s.Range.Start.Line)
		}
		s.swallows = true
	default:
		d.report(b.DefRange(), "Unsupported block", "A block named %s is not expected here. %s",
			quote(b.Type), didYouMean(b.Type, known, valid))
		s.mean(b.Type, known)
	}
}

// mean notes what a mistyped name was probably meant to be, so that it is not
// reported as missing too.
func (s *section) mean(given string, known []string) {
	if name, ok := Nearest(given, known); ok {
		s.meant = append(s.meant, name)
	}
}

// inOrder lists attributes as they stand in the file.
func inOrder(attributes hclsyntax.Attributes) []*hclsyntax.Attribute {
	list := make([]*hclsyntax.Attribute, 0, len(attributes))
	for _, attr := range attributes {
		list = append(list, attr)
	}
	slices.SortFunc(list, func(a, b *hclsyntax.Attribute) int { return a.SrcRange.Start.Byte - b.SrcRange.Start.Byte })
	return list
}
