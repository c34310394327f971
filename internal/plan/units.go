package plan

import (
	"fmt"
	"slices"
	"strings"
)

// restarts plans the restarts and reloads of a unit that follow from changes of
// what it reads, and from what it has not loaded while it runs. One that is
// started anyway takes all but what comes later than itself.
func (d *differ) restarts(want Resource, changes []Change, later map[point]bool) map[phase]Change {
	restarts := map[phase]Change{}
	own := slices.IndexFunc(changes, func(c Change) bool { return c.ID == want.ID })
	starts := own >= 0 && startsAnyway(changes[own])
	comes := d.fact(want.ID).Exists || starts && changes[own].Block == ""
	if want.Want[AttrRunning] != Known(Yes) || !comes || readsBlocked(want.Unit, changes) {
		return restarts
	}
	isLater := func(c Change) bool { return later[c.point()] }
	if c, ok := d.restart(want, d.fact(want.ID).Stale, slices.DeleteFunc(slices.Clone(changes), isLater)); ok && !starts {
		restarts[loaded] = c
	}
	isNow := func(c Change) bool { return !isLater(c) }
	if c, ok := d.restart(want, nil, slices.DeleteFunc(slices.Clone(changes), isNow)); ok {
		restarts[loadedAgain] = c
	}
	return restarts
}

// readsBlocked reports whether a unit reads a thing of somebody else that
// stands in the way: whether it has loaded that is not our matter yet.
func readsBlocked(unit *Unit, changes []Change) bool {
	return slices.ContainsFunc(changes, func(c Change) bool {
		return c.Block != "" && AnyCovers(unit.reads(), c.ID)
	})
}

// reads lists what a unit loads, its program included.
func (u *Unit) reads() []ID {
	ids := slices.Concat(u.Restart, u.Reload)
	if u.Program != nil {
		ids = append(ids, *u.Program)
	}
	return ids
}

// startsAnyway reports whether a unit's own change starts it, or may not be
// made at all.
func startsAnyway(c Change) bool {
	return c.Action == Create || c.Block != "" || hasAttr(c.Attributes, AttrRunning)
}

// restart plans the restart, else the reload, of one unit, because of changes
// and of what it runs without.
func (d *differ) restart(want Resource, missed []ID, changes []Change) (Change, bool) {
	restart := slices.Clone(want.Unit.Restart)
	if want.Unit.Program != nil {
		restart = append(restart, *want.Unit.Program)
	}
	c := Change{ID: want.ID, Resource: &want, Fact: d.fact(want.ID)}
	changed, stale := changedOf(restart, changes), staleBut(missed, want.Unit.Reload, restart)
	switch {
	case len(changed)+len(stale) > 0:
		c.Action = Restart
	default:
		c.Action = Reload
		changed, stale = changedOf(want.Unit.Reload, changes), missed
	}
	if c.Reasons = because(changed, stale); len(c.Reasons) == 0 {
		return Change{}, false
	}
	switch {
	case want.Unit.Lifecycle == LifecycleRelay && c.Action == Restart:
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
		if slices.ContainsFunc(changes, func(c Change) bool { return Covers(id, c.ID) && Replaces(c) }) {
			list = append(list, id)
		}
	}
	return list
}

// staleBut lists what a unit has not loaded and a reload would not load.
// Something that neither list names is restarted for, which is sure to help.
func staleBut(stale, reload, restart []ID) []ID {
	return slices.DeleteFunc(slices.Clone(stale), func(id ID) bool {
		return AnyCovers(reload, id) && !AnyCovers(restart, id)
	})
}

// Covers reports whether id is other, or a folder that the file other stands in.
func Covers(id, other ID) bool {
	return id == other ||
		id.Kind.Describe().Folder && other.Kind.Describe().Text && strings.HasPrefix(other.Name, id.Name+"/")
}

// AnyCovers reports whether one of some things covers another.
func AnyCovers(ids []ID, other ID) bool {
	return slices.ContainsFunc(ids, func(id ID) bool { return Covers(id, other) })
}

// Replaces reports whether a change is one that a running service has to load:
// the owner or the mode of what it has loaded already does not matter to it.
func Replaces(c Change) bool {
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
		return AnyCovers(changed, id)
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
