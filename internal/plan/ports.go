package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// displaced plans what happens to those who are in the way of our units: a
// unit that holds a port, and one that was adopted before and must stay off. A
// process of no unit can only be pointed at.
func (d *differ) displaced() []Change {
	units := map[string]*Change{}
	var changes []Change
	for _, port := range d.host.Ports {
		for _, l := range d.host.Facts.Listeners {
			if l.Port != port.Number || !overlap(l.Address, port.Addr) || d.isOurs(l.Unit) {
				continue
			}
			if l.Unit == "" {
				changes = append(changes, portTaken(port, l))
				continue
			}
			if units[l.Unit] == nil {
				units[l.Unit] = &Change{ID: ID{KindUnit, l.Unit}, Fact: d.fact(ID{KindUnit, l.Unit})}
			}
			units[l.Unit].addReason(fmt.Sprintf("holds port %d, which %s needs", port.Number, unitName(port.Unit)), port.Origin)
		}
	}
	for _, c := range units {
		d.displace(c)
		changes = append(changes, *c)
	}
	return append(uniqueChanges(changes), d.keptOff(units)...)
}

// isOurs reports whether a unit is wanted, or was made by relayctl and is
// about to go.
func (d *differ) isOurs(unit string) bool {
	id := ID{KindUnit, unit}
	_, wanted := d.wanted[id]
	applied := d.facts[id].Applied
	return wanted || applied != nil && applied.Made
}

func (c *Change) addReason(reason string, origin Origin) {
	if !slices.Contains(c.Reasons, reason) {
		c.Reasons = append(c.Reasons, reason)
		slices.Sort(c.Reasons)
	}
	if c.Resource == nil || lessOrigin(origin, c.Resource.Origin) {
		c.Resource = off(c.ID, origin)
	}
}

func lessOrigin(a, b Origin) bool {
	return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Block, b.Block)) < 0
}

// off is a unit that should neither run nor start by itself.
func off(id ID, origin Origin) *Resource {
	return &Resource{ID: id, Want: map[string]Value{AttrEnabled: Known(No), AttrRunning: Known(No)}, Origin: origin}
}

// displace decides what is done about a unit that holds a port of ours.
func (d *differ) displace(c *Change) {
	c.Attributes = differences(*c.Resource, c.Fact)
	if d.host.Adopt || d.isDisplaced(c.Fact) {
		c.Action, c.Adopt = Update, true
		return
	}
	c.Action, c.Adoptable = Attention, true
	c.Block = "not ours; " + strings.Join(c.Reasons, "; ")
	c.Reasons = nil
}

// isDisplaced reports whether an earlier apply turned off a unit of somebody
// else. It is kept so for as long as the host belongs to the stack.
func (d *differ) isDisplaced(fact Fact) bool {
	return d.host.Role != RoleDeparted && fact.Kind == KindUnit && fact.Applied != nil &&
		!fact.Applied.Made && fact.Applied.Have[AttrEnabled] == No && fact.Applied.Have[AttrRunning] == No
}

// keptOff turns off what was displaced before and came back since, but for
// those that already hold a port again.
func (d *differ) keptOff(planned map[string]*Change) []Change {
	var changes []Change
	for id, fact := range d.facts {
		_, wanted := d.wanted[id]
		if wanted || planned[id.Name] != nil || !d.isDisplaced(fact) || !fact.Exists {
			continue
		}
		want := off(id, Origin{})
		attrs := differences(*want, fact)
		if len(attrs) == 0 {
			continue
		}
		c := Change{ID: id, Action: Update, Resource: want, Fact: fact, Attributes: attrs, Adopt: true}
		c.Reasons = []string{"taken over before; " + drift(c)}
		changes = append(changes, c)
	}
	return changes
}

// portTaken calls attention to a process that no unit runs, so that nobody can
// tell how to keep it away.
func portTaken(port Port, l Listener) Change {
	id := ID{KindPort, fmt.Sprint(port.Number)}
	who := cmp.Or(l.Process, "a process")
	if l.PID > 0 {
		who += fmt.Sprintf(" (pid %d)", l.PID)
	}
	who += ", which no unit runs"
	if l.PID == 1 {
		who = "a socket unit (systemctl list-sockets names it)"
	}
	return Change{
		ID:       id,
		Action:   Attention,
		Resource: &Resource{ID: id, Origin: port.Origin},
		Fact:     Fact{ID: id, Exists: true},
		Block:    fmt.Sprintf("held by %s; %s needs it", who, unitName(port.Unit)),
	}
}

// uniqueChanges drops what is said twice: a process that listens on IPv4 and
// IPv6 is one.
func uniqueChanges(changes []Change) []Change {
	slices.SortFunc(changes, func(a, b Change) int {
		return cmp.Or(compareIDs(a.ID, b.ID), cmp.Compare(a.Block, b.Block))
	})
	return slices.CompactFunc(changes, func(a, b Change) bool { return a.ID == b.ID && a.Block == b.Block })
}

// overlap reports whether listening on one address keeps another from it. All
// addresses clash with every one; those of IPv4 do not clash with one of IPv6.
func overlap(a, b string) bool {
	x, xAll := address(a)
	y, yAll := address(b)
	switch {
	case xAll && yAll:
		return true
	case xAll:
		return !x.Is4() || y.Is4()
	case yAll:
		return !y.Is4() || x.Is4()
	}
	return x == y
}

// address parses an address to bind to; what is none counts as all addresses,
// so that a clash is rather seen than missed.
func address(text string) (addr netip.Addr, all bool) {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.IPv6Unspecified(), true
	}
	addr = addr.Unmap().WithZone("")
	return addr, addr.IsUnspecified()
}
