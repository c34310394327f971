package plan

import (
	"cmp"
	"slices"
)

// Diff says what has to be done on one host, in the order of work. An error
// names a circle of things of which each has to come after the next.
func Diff(h Host) (HostPlan, error) {
	d := newDiffer(h)
	todo := d.displaced()
	todo = append(todo, d.overridden()...)
	todo = append(todo, d.wantedChanges()...)
	todo = append(todo, d.leaving()...)
	todo = append(todo, d.offMeanwhile(todo)...)
	todo, err := d.inOrder(todo)
	if err != nil {
		return HostPlan{}, err
	}
	return HostPlan{
		Name:      h.Name,
		Address:   h.Address,
		Role:      h.Role,
		Worker:    h.Worker,
		Machine:   h.Facts.Machine,
		New:       h.Facts.Manifest == nil,
		Changes:   todo,
		Unchanged: d.unchanged(todo),
	}, nil
}

// differ is one host with its resources and facts by name.
type differ struct {
	host   Host
	facts  map[ID]Fact
	wanted map[ID]Resource
}

func newDiffer(h Host) *differ {
	d := &differ{host: h, facts: map[ID]Fact{}, wanted: map[ID]Resource{}}
	for _, fact := range h.Facts.Resources {
		d.facts[fact.ID] = fact
	}
	for _, want := range h.Want {
		d.wanted[want.ID] = overriddenUnit(want, d.fact(want.ID).Overrides)
	}
	return d
}

// fact is what was found of id; a thing that was not looked at does not exist.
func (d *differ) fact(id ID) Fact {
	fact := d.facts[id]
	fact.ID = id
	return fact
}

func (d *differ) wantedChanges() []Change {
	var changes []Change
	for _, want := range d.wanted {
		if change, ok := d.change(want); ok {
			changes = append(changes, change)
		}
		if note, ok := anew(want, d.fact(want.ID)); ok {
			changes = append(changes, note)
		}
	}
	return changes
}

// change is what has to be done about one resource; false: nothing.
func (d *differ) change(want Resource) (Change, bool) {
	fact := d.fact(want.ID)
	c := Change{ID: want.ID, Resource: &want, Fact: fact, Attributes: differences(want, fact)}
	switch {
	case !fact.Exists && mayBeAbsent(want):
		return Change{}, false
	case !fact.Exists:
		c.Action = Create
	case d.isInTheWay(want, fact, c.Attributes):
		c.Action, c.Block = Attention, fact.InWay
	case len(c.Attributes) == 0 && fact.Applied == nil:
		c.Action = Take
	case len(c.Attributes) == 0:
		return Change{}, false
	case d.isForeign(want, fact, c.Attributes):
		takeOver(&c, d.host.Adopt)
		c.Notes = append(c.Notes, outOfService(want, fact)...)
	default:
		c.Action = Update
		c.Adopt = isOff(want) && fact.Applied == nil // it was taken over once, and given back
	}
	c.Reasons = append(c.Reasons, reasons(c)...)
	return c, true
}

// mayBeAbsent reports whether a thing that does not exist is as it should be:
// a unit that should be off.
func mayBeAbsent(want Resource) bool {
	for _, value := range want.Want {
		if value != Known(No) {
			return false
		}
	}
	return len(want.Want) > 0
}

// differences lists the attributes that are not as they should be, by name. An
// attribute that the apply has yet to make always differs. The mode of a link
// says nothing: its content differs in any case.
func differences(want Resource, fact Fact) []AttrChange {
	var list []AttrChange
	for name, value := range want.Want {
		before, found := fact.Have[name]
		isRight := found && fact.Exists && value.IsKnown() && value.Text == before
		if isRight || name == AttrMode && isLink(fact) {
			continue
		}
		list = append(list, AttrChange{Name: name, Before: before, After: value})
	}
	slices.SortFunc(list, func(a, b AttrChange) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// isLink reports whether a symbolic link stands in the place of a file: a host
// tells nothing else of a file that is not in the way.
func isLink(fact Fact) bool {
	return fact.Kind.Describe().Text && fact.Detail != "" && fact.InWay == ""
}

// isForeign reports whether somebody else made what stands where want should
// be. Only what would be lost by a change counts: a file's content, and a unit
// that the wanted unit file would hide.
func (d *differ) isForeign(want Resource, fact Fact, differ []AttrChange) bool {
	if fact.Applied != nil || fact.Pristine {
		return false
	}
	if d.comesFromUs(want) {
		return !d.fact(unitFile(want.Name)).Exists
	}
	return want.Kind.Describe().Text && hasAttr(differ, AttrContent)
}

// isInTheWay reports whether apply can do nothing about a thing as it is. A
// unit that should be off may well be masked.
func (d *differ) isInTheWay(want Resource, fact Fact, differ []AttrChange) bool {
	isOff := want.Kind.Describe().Runs && len(differ) == 0
	return fact.InWay != "" && !isOff && !d.comesFromUs(want)
}

// comesFromUs reports whether a unit's file is brought by relayctl, which
// clears what was done to the unit.
func (d *differ) comesFromUs(want Resource) bool {
	_, ours := d.wanted[unitFile(want.Name)]
	return want.Kind.Describe().Runs && ours
}

// takeOver plans what is done about a thing of somebody else.
func takeOver(c *Change, adopt bool) {
	if adopt {
		c.Action, c.Adopt = Update, true
		note := "taken over; the original is kept on the host"
		if c.Hides() {
			note = "ours takes its place; its own file stays as it is"
		}
		c.Notes = append(c.Notes, note)
		return
	}
	c.Action, c.Adoptable = Attention, true
	c.Block = "not made by relayctl"
	if isLink(c.Fact) {
		c.Block += "; it " + c.Fact.Detail
	}
}

// Hides reports whether a unit of ours would hide one of somebody else by its
// name.
func (c Change) Hides() bool {
	return c.ID.Kind.Describe().Runs && c.Resource != nil && c.Resource.Want[AttrRunning] == Known(Yes)
}

// unchanged counts the wanted resources that no change touches.
func (d *differ) unchanged(changes []Change) int {
	touched := map[ID]bool{}
	for _, c := range changes {
		if c.Counts() || c.Block != "" {
			touched[c.ID] = true
		}
	}
	count := 0
	for id := range d.wanted {
		if !touched[id] {
			count++
		}
	}
	return count
}

func hasAttr(list []AttrChange, name string) bool {
	return slices.ContainsFunc(list, func(a AttrChange) bool { return a.Name == name })
}
