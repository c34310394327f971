package plan

import "strings"

// leaving plans what happens to everything in the manifest that is not wanted
// any more: what relayctl made goes, what it found stays and is forgotten. An
// original is put back also where nothing stands in its place.
func (d *differ) leaving() []Change {
	var changes []Change
	for id, fact := range d.facts {
		if _, wanted := d.wanted[id]; wanted || fact.Applied == nil || d.isDisplaced(fact) {
			continue
		}
		c := Change{ID: id, Action: Forget, Fact: fact}
		if isMovedAside(fact) {
			if d.host.Role != RoleDeparted {
				continue // it is told for as long as the host belongs to the stack
			}
			changes = append(changes, c)
			continue
		}
		if fact.Applied.Made && (fact.Exists || fact.Applied.Kept != "") {
			c.Action = Remove
			c.Notes = stays(fact)
			if unless := id.Kind.Describe().unless; unless != "" {
				c.Reasons = []string{unless}
			}
		}
		changes = append(changes, c)
	}
	return changes
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

// left says in sentences what happens to what is only forgotten.
func (h HostPlan) left() []string {
	var asItIs, off []string
	for _, c := range h.Changes {
		switch {
		case c.Action != Forget || !c.Fact.Exists:
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
