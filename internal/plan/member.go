package plan

import "slices"

// Remember adds hosts that are about to be worked on to those that are
// remembered. A machine whose name another one has taken meanwhile is
// remembered under its name and its address: there are still things of ours
// on it.
func Remember(remembered, reached []Member) []Member {
	var all []Member
	for _, before := range remembered {
		if slices.ContainsFunc(reached, before.isAt) {
			continue
		}
		if i := slices.IndexFunc(reached, func(m Member) bool { return m.Name == before.Name }); i >= 0 {
			if !before.isDisplacedBy(reached[i]) {
				continue
			}
			before.Name = before.Aside()
		}
		if !slices.ContainsFunc(all, func(m Member) bool { return m.Name == before.Name }) {
			all = append(all, before)
		}
	}
	return append(all, reached...)
}

// Aside is the name of a machine whose own name another one has: "gpu-1 at
// 10.0.0.21".
func (m Member) Aside() string { return m.Name + " at " + m.Address }

// isAt reports whether a machine is reached under whichever name. Clones share
// a machine-id, but no address, and behind other hops an address is another
// one.
func (m Member) isAt(other Member) bool {
	return m.MachineID != "" && m.MachineID == other.MachineID && m.Address == other.Address && m.Port == other.Port && m.Jump == other.Jump
}

// isDisplacedBy reports whether a host of the same name is another machine at
// another address. At the same one it has taken this one's place, so that
// nobody can reach that any more. Where nobody knows which machine it was, it
// may be another.
func (m Member) isDisplacedBy(other Member) bool {
	elsewhere := m.Address != other.Address || m.Jump != other.Jump
	return elsewhere && (m.MachineID == "" || m.MachineID != other.MachineID)
}
