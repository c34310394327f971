package plan

import (
	"fmt"
	"slices"
	"strings"
)

// restarts plans the restarts and reloads that follow from the other changes,
// and from what running units have not loaded. A unit that is started anyway
// needs neither.
func (d *differ) restarts(changes []Change) []Change {
	starting := map[ID]bool{}
	for _, c := range changes {
		if c.ID.Kind == KindUnit && startsAnyway(c) {
			starting[c.ID] = true
		}
	}
	var list []Change
	for id, want := range d.wanted {
		runs := want.Want[AttrRunning] == Known(Yes) && d.facts[id].Exists
		if id.Kind != KindUnit || want.Unit == nil || !runs || starting[id] || readsBlocked(want.Unit, changes) {
			continue
		}
		if c, ok := d.restart(want, changes); ok {
			list = append(list, c)
		}
	}
	return list
}

// readsBlocked reports whether a unit reads a thing of somebody else that
// stands in the way: whether it has loaded that is not our matter yet.
func readsBlocked(unit *Unit, changes []Change) bool {
	return slices.ContainsFunc(changes, func(c Change) bool {
		return c.Block != "" && slices.ContainsFunc(slices.Concat(unit.Restart, unit.Reload), func(id ID) bool { return covers(id, c.ID) })
	})
}

// startsAnyway reports whether a unit's own change starts it, or may not be
// made at all.
func startsAnyway(c Change) bool {
	return c.Action == Create || c.Block != "" || hasAttr(c.Attributes, AttrRunning)
}

// restart plans the restart, else the reload, of one running unit.
func (d *differ) restart(want Resource, changes []Change) (Change, bool) {
	fact := d.fact(want.ID)
	restart := slices.Clone(want.Unit.Restart)
	if want.Unit.Program != nil {
		restart = append(restart, *want.Unit.Program)
	}
	c := Change{ID: want.ID, Resource: &want, Fact: fact}
	changed, stale := changedOf(restart, changes), staleBut(fact.Stale, want.Unit.Reload, restart)
	switch {
	case len(changed)+len(stale) > 0:
		c.Action = Restart
	default:
		c.Action = Reload
		changed, stale = changedOf(want.Unit.Reload, changes), fact.Stale
	}
	if c.Reasons = because(changed, stale); len(c.Reasons) == 0 {
		return Change{}, false
	}
	switch {
	case want.Unit.Relay && c.Action == Restart:
		c.Drops = d.host.WorkerConnections
	case want.Unit.Drain != "":
		c.Drops = d.host.WorkerConnections - d.host.DirectConnections
	}
	return c, true
}

// changedOf lists those of ids whose content changes. A directory stands for
// every file below it.
func changedOf(ids []ID, changes []Change) []ID {
	var list []ID
	for _, id := range ids {
		if slices.ContainsFunc(changes, func(c Change) bool { return covers(id, c.ID) && replaces(c) }) {
			list = append(list, id)
		}
	}
	return list
}

// staleBut lists what a unit has not loaded and a reload would not load.
// Something that neither list names is restarted for, which is sure to help.
func staleBut(stale, reload, restart []ID) []ID {
	return slices.DeleteFunc(slices.Clone(stale), func(id ID) bool {
		in := func(list []ID) bool {
			return slices.ContainsFunc(list, func(one ID) bool { return covers(one, id) })
		}
		return in(reload) && !in(restart)
	})
}

func covers(id, other ID) bool {
	return id == other ||
		id.Kind == KindDirectory && other.Kind == KindFile && strings.HasPrefix(other.Name, id.Name+"/")
}

// replaces reports whether a change is one that a running service has to load:
// the owner or the mode of what it has loaded already does not matter to it.
func replaces(c Change) bool {
	switch c.Action {
	case Create, Remove:
		return true
	case Update:
		return slices.ContainsFunc(c.Attributes, func(a AttrChange) bool {
			return !slices.Contains([]string{AttrMode, AttrOwner, AttrGroup, AttrEnabled}, a.Name)
		})
	}
	return false
}

// because gives the reasons of a restart: what changes now, and what changed
// before and was not loaded.
func because(changed, stale []ID) []string {
	var reasons []string
	if len(changed) > 0 {
		reasons = append(reasons, fmt.Sprintf("because %s %s", names(changed), verb(changed, "changes", "change")))
	}
	missed := slices.DeleteFunc(slices.Clone(stale), func(id ID) bool {
		return slices.ContainsFunc(changed, func(one ID) bool { return covers(one, id) })
	})
	if len(missed) > 0 {
		reasons = append(reasons, fmt.Sprintf("runs without the present %s", names(missed)))
	}
	return reasons
}

func verb(ids []ID, one, many string) string {
	if len(ids) == 1 {
		return one
	}
	return many
}

// names lists things in a sentence, each once and in the order of work.
func names(ids []ID) string {
	ids = slices.Clone(ids)
	slices.SortFunc(ids, compareIDs)
	var words []string
	for _, id := range slices.Compact(ids) {
		words = append(words, id.short())
	}
	return Sentence(words)
}
