package plan

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"
)

// A host's work is in order when everything comes after what it needs. What a
// resource needs follows from what it says of itself, and from Resource.After
// where that does not tell: these are the edges. Between what no edge orders, the
// phase, the rank of the kind and the name do.

// point is a thing at one point of a host's work.
type point struct {
	id    ID
	phase phase
}

// phase is what is done about a thing at a point of the work, in the order in
// which it is done where no edge says otherwise.
type phase int

const (
	made        phase = iota // brought about; of a unit of somebody else: turned off
	gone                     // taken away, or left to itself
	loaded                   // restarted or reloaded: from now on a unit has all that it reads
	loadedAgain              // once more, with what could come only after the unit itself
)

// compare orders points that no edge orders. Things go in the opposite order.
func (p point) compare(other point) int {
	if c := cmp.Compare(p.phase, other.phase); c != 0 {
		return c
	}
	if p.phase == gone {
		return compareIDs(other.id, p.id)
	}
	return compareIDs(p.id, other.id)
}

// point is where in the work a change is made, other than the restarts and
// reloads that follow. What is wanted no more has no resource.
func (c Change) point() point {
	if c.Resource == nil && c.Action != Attention && !c.Adopt { // adopting clears the way for what comes
		return point{c.ID, gone}
	}
	return point{c.ID, made}
}

// inOrder adds the restarts and reloads that follow from changes, and puts all in
// the order of work.
func (d *differ) inOrder(todo []Change) ([]Change, error) {
	e, work := d.edges(todo), map[point][]Change{}
	for _, c := range todo {
		work[c.point()] = append(work[c.point()], c)
	}
	points := slices.Collect(maps.Keys(work))
	later := map[ID]map[point]bool{} // by unit: what comes after it by other edges than those that are about to be added
	for id, want := range d.wanted {
		points = append(points, point{id, made})
		if want.Unit != nil {
			later[id] = e.behind(point{id, made})
		}
	}
	for id, behind := range later {
		e.addReads(d.wanted[id], points, behind)
		for phase, c := range d.restarts(d.wanted[id], todo, behind) {
			work[point{id, phase}] = []Change{c}
		}
	}
	return e.inOrder(work)
}

// edges says what each point of a host's work comes after, and the other way
// round.
type edges struct{ after, before map[point][]point }

func (e edges) add(p, after point) {
	e.after[p] = append(e.after[p], after)
	e.before[after] = append(e.before[after], p)
}

// edges finds all edges but those to what units read.
func (d *differ) edges(todo []Change) edges {
	e := edges{map[point][]point{}, map[point][]point{}}
	for id, want := range d.wanted {
		e.add(point{id, loaded}, point{id, made})
		e.add(point{id, loadedAgain}, point{id, loaded})
		for _, needed := range slices.Concat(want.After, needs(want), d.drained(want)) {
			e.add(point{id, made}, point{needed, loaded})
		}
		if want.From != nil { // it is filled from that for the last time
			e.add(point{want.source(), gone}, point{id, made})
		}
	}
	for _, c := range todo {
		if c.point().phase == gone {
			for _, needed := range needs(c.Fact.resource()) {
				e.add(point{needed, gone}, point{c.ID, gone})
			}
		}
	}
	d.giveWay(e, todo)
	return e
}

// needs lists what a resource needs by what it is and says of itself: the
// folders that a path stands in, the file of a unit, who owns a file and what
// fills it.
func needs(r Resource) []ID {
	ids := r.Kind.Describe().standsOn(r.Name)
	for _, attr := range []string{AttrOwner, AttrGroup} {
		if owner, ok := r.Want[attr]; ok {
			ids = append(ids, ID{KindUser, owner.Text})
		}
	}
	if r.From != nil {
		ids = append(ids, r.source())
	}
	return ids
}

// source is the thing that a file is filled from a part of.
func (r Resource) source() ID {
	whole, _, _ := strings.Cut(r.From.Name, "/")
	return ID{r.From.Kind, whole}
}

// resource is what a thing was that is not wanted any more, as far as its host
// knows.
func (f Fact) resource() Resource {
	r := Resource{ID: f.ID, Want: map[string]Value{}}
	if f.Applied != nil {
		for name, text := range f.Applied.Have {
			r.Want[name] = Known(text)
		}
	}
	return r
}

// drained lists the relays that a unit drains: they are up first, so that their
// workers can come back.
func (d *differ) drained(want Resource) []ID {
	if want.Unit == nil || want.Unit.Drain == "" {
		return nil
	}
	var ids []ID
	for id, other := range d.wanted {
		if other.Unit != nil && other.Unit.Lifecycle == LifecycleRelay {
			ids = append(ids, id)
		}
	}
	return ids
}

// Points that many units wait for together, so that there are no edges from each
// to each.
var (
	startersOff = point{ID{Name: "what starts services of somebody else"}, made}
	othersOff   = point{ID{Name: "units of somebody else"}, made}
	oursGone    = point{ID{Name: "our units"}, gone}
)

// giveWay adds the edges between units that are in each other's way: ours start
// when those of somebody else are off, and one that leaves has gone when another
// needs its port, or its former owner takes it again.
func (d *differ) giveWay(e edges, todo []Change) {
	for _, c := range todo {
		p := c.point()
		switch isUnit, isService := c.ID.Kind.Describe().Runs, strings.HasSuffix(c.ID.Name, ".service"); {
		case p.phase == gone && c.ID.Kind == KindPackage: // what it runs goes with it
			e.add(oursGone, p)
		case !isUnit:
		case d.goesOff(c):
			e.add(othersOff, p)
			if isService {
				e.add(p, startersOff)
			} else { // a socket, timer or path may start any service
				e.add(startersOff, p)
			}
		case p.phase == gone && wasDisplaced(c.Fact):
			e.add(p, oursGone)
		case p.phase == gone:
			e.add(oursGone, p)
		}
	}
	for id := range d.wanted {
		if id.Kind.Describe().Runs {
			e.add(point{id, made}, othersOff)
		}
	}
	for _, port := range d.host.Ports {
		for _, l := range d.host.Facts.Listeners {
			if l.Port == port.Number && overlap(l.Address, port.Addr) {
				e.add(point{ID{KindUnit, port.Unit}, made}, point{ID{KindUnit, l.Unit}, gone})
			}
		}
	}
}

// goesOff reports whether a change is about a unit of somebody else that is, or
// has to be, off.
func (d *differ) goesOff(c Change) bool {
	_, wanted := d.wanted[c.ID]
	return c.ID.Kind.Describe().Runs && !wanted && c.point().phase == made
}

// addReads adds the edges from a unit to what it reads. What comes later than
// the unit itself it is started without.
func (e edges) addReads(unit Resource, points []point, later map[point]bool) {
	reads := unit.Unit.reads()
	for _, p := range points {
		switch isRead := AnyCovers(reads, p.id); {
		case isRead && later[p]:
			e.add(point{unit.ID, loadedAgain}, p)
		case isRead:
			e.add(point{unit.ID, made}, p)
		}
	}
}

// behind is all that comes after a point, directly or not.
func (e edges) behind(p point) map[point]bool {
	found, todo := map[point]bool{}, []point{p}
	for len(todo) > 0 {
		next := e.before[todo[0]]
		todo = todo[1:]
		for _, q := range next {
			if !found[q] {
				found[q] = true
				todo = append(todo, q)
			}
		}
	}
	return found
}

// walk puts points in order: each comes as early as it does without edges, but
// after what it comes after, which is brought forward if need be.
type walk struct {
	edges
	ordered []point
	begun   map[point]bool // true: also ended
	way     []point        // that leads from the first point to the present one
}

// inOrder is the changes in the order of work. An error names a circle: things
// of which each comes after the next.
func (e edges) inOrder(work map[point][]Change) ([]Change, error) {
	w := walk{edges: e, begun: map[point]bool{}}
	for _, p := range slices.SortedFunc(maps.Keys(work), point.compare) {
		if err := w.visit(p); err != nil {
			return nil, err
		}
	}
	var changes []Change
	for _, p := range w.ordered {
		here := work[p]
		slices.SortStableFunc(here, func(a, b Change) int { return cmp.Compare(b.Action, a.Action) }) // before the attention that it calls for
		changes = append(changes, here...)
	}
	return changes, nil
}

func (w *walk) visit(p point) error {
	switch ended, begun := w.begun[p]; {
	case ended:
		return nil
	case begun:
		return circle(append(w.way[slices.Index(w.way, p):], p))
	}
	w.begun[p] = false
	w.way = append(w.way, p)
	for _, before := range slices.SortedFunc(slices.Values(w.after[p]), point.compare) {
		if err := w.visit(before); err != nil {
			return err
		}
	}
	w.way, w.begun[p] = w.way[:len(w.way)-1], true
	w.ordered = append(w.ordered, p)
	return nil
}

// circle is the error on points that each come after the next.
func circle(points []point) error {
	var words []string
	for i, p := range points {
		if i == 0 || p.id != points[i-1].id { // a unit comes after itself by nature
			words = append(words, strings.TrimSpace(p.id.String()))
		}
	}
	return errors.New("order the work: " + strings.Join(words, " comes after ") + ": a circle")
}
