package record

import (
	"maps"
	"slices"
	"time"

	"github.com/relayctl/relayctl/internal/plan"
)

// fold is what the lines of a journal come to.
type fold struct {
	schema   int
	sequence int // of the last line, counted through all checkpoints
	oldest   int
	last     int // the highest number that an apply has had
	manifest *plan.Manifest
	past     []plan.Past // of all applies that have ended
	open     *open       // the one that has not; nil: all have
	changes  []*made     // since the checkpoint, in their order
	loaded   map[string]loadedAt
	changed  map[plan.ID]int // when a thing was last replaced
}

// open is an apply that has begun.
type open struct {
	Apply
	before int // the highest number before it
}

// made is a change with its end, if it has one.
type made struct {
	Change
	number  int           // of the apply
	command string        // of the apply
	began   time.Time     // when
	entry   *plan.Applied // the manifest's before
	at      int           // sequence of its beginning
	before  int           // sequence at which the thing was replaced before; 0: never
	changed *Changed      // nil: it has not ended
	ended   time.Time
}

func newFold() *fold {
	return &fold{loaded: map[string]loadedAt{}, changed: map[plan.ID]int{}}
}

// take adds a line.
func (f *fold) take(l line) {
	f.sequence++
	switch {
	case l.Checkpoint != nil:
		f.restart(*l.Checkpoint)
	case l.Begin != nil:
		f.open = &open{Apply: *l.Begin, before: f.last}
		f.last = max(f.last, l.Begin.Number)
	case l.Hosts != nil:
		f.ours(l.At).Hosts = l.Hosts.Hosts
	case l.Change != nil:
		f.begin(*l.Change, l.At)
	case l.Changed != nil:
		f.end(*l.Changed, l.At)
	case l.Loaded != nil:
		f.loaded[l.Loaded.Unit] = loadedAt{*l.Loaded, f.sequence}
	case l.End != nil:
		f.close(*l.End, l.At)
	}
}

func (f *fold) restart(c checkpoint) {
	f.schema, f.sequence, f.oldest, f.last = c.Schema, c.Sequence, c.Oldest, c.Last
	f.manifest, f.past = c.Manifest, c.Past
	for _, one := range c.Loaded {
		f.loaded[one.Unit] = one
	}
	for _, one := range c.Changed {
		f.changed[one.ID] = one.Sequence
	}
}

// checkpoint is the fold as a first line.
func (f *fold) checkpoint() checkpoint {
	c := checkpoint{Schema: schema, Sequence: f.sequence, Oldest: f.oldest, Last: f.last, Manifest: f.manifest}
	c.Past = f.past[max(0, len(f.past)-keptPast):]
	for _, unit := range slices.Sorted(maps.Keys(f.loaded)) {
		c.Loaded = append(c.Loaded, f.loaded[unit])
	}
	for id, at := range f.changed {
		c.Changed = append(c.Changed, changedAt{id, at})
	}
	slices.SortFunc(c.Changed, func(a, b changedAt) int { return a.Sequence - b.Sequence })
	return c
}

// ours is the manifest, with the marks of the apply that goes on.
func (f *fold) ours(at time.Time) *plan.Manifest {
	if f.manifest == nil {
		f.manifest = &plan.Manifest{}
	}
	m := f.manifest
	m.Schema, m.Time = schema, at.Truncate(time.Second)
	if f.open != nil {
		m.Stack, m.Version, m.Operator, m.Number = f.open.Stack, f.open.Version, f.open.Operator, f.open.Number
	}
	return m
}

func (f *fold) begin(c Change, at time.Time) {
	one := &made{Change: c, began: at, at: f.sequence, before: f.changed[c.ID], entry: Find(f.manifest, c.ID)}
	if f.open != nil {
		one.number, one.command = f.open.Number, f.open.Command
	}
	f.changes = append(f.changes, one)
	if c.Replaces {
		f.changed[c.ID] = f.sequence
	}
	f.ours(at)
}

func (f *fold) end(c Changed, at time.Time) {
	one := f.pendingOf(c.ID)
	if one == nil {
		return
	}
	one.changed, one.ended = &c, at
	switch {
	case one.Undoes > 0 && c.Error == "":
		f.unchange(one.ID, one.Undoes)
	case c.Same:
		f.unchange(one.ID, one.at)
	}
	next := f.ours(at)
	Set(next, c.ID, c.Entry)
}

// unchange takes back that a thing was replaced by a change and those after it.
func (f *fold) unchange(id plan.ID, at int) {
	for _, one := range f.changes {
		switch {
		case one.at != at || f.changed[id] < at:
		case one.before > 0:
			f.changed[id] = one.before
		default:
			delete(f.changed, id)
		}
	}
}

// pendingOf is the change of a thing that has not ended.
func (f *fold) pendingOf(id plan.ID) *made {
	for _, one := range slices.Backward(f.changes) {
		if one.ID == id && one.changed == nil {
			return one
		}
	}
	return nil
}

func (f *fold) close(e End, at time.Time) {
	if e.Past == nil {
		if f.open != nil {
			f.last = f.open.before
		}
		f.open = nil
		return
	}
	next := f.ours(at)
	if e.Hosts != nil {
		next.Hosts = e.Hosts
	}
	for i, entry := range next.Resources {
		if entry.Kind == plan.KindKey && slices.Contains(e.Shown, entry.Name) {
			have := maps.Clone(entry.Have)
			have[plan.AttrShown] = plan.Yes
			next.Resources[i].Have = have
		}
	}
	f.past = append(f.past, *e.Past)
	f.open = nil
}

// steps lists what an apply has begun to do, as far as it is remembered.
func (f *fold) steps(number int) []plan.StepTaken {
	var steps []plan.StepTaken
	for _, one := range f.changes {
		if one.number != number || one.Undoes > 0 {
			continue
		}
		step := plan.StepTaken{ID: one.ID, Step: len(steps) + 1, Action: one.Action, Began: one.began}
		if one.changed != nil && !one.changed.Settled {
			step.Ended, step.Error = one.ended, one.changed.Error
		}
		steps = append(steps, step)
	}
	return steps
}

// Set puts an entry in the place of a thing's in the manifest; nil: it has none.
func Set(manifest *plan.Manifest, id plan.ID, entry *plan.Applied) {
	at := slices.IndexFunc(manifest.Resources, func(a plan.Applied) bool { return a.ID == id })
	switch {
	case at >= 0 && entry != nil:
		manifest.Resources[at] = *entry
	case at >= 0:
		manifest.Resources = slices.Delete(manifest.Resources, at, at+1)
	case entry != nil:
		manifest.Resources = append(manifest.Resources, *entry)
	}
}

// Find returns the manifest's entry of id, or nil.
func Find(manifest *plan.Manifest, id plan.ID) *plan.Applied {
	if manifest == nil {
		return nil
	}
	for _, entry := range manifest.Resources {
		if entry.ID == id {
			return &entry
		}
	}
	return nil
}
