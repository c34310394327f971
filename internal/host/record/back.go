package record

import (
	"fmt"
	"slices"

	"github.com/relayctl/relayctl/internal/plan"
)

// Oldest is the number of the oldest apply that one can go back to the end of.
func (j *Journal) Oldest() int { return j.fold.oldest }

// Last is the number of the last apply that changed anything here and is
// remembered; 0: none is.
func (j *Journal) Last() int {
	changing := j.fold.changing()
	if len(changing) == 0 {
		return 0
	}
	return changing[len(changing)-1]
}

// Formers reads the journal backwards to the end of an apply: how the things
// were then that later ones changed, in the order in which they were changed.
func (j *Journal) Formers(to int) ([]plan.Former, error) {
	if to < j.fold.oldest {
		return nil, fmt.Errorf("the record goes back to apply %d, and no further", j.fold.oldest)
	}
	return formersOf(j.fold.changes, func(one *made) bool { return one.number > to }), nil
}

// Recent is a thing that the apply that runs has changed.
type Recent struct {
	plan.Former
	First int // sequence of the first of its changes, for Change.Undoes
}

// Since lists what the apply that runs has changed since a unit was last seen to
// run with all its files.
func (j *Journal) Since(unit string) []Recent {
	since := j.fold.loaded[unit].Sequence
	begun, _ := j.Begun()
	counts := func(one *made) bool { return one.number == begun.Number && one.at > since }
	var recent []Recent
	for _, former := range formersOf(j.fold.changes, counts) {
		first := slices.IndexFunc(j.fold.changes, func(one *made) bool { return counts(one) && one.ID == former.ID && !one.isUntouched() })
		recent = append(recent, Recent{former, j.fold.changes[first].at})
	}
	return recent
}

func formersOf(changes []*made, counts func(*made) bool) []plan.Former {
	var formers []plan.Former
	for _, one := range changes {
		if !counts(one) || one.isUntouched() {
			continue
		}
		at := slices.IndexFunc(formers, func(f plan.Former) bool { return f.ID == one.ID })
		if at < 0 {
			at = len(formers)
			formers = append(formers, plan.Former{ID: one.ID, Before: one.Before, Left: one.Before, Kept: one.Kept, Entry: one.entry})
		}
		former := &formers[at]
		if former.Kept == "" && former.Before.Exists {
			former.Kept = one.Kept // its content is replaced only now
		}
		if one.changed != nil {
			former.Left = one.changed.Left
		}
	}
	return formers
}

// Version is a file as it stood before a change of its content.
type Version struct {
	Kept    string // where that is kept; empty: it was not there
	Undoing bool   // the change undid others
}

// Commands whose applies undo others.
const (
	Rollback = "rollback"
	Restore  = "restore" // by relay-host alone
)

// Versions lists what a thing was before each change of its content, from the
// one that is kept at a place on.
func (j *Journal) Versions(id plan.ID, kept string) []Version {
	var versions []Version
	for _, one := range j.fold.changes {
		isSame := one.changed != nil && one.changed.Same
		if one.ID == id && (len(versions) > 0 || one.Kept == kept) && !one.isUntouched() && !isSame {
			versions = append(versions, Version{one.Kept, one.command == Rollback || one.command == Restore})
		}
	}
	return versions
}

// isUntouched reports whether a change failed before it did anything.
func (m *made) isUntouched() bool { return m.changed != nil && m.changed.Untouched }

// Kept lists where the record says that something is kept.
func (j *Journal) Kept() map[string]bool {
	kept := map[string]bool{}
	for _, one := range j.fold.changes {
		kept[one.Kept] = true
	}
	if m := j.fold.manifest; m != nil {
		for _, entry := range m.Resources {
			kept[entry.Kept] = true
		}
	}
	delete(kept, "")
	return kept
}

// IsPackaged reports whether what is kept at a place is a package's own, which
// nobody edited.
func (j *Journal) IsPackaged(kept string) bool {
	return slices.ContainsFunc(j.fold.changes, func(one *made) bool { return one.Kept == kept && one.Before.Pristine })
}
