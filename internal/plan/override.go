package plan

import (
	"maps"
	"slices"
	"strings"
)

// Override is a file that has a unit start or read something else than the
// unit's own file says: a drop-in, say.
type Override struct {
	Path string `json:"path"`
	Says string `json:"says"` // what it does to the unit, for people
	// Instead says how somebody can leave the unit out of it on the host, where
	// the file is not to be moved: it is for other units as well, or comes from
	// a package. Empty: adopting moves it aside.
	Instead string `json:"instead,omitempty"`
}

// overridden plans what happens to files that override what our units start.
// They are never ours, whenever they came: that is what --adopt is for.
func (d *differ) overridden() []Change {
	found := map[ID]*Change{}
	for _, unit := range slices.SortedFunc(maps.Keys(d.wanted), compareIDs) {
		want := d.wanted[unit]
		for _, over := range d.fact(unit).Overrides {
			id := ID{KindFile, over.Path}
			c := found[id]
			if c == nil {
				c = &Change{ID: id, Fact: d.fact(id), Adoptable: true, Resource: &Resource{ID: id, Origin: want.Origin}}
				found[id] = c
			}
			c.Reasons = append(c.Reasons, over.Says)
			if over.Instead != "" {
				c.Adoptable = false
				c.Notes = append(c.Notes, over.Instead)
			}
		}
	}
	var changes []Change
	for _, id := range slices.SortedFunc(maps.Keys(found), compareIDs) {
		c := *found[id]
		if d.host.Adopt && c.Adoptable {
			c.Action, c.Adopt, c.Adoptable, c.Resource = Remove, true, false, nil
			c.Notes = append(c.Notes, "taken over; the original is kept on the host")
		} else {
			c.Action = Attention
			c.Block = "not made by relayctl; " + strings.Join(c.Reasons, "; ")
			c.Reasons = nil
		}
		changes = append(changes, c)
	}
	return changes
}

// overriddenUnit is a unit together with what overrides it: it has to start
// anew when that goes.
func overriddenUnit(want Resource, overrides []Override) Resource {
	if want.Unit == nil || len(overrides) == 0 {
		return want
	}
	unit := *want.Unit
	unit.Restart = slices.Clone(unit.Restart)
	for _, over := range overrides {
		unit.Restart = append(unit.Restart, ID{KindFile, over.Path})
	}
	want.Unit = &unit
	return want
}

// isMovedAside reports whether an earlier apply took a file of somebody else
// away, and nothing of ours took its place.
func isMovedAside(fact Fact) bool {
	return fact.Kind.Describe().Text && fact.Applied != nil && !fact.Applied.Made && fact.Applied.Taken != nil
}
