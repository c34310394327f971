package plan

import (
	"fmt"
)

// reasons says why a resource changes, where its attributes alone do not.
func reasons(c Change) []string {
	var list []string
	if c.Block != "" {
		return nil
	}
	if c.Fact.Exists && hasAttr(c.Attributes, AttrShown) {
		list = append(list, "never shown to anybody: made anew")
	}
	if c.Action == Update && c.Fact.Pristine && c.Fact.Applied == nil {
		list = append(list, "the package's own, never edited")
	}
	if c.Action == Update && isLink(c.Fact) {
		list = append(list, c.Fact.Detail+": a file takes its place")
	}
	if since := drift(c); since != "" {
		list = append(list, since)
	}
	return list
}

// drift tells a change on the host since the last apply from a change of the
// stack file; empty: there was none.
func drift(c Change) string {
	applied := c.Fact.Applied
	if applied == nil || c.Action == Take {
		return ""
	}
	if !c.Fact.Exists {
		return "removed on the host " + since(*applied)
	}
	for _, attr := range c.Attributes {
		left, known := applied.Have[attr.Name]
		if !known || left == attr.Before || attr.Name == AttrShown {
			continue
		}
		switch {
		case attr.Name == AttrRunning:
			continue // "stopped → running" says it all: no stack file wants one of ours stopped
		case attr.Name == AttrContent:
			return "edited on the host " + since(*applied)
		case attr.Name == AttrDigest:
			return "replaced on the host " + since(*applied)
		}
		return "changed on the host " + since(*applied)
	}
	return ""
}

func since(applied Applied) string {
	return fmt.Sprintf("since apply %d (%s UTC)", applied.Number, applied.Time.UTC().Format("2006-01-02 15:04"))
}

// anew calls attention to what is made in the place of a former one, whatever the
// reason, where people have to know: clients trust the certificate authority
// before.
func anew(want Resource, fact Fact) (Change, bool) {
	text := want.Kind.Describe().anew
	if text == "" || fact.Applied == nil && !fact.Exists {
		return Change{}, false
	}
	if fact.Exists && len(differences(want, fact)) == 0 {
		return Change{}, false
	}
	return Change{
		ID:       want.ID,
		Action:   Attention,
		Resource: &want,
		Fact:     fact,
		Reasons:  []string{text},
	}, true
}
