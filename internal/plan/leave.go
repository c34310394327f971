package plan

// leaving plans what happens to everything in the manifest that is not wanted
// any more: what relayctl made goes, what it found stays and is forgotten.
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
		if fact.Exists && fact.Applied.Made {
			c.Action = Remove
			if fact.Applied.Kept != "" {
				c.Notes = append(c.Notes, "what stood there before is kept in "+fact.Applied.Kept)
			}
		}
		changes = append(changes, c)
	}
	return changes
}
