package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/aymanbagabas/go-udiff"

	"github.com/relayctl/relayctl/internal/plan"
)

// label names what a line of a plan is about.
func label(c plan.Change) string {
	if c.ID.Kind == plan.KindProgram && c.Action == plan.Create {
		return strings.TrimSpace(c.ID.Title() + " " + newValue(c, plan.AttrVersion).Text)
	}
	return stepName(c.ID, c.Action)
}

// newValue is what an attribute will be, if it changes.
func newValue(c plan.Change, name string) plan.Value {
	for _, attr := range c.Attributes {
		if attr.Name == name {
			return attr.After
		}
	}
	return plan.Value{}
}

func changes(c plan.Change, name string) bool {
	return slices.ContainsFunc(c.Attributes, func(a plan.AttrChange) bool { return a.Name == name })
}

// textsOf gives a file's text before and after a change; false where it may not
// be shown or is not known. Nil: none is.
type textsOf func(host string, c plan.Change) (before, after string, ok bool)

// texts is a file's text before and after a change. It is not known where it is
// none, or a secret, or nobody may see it.
type texts struct {
	before, after string
	known         bool
}

func (t textsOf) of(host string, c plan.Change) (of texts) {
	if t != nil && c.ID.Kind == plan.KindFile && (c.Resource == nil || !c.Resource.Sensitive) {
		of.before, of.after, of.known = t(host, c)
	}
	return of
}

// why says in a phrase what changes on a host and for which reason.
func (p *planText) why(host string, c plan.Change, t texts) string {
	switch {
	case c.Block != "" && t.known && !p.diff:
		return c.Block + " (see --diff)"
	case c.Block != "":
		return c.Block
	}
	var parts []string
	add := func(part string) {
		if part != "" {
			parts = append(parts, part)
		}
	}
	for _, attr := range c.Attributes {
		add(phrase(c, attr))
	}
	if c.ID.Kind == plan.KindProgram && c.Action == plan.Update && len(parts)+len(c.Reasons) == 0 {
		add("another build")
	}
	if c.Resource != nil && c.Resource.Size > 0 && changes(c, plan.AttrDigest) {
		add(fmt.Sprintf("%.1f MiB to upload", mebibytes(c.Resource.Size)))
	}
	parts = append(parts, c.Reasons...)
	switch {
	case c.Action == plan.Create && (c.ID.Kind == plan.KindCA || c.ID.Kind == plan.KindSecret):
		add(fmt.Sprintf("(made by apply on %s)", host))
	case c.Action == plan.Create && c.ID.Kind == plan.KindKey && !newValue(c, plan.AttrDigest).IsKnown():
		add("(made by apply, shown once)")
	case c.Action == plan.Update:
		add(p.contentPhrase(c, t, len(parts) == 0))
	}
	return strings.Join(parts, ", ")
}

// phrase says how one attribute changes; content and digests are no reading.
func phrase(c plan.Change, attr plan.AttrChange) string {
	switch {
	case c.ID.Kind == plan.KindKey:
		return "" // its reason says all
	case !attr.After.IsKnown():
		return fmt.Sprintf("(made by apply on %s)", attr.After.MadeOn)
	case c.Action == plan.Create && c.ID.Kind == plan.KindUnit && attr.After.Text == plan.Yes:
		return attr.Name
	case c.Action == plan.Create:
		return ""
	}
	switch attr.Name {
	case plan.AttrContent, plan.AttrDigest, plan.AttrShown, plan.AttrInstalled:
		return ""
	case plan.AttrRunning, plan.AttrEnabled:
		way := []string{map[string]string{plan.AttrRunning: "stopped", plan.AttrEnabled: "disabled"}[attr.Name], attr.Name}
		if attr.After.Text != plan.Yes {
			slices.Reverse(way)
		}
		return strings.Join(way, " → ")
	case plan.AttrVersion:
		return attr.Before + " → " + attr.After.Text
	}
	if attr.Before == "" {
		return attr.Name + " " + attr.After.Text
	}
	return attr.Name + " " + attr.Before + " → " + attr.After.Text
}

// contentPhrase says how much of a file changes, where nothing else says why.
func (p *planText) contentPhrase(c plan.Change, t texts, alone bool) string {
	switch {
	case !changes(c, plan.AttrContent) || !newValue(c, plan.AttrContent).IsKnown():
		return ""
	case c.Resource.Sensitive:
		return "content changes (secret)"
	case !alone:
		return ""
	case !t.known:
		return cmp.Or(p.content, "content changes")
	}
	var removed, added []string
	for _, edit := range udiff.Lines(t.before, t.after) {
		removed = slices.AppendSeq(removed, strings.Lines(t.before[edit.Start:edit.End]))
		added = slices.AppendSeq(added, strings.Lines(edit.New))
	}
	if len(removed) == 1 && len(added) == 1 {
		if words, ok := oneLine(removed[0], added[0]); ok {
			return words
		}
	}
	return fmt.Sprintf("%s added, %d removed", plural(len(added), "line", "lines"), len(removed))
}

// maxOneLine is how long a phrase may be that shows a changed line itself, in
// columns: about what fits beside a short path on a narrow page.
const maxOneLine = 50

// oneLine shows how a single line changes: what stays in front, then both
// ends. False: that would be too long to read in passing.
func oneLine(before, after string) (string, bool) {
	trim := func(line string) []string { return strings.Fields(strings.TrimRight(strings.TrimSpace(line), ",;")) }
	x, y := trim(before), trim(after)
	same := 0
	for same < min(len(x), len(y))-1 && x[same] == y[same] {
		same++
	}
	words := strings.Join(x, " ") + " → " + strings.Join(y[same:], " ")
	return words, len(x) > 0 && len(y) > 0 && columns(words) <= maxOneLine
}

// unified prints the way from one text to another. A file that is new is shown
// as a whole.
func (v *view) unified(indent int, nameBefore, nameAfter, before, after string) {
	for line := range strings.Lines(udiff.Unified(nameBefore, nameAfter, before, after)) {
		color := map[byte]string{'+': green, '-': red, '@': cyan}[line[0]]
		line = v.out.paint(color, printable(strings.TrimSuffix(line, "\n"), "\t", v.ascii))
		v.out.printf("%s\n", strings.TrimRight(strings.Repeat(" ", indent)+line, " "))
	}
}
