package record

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/relayctl/relayctl/internal/plan"
)

// Manifest is what is ours on the host; nil where relayctl was never applied.
// It is the caller's.
func (j *Journal) Manifest() *plan.Manifest {
	if j.fold.manifest == nil {
		return nil
	}
	m := *j.fold.manifest
	m.Resources, m.Hosts = slices.Clone(m.Resources), slices.Clone(m.Hosts)
	return &m
}

// Entry is the manifest's of a thing; nil: it is not ours.
func (j *Journal) Entry(id plan.ID) *plan.Applied { return Find(j.fold.manifest, id) }

// IsNewer reports whether a newer relayctl wrote the journal, which this one
// can't make sense of.
func (j *Journal) IsNewer() bool {
	return j.fold.schema > schema || j.fold.manifest != nil && j.fold.manifest.Schema > schema
}

// Begun is the apply that has begun and not ended: it runs, or it was cut off.
func (j *Journal) Begun() (Apply, bool) {
	if j.fold.open == nil {
		return Apply{}, false
	}
	return j.fold.open.Apply, true
}

// Next is the least number that the next apply may have.
func (j *Journal) Next() int {
	next := j.fold.last + 1
	if j.fold.manifest != nil {
		next = max(next, j.fold.manifest.Number+1)
	}
	return next
}

// Begin writes down that an apply begins.
func (j *Journal) Begin(apply Apply) error { return j.write(line{Begin: &apply}) }

// SetHosts writes down which other hosts of the stack there are.
func (j *Journal) SetHosts(members []plan.Member) error {
	return j.write(line{Hosts: &hosts{members}})
}

// Change writes down that a change is about to be made. One that changes the
// host is on the disk when Change returns.
func (j *Journal) Change(change Change) error {
	change.Before = asFound(change.Before)
	return j.write(line{Change: &change})
}

// Changed writes down how the change of a thing that was begun last has ended.
// That may be lost with the host's power until the next change begins or the
// apply ends.
func (j *Journal) Changed(changed Changed) error {
	changed.Left = asFound(changed.Left)
	changed.Error = FirstLine(changed.Error)
	return j.write(line{Changed: &changed})
}

// asFound is of a fact what the record keeps.
func asFound(fact plan.Fact) plan.Fact {
	return plan.Fact{ID: fact.ID, Exists: fact.Exists, Have: fact.Have, Pristine: fact.Pristine}
}

// End writes down the end of the apply that runs.
func (j *Journal) End(end End) error { return j.write(line{End: &end}) }

// GiveUp writes down that the apply that runs ends before it did anything. A
// host that was never applied to keeps nothing of it.
func (j *Journal) GiveUp() error {
	if err := j.write(line{End: &End{}}); err != nil {
		return err
	}
	if m := j.fold.manifest; len(j.fold.past)+len(j.fold.changes) > 0 || m != nil && len(m.Resources) > 0 {
		return nil
	}
	return j.Remove()
}

// Remove removes the journal: the host remembers nothing any more.
func (j *Journal) Remove() error {
	if err := os.Remove(j.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove journal: %w", err)
	}
	return nil
}

// Pending lists the changes that were begun and not ended, in their order.
func (j *Journal) Pending() []Change {
	var pending []Change
	for _, one := range j.fold.changes {
		if one.changed == nil {
			pending = append(pending, one.Change)
		}
	}
	return pending
}

// Past lists the applies that have ended, as they ended.
func (j *Journal) Past() []plan.Past { return slices.Clone(j.fold.past) }

// Steps lists the steps of an apply, as far as they are remembered; nil: they
// are not, or there were none.
func (j *Journal) Steps(number int) []plan.StepTaken { return j.fold.steps(number) }

// CutOff is what is known of the apply that has begun and not ended.
func (j *Journal) CutOff() (plan.Past, bool) {
	begun, ok := j.Begun()
	if !ok {
		return plan.Past{}, false
	}
	past, steps := begun.Past(), j.Steps(begun.Number)
	past.State, past.Steps, past.Ended = plan.PastCutOff, len(steps), past.Began
	past.Summary = plan.CountTaken(steps).String()
	if len(steps) > 0 {
		last := steps[len(steps)-1]
		past.Ended, past.Why = last.Ended, last.Error
		if last.Ended.IsZero() {
			past.Ended, past.At = last.Began, &last
		}
	}
	return past, true
}

// CloseCutOff writes down the end of an apply that was cut off.
func (j *Journal) CloseCutOff() error {
	past, ok := j.CutOff()
	if !ok {
		return nil
	}
	return j.End(End{Past: &past})
}

// Load writes down what a unit has loaded.
func (j *Journal) Load(loaded Loaded) error { return j.write(line{Loaded: &loaded}) }

// LoadedBy is what was written down last of what a unit has loaded.
func (j *Journal) LoadedBy(unit string) Loaded { return j.fold.loaded[unit].Loaded }

// Readers are the units that ran when they were last seen to, with what they
// read.
func (j *Journal) Readers() map[string]Reads {
	readers := map[string]Reads{}
	for unit, one := range j.fold.loaded {
		if one.Invocation != "" {
			readers[unit] = one.Reads
		}
	}
	return readers
}

// Owed lists what was replaced since a unit was last seen to have loaded all,
// in the order of names: what of it the unit reads it has yet to load.
func (j *Journal) Owed(unit string) []plan.ID {
	since := j.fold.loaded[unit].Sequence
	var owed []plan.ID
	for _, id := range slices.SortedFunc(maps.Keys(j.fold.changed), CompareIDs) {
		if j.fold.changed[id] > since {
			owed = append(owed, id)
		}
	}
	return owed
}

// CompareIDs orders things by their names.
func CompareIDs(a, b plan.ID) int { return strings.Compare(a.String(), b.String()) }

// maxWhy is how much is taken down of what went wrong, in bytes.
const maxWhy = 300

// FirstLine is the first line of a message, and not too much of that.
func FirstLine(text string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	if len(text) > maxWhy {
		text = strings.ToValidUTF8(text[:maxWhy], "") + "..."
	}
	return text
}

// All lists all that a unit reads.
func (r Reads) All() []plan.ID { return slices.Concat(r.Restart, r.Reload) }
