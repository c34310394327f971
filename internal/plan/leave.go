package plan

import (
	"strconv"
	"strings"
)

// leaving plans what happens to everything in the manifest that is not wanted
// any more: what relayctl made goes, what it found stays and is forgotten. An
// original is put back also where nothing stands in its place.
func (d *differ) leaving() []Change {
	var changes []Change
	for id, fact := range d.facts {
		_, wanted := d.wanted[id]
		switch {
		case wanted:
		case fact.Applied != nil:
			changes = append(changes, d.leave(id, fact)...)
		case fact.Exists && id.Kind.Describe().Known && d.host.Role == RoleDeparted && !d.host.KeepTrust:
			changes = append(changes, Change{ID: id, Action: Remove, Fact: fact}) // stayed when all else went
		}
	}
	return changes
}

// leave plans what happens to one thing that is not wanted any more.
func (d *differ) leave(id ID, fact Fact) []Change {
	c := Change{ID: id, Action: Forget, Fact: fact}
	isDeparted := d.host.Role == RoleDeparted
	switch {
	case (wasDisplaced(fact) || isMovedAside(fact)) && d.host.GiveBack != nil && d.host.GiveBack(id):
		if c.Attributes = givenBack(fact); len(c.Attributes) > 0 {
			c.Action, c.Reasons = PutBack, []string{"as it was before apply " + strconv.Itoa(fact.Applied.Taken.Number)}
		}
	case wasDisplaced(fact) && !isDeparted, isMovedAside(fact) && !isDeparted:
		return nil // it is told for as long as the host belongs to the stack
	case isMovedAside(fact):
	case isDeparted && d.host.KeepTrust && id.Kind.Describe().Known:
		return []Change{c, {ID: id, Action: Attention, Fact: fact, Reasons: []string{"goes with --purge only"}}}
	case fact.Applied.Made && (fact.Exists || fact.Applied.Kept != ""):
		c.Action = Remove
		if c.Purge = d.host.GiveBack != nil && id.Kind == KindPackage; !c.Purge {
			c.Notes = stays(fact)
		}
		if unless := id.Kind.Describe().unless; unless != "" {
			c.Reasons = []string{unless}
		}
	}
	return []Change{c}
}

// givenBack is what giving back changes about something that was taken over.
func givenBack(fact Fact) []AttrChange {
	if fact.Kind == KindFile {
		if fact.Exists {
			return nil // somebody put something there since
		}
		return []AttrChange{{Name: AttrContent, After: Known("")}}
	}
	want := Resource{ID: fact.ID, Want: map[string]Value{}}
	for _, name := range []string{AttrEnabled, AttrRunning} {
		want.Want[name] = Known(fact.Applied.Taken.Before[name])
	}
	if !fact.Exists {
		return nil
	}
	return differences(want, fact)
}

// stays says what is left where a thing of ours goes.
func stays(fact Fact) []string {
	kind := fact.Kind.Describe()
	switch {
	case fact.Applied.Kept != "":
		return []string{"what stood there before is put back"}
	case kind.stays != "":
		return []string{kind.stays}
	case kind.Runs && fact.Applied.Taken != nil:
		return []string{"the unit that it hid stays off"}
	}
	return nil
}

// Left says in sentences what happens to what is only forgotten. What clients
// trust has a line of its own, and a unit goes with the package of its name.
func (h HostPlan) Left() []string {
	var asItIs, off []string
	goes := map[ID]bool{}
	for _, c := range h.Changes {
		goes[c.ID] = c.Action == Remove
	}
	for _, c := range h.Changes {
		switch {
		case c.Action != Forget, !c.Fact.Exists, c.ID.Kind.Describe().Known:
		case c.ID.Kind == KindUnit && goes[ID{KindPackage, strings.TrimSuffix(c.ID.Name, ".service")}]:
		case wasDisplaced(c.Fact) && c.Fact.Have[AttrEnabled] == No && c.Fact.Have[AttrRunning] == No:
			off = append(off, c.ID.short())
		default:
			asItIs = append(asItIs, c.ID.String())
		}
	}
	var texts []string
	if len(asItIs) > 0 {
		texts = append(texts, "found by relayctl, so left as it is: "+strings.Join(asItIs, ", "))
	}
	if len(off) > 0 {
		texts = append(texts, "turned off by relayctl, and stays off: "+strings.Join(off, ", "))
	}
	return texts
}
