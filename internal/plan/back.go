package plan

import (
	"fmt"
	"maps"
	"slices"
)

// Former is a thing as it was before the applies that are undone, by the record
// of its host.
type Former struct {
	ID
	Before Fact `json:"before"` // as the first of their changes found it: Exists and Have
	Left   Fact `json:"left"`   // as the last of them left it
	// Kept is where the host keeps what a file or a program was; empty: there
	// was none, or only its owner or mode changed.
	Kept string `json:"kept,omitempty"`
	// Lost is why it can't be brought back as it was; empty: it can.
	Lost string `json:"lost,omitempty"`
	// Entry is what the manifest said of it then; nil: it was not ours.
	Entry *Applied `json:"entry,omitempty"`
}

// Back is the host as its record says that it was: what a Diff has to lead to
// so that the applies that changed formers are undone. Credentials stay as they
// are: what was made since, and what was revoked or rotated. The notes say what
// else stays for that reason.
func Back(h Host, formers []Former) (host Host, notes []Change) {
	b := back{facts: map[ID]Fact{}, formers: map[ID]Former{}, gone: map[ID]bool{}}
	for _, fact := range h.Facts.Resources {
		b.facts[fact.ID] = fact
	}
	for _, former := range formers {
		b.formers[former.ID] = former
	}
	var want []Resource
	for _, entry := range b.manifest(h.Facts.Manifest) {
		if resource, ok := b.resource(entry); ok {
			want = append(want, resource)
		}
	}
	h.Want = b.without(want)
	h.Facts.Resources = b.touched(h)
	h.Adopt = true // only what the record tells of was checked to be as it left it
	h.GiveBack = func(id ID) bool {
		former, ok := b.formers[id]
		return ok && former.Entry == nil
	}
	h.Ports = nil
	return h, append(b.notes, b.edited()...)
}

// back works out how a host was.
type back struct {
	facts   map[ID]Fact
	formers map[ID]Former
	gone    map[ID]bool // what does not come back
	notes   []Change
}

// manifest lists the entries of then, by their order of work and name.
func (b *back) manifest(present *Manifest) []Applied {
	entries := map[ID]Applied{}
	if present != nil {
		for _, entry := range present.Resources {
			entries[entry.ID] = entry
		}
	}
	for id, former := range b.formers {
		stays := id.Kind.Describe().Credential || id == hostProgram
		switch {
		case former.Entry == nil && former.isFound():
			entries[id] = Applied{ID: id}
		case former.Entry == nil && !(stays && b.facts[id].Exists):
			delete(entries, id)
		case former.Entry != nil:
			entry := *former.Entry
			if entry.As == nil {
				entry.As = entries[id].As
			}
			entries[id] = entry
		}
	}
	return slices.SortedFunc(maps.Values(entries), func(x, y Applied) int { return compareIDs(x.ID, y.ID) })
}

// isFound reports whether a thing was somebody else's, and has only another owner
// or mode now, which go back.
func (f Former) isFound() bool {
	kind := f.Kind.Describe()
	return (kind.Text || kind.Folder) && f.Kept == "" && f.Before.Exists && f.Left.Exists && !isAs(f.Left, f.Before)
}

// resource is a thing as it was. False: it was not there, or does not come back.
func (b *back) resource(entry Applied) (Resource, bool) {
	resource := Resource{ID: entry.ID}
	if entry.As != nil {
		resource = *entry.As
	}
	former, changed := b.formers[entry.ID]
	fact := b.facts[entry.ID]
	switch {
	case entry.Kind.Describe().Credential, entry.ID == hostProgram:
		return b.credential(resource, former)
	case resource.From != nil:
		return b.rendered(resource)
	case !changed:
		resource.Want = asItIs(resource, fact)
		return resource, fact.Exists
	case !former.Before.Exists:
		return resource, false
	}
	resource.Want, resource.Kept = asItIs(resource, former.Before), former.Kept
	if resource.Grants && resource.Want[AttrContent] == (Value{}) {
		b.note(entry.ID, "named a worker whose secret was revoked: stays away until its block is applied again")
		b.gone[entry.ID] = true
		return resource, false
	}
	return resource, true
}

// credential is a CA, a secret or a key, which stays as it is.
func (b *back) credential(resource Resource, former Former) (Resource, bool) {
	fact := b.facts[resource.ID]
	resource.From = nil
	resource.Want = asItIs(resource, fact)
	switch {
	case !fact.Exists:
		b.gone[resource.ID] = true
		b.note(resource.ID, "was revoked since: stays revoked")
		return resource, false
	case former.Before.Exists && resource.Kind == KindCA && former.Before.Have[AttrPublic] != fact.Have[AttrPublic]:
		b.notes = append(b.notes, Change{
			ID: resource.ID, Action: Attention, Fact: fact,
			Block: "was made anew since, for " + fact.Have[AttrDomain] + ", and does not go back; change the stack file and apply",
		})
	case former.Before.Exists && former.Before.Have[AttrPublic] != fact.Have[AttrPublic],
		former.Before.Exists && resource.Kind == KindKey && former.Before.Have[AttrDigest] != fact.Have[AttrDigest]:
		b.note(resource.ID, "was rotated since: stays so")
	}
	return resource, true
}

// rendered is a file that its host fills with a credential. It holds what it
// does now: a worker goes on with the secret by which it is known. One that has
// gone is made anew.
func (b *back) rendered(resource Resource) (Resource, bool) {
	if fact := b.facts[resource.ID]; fact.Exists {
		resource.Want = asItIs(resource, fact)
		return resource, true
	}
	source := b.facts[resource.source()]
	if !source.Exists {
		b.gone[resource.ID] = true
		return resource, false
	}
	resource.Want = maps.Clone(resource.Want)
	resource.Want[AttrContent] = Known(source.Have[AttrMAC])
	return resource, true
}

// without leaves out the units that would read what does not come back.
func (b *back) without(want []Resource) []Resource {
	return slices.DeleteFunc(want, func(r Resource) bool {
		return r.Unit != nil && slices.ContainsFunc(r.Unit.Restart, func(id ID) bool { return b.gone[id] }) ||
			r.Unit != nil && slices.ContainsFunc(r.Unit.Reload, func(id ID) bool { return b.gone[id] })
	})
}

// touched are the facts without those of things that nothing has changed since
// and that are away just now: they stay ours.
func (b *back) touched(h Host) []Fact {
	return slices.DeleteFunc(slices.Clone(h.Facts.Resources), func(fact Fact) bool {
		_, changed := b.formers[fact.ID]
		isWanted := slices.ContainsFunc(h.Want, func(r Resource) bool { return r.ID == fact.ID })
		return !fact.Exists && !changed && !isWanted
	})
}

// edited lists what somebody changed since the last of the applies, and what
// can't come back: that stops the going back.
func (b *back) edited() []Change {
	var changes []Change
	for _, former := range b.formers {
		if block := b.block(former); block != "" {
			changes = append(changes, Change{ID: former.ID, Action: Attention, Fact: b.facts[former.ID], Block: block})
		}
	}
	slices.SortFunc(changes, func(x, y Change) int { return compareIDs(x.ID, y.ID) })
	return changes
}

// block is what keeps a thing from going back; empty: nothing.
func (b *back) block(former Former) string {
	fact, kind := b.facts[former.ID], former.Kind.Describe()
	isEdited := !isAs(fact, former.Left)
	switch {
	case kind.Credential, isAs(fact, former.Before): // that stays, or is undone already
		return ""
	case fact.Exists && !kind.Runs && isEdited: // that a unit stopped or started by itself is no edit
		return "edited on the host since it was applied; undo that first, or apply"
	case !fact.Exists && fact.Applied == nil: // it was not ours any more when it went, with its package or its file
		return former.Lost
	case !fact.Exists && former.Left.Exists && former.Entry != nil && former.Before.Have[AttrRunning] != No: // else it may have gone with its package, or ended
		return "removed on the host since it was applied; undo that first, or apply"
	}
	return former.Lost
}

// isAs reports whether a thing is as it was, as far as that is told.
func isAs(fact, was Fact) bool {
	for name, value := range was.Have {
		if have, told := fact.Have[name]; told && have != value {
			return false
		}
	}
	return fact.Exists == was.Exists
}

func (b *back) note(id ID, reason string) {
	b.notes = append(b.notes, Change{ID: id, Action: Attention, Fact: b.facts[id], Reasons: []string{reason}})
}

// asItIs wants of a thing what a fact says of it: that of it which resources
// have a say in.
func asItIs(resource Resource, fact Fact) map[string]Value {
	want := map[string]Value{}
	for name, value := range fact.Have {
		if _, asked := resource.Want[name]; asked || resource.Want == nil {
			want[name] = Known(value)
		}
	}
	return want
}

// hostProgram does the going back itself, and stays.
var hostProgram = ID{KindProgram, "relay-host"}

// BackTo says in a phrase where going back to the end of an apply leads.
func BackTo(number int) string {
	if number == 0 {
		return "how it was before the first apply"
	}
	return fmt.Sprintf("how it was after apply %d", number)
}
