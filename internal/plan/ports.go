package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// holders adds the units that hold ports of ours to those that are in the way.
// What no unit runs, and what only a unit that stays on could give up, is
// returned: that can only be pointed at.
func (d *differ) holders(w *wayside) []Change {
	type hold struct{ holder, needs string }
	held := map[hold][]Port{}
	var taken []Change
	for _, port := range d.host.Ports {
		for _, l := range d.host.Facts.Listeners {
			if l.Port != port.Number || !overlap(l.Address, port.Addr) || d.isOurs(l.Unit) {
				continue
			}
			if l.Unit == "" || staysOn(l.Unit) {
				taken = append(taken, portTaken(port, l))
				continue
			}
			held[hold{l.Unit, port.Unit}] = append(held[hold{l.Unit, port.Unit}], port)
		}
	}
	for one, ports := range held {
		for _, port := range ports {
			w.add(one.holder, fmt.Sprintf("holds %s, which %s needs", portNumbers(ports), unitName(one.needs)), port.Origin)
		}
	}
	return uniqueChanges(taken)
}

// portNumbers names ports in a sentence.
func portNumbers(ports []Port) string {
	var numbers []int
	for _, port := range ports {
		numbers = append(numbers, port.Number)
	}
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	if len(numbers) == 1 {
		return fmt.Sprintf("port %d", numbers[0])
	}
	var words []string
	for _, number := range numbers {
		words = append(words, fmt.Sprint(number))
	}
	return "ports " + Sentence(words)
}

// isOurs reports whether a unit is wanted, or was made by relayctl and is
// about to go.
func (d *differ) isOurs(unit string) bool {
	id := ID{KindUnit, unit}
	_, wanted := d.wanted[id]
	applied := d.facts[id].Applied
	return wanted || applied != nil && applied.Made
}

// portTaken calls attention to a process that can't be turned off with a unit.
func portTaken(port Port, l Listener) Change {
	id := ID{KindPort, fmt.Sprint(port.Number)}
	who := cmp.Or(l.Process, "a process")
	if l.PID > 0 {
		who += fmt.Sprintf(" (pid %d)", l.PID)
	}
	switch {
	case l.Unit != "":
		who += " of unit " + unitName(l.Unit) + ", which stays on"
	case l.PID == 1:
		who = "a socket unit (systemctl list-sockets names it)"
	default:
		who += ", which no unit runs"
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
