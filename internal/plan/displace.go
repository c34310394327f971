package plan

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// wayside is the units of somebody else that have to be off, by name.
type wayside struct {
	differ *differ
	units  map[string]*Change
}

// add gives a reason why a unit has to be off.
func (w *wayside) add(unit, reason string, origin Origin) {
	id := ID{KindUnit, unit}
	c := w.units[unit]
	if c == nil {
		c = &Change{ID: id, Fact: w.differ.fact(id)}
		w.units[unit] = c
	}
	if !slices.Contains(c.Reasons, reason) {
		c.Reasons = append(c.Reasons, reason)
		slices.Sort(c.Reasons)
	}
	if c.Resource == nil || lessOrigin(origin, c.Resource.Origin) {
		c.Resource = off(id, origin)
	}
}

func lessOrigin(a, b Origin) bool {
	return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Block, b.Block)) < 0
}

// off is a unit that should neither run nor start by itself.
func off(id ID, origin Origin) *Resource {
	return &Resource{ID: id, Want: map[string]Value{AttrEnabled: Known(No), AttrRunning: Known(No)}, Origin: origin}
}

// isOff reports whether a resource is a unit as off makes one.
func isOff(r Resource) bool {
	return r.Want[AttrRunning] == Known(No) && r.Want[AttrEnabled] == Known(No)
}

// addStarters adds the sockets, timers and paths that would start a unit in the
// way again, and the services that go on holding the port of such a socket.
func (w *wayside) addStarters() {
	for _, name := range slices.Sorted(maps.Keys(w.units)) {
		origin := w.units[name].Resource.Origin
		for _, starter := range w.units[name].Fact.StartedBy {
			if w.isOn(starter) {
				w.add(starter, "starts "+unitName(name), origin)
			}
		}
		for id, fact := range w.differ.facts {
			if slices.Contains(fact.StartedBy, name) && w.isOn(id.Name) {
				w.add(id.Name, "is started by "+unitName(name), origin)
			}
		}
	}
}

// addRivals adds the units that would do what one of ours does in another way,
// at the next boot if not now.
func (w *wayside) addRivals() {
	for _, want := range w.differ.host.Want {
		if want.Unit == nil {
			continue
		}
		for _, rival := range want.Unit.Rivals {
			if w.isOn(rival) {
				w.add(rival, "runs in the place of "+unitName(want.Name), want.Origin)
			}
		}
	}
}

// isOn reports whether a unit of somebody else runs or would by itself.
func (w *wayside) isOn(unit string) bool {
	fact := w.differ.fact(ID{KindUnit, unit})
	return fact.Exists && (fact.Have[AttrEnabled] == Yes || fact.Have[AttrRunning] == Yes) &&
		!w.differ.isOurs(unit) && !staysOn(unit)
}

// displaced plans what happens to those who are in the way of our units: a
// unit that holds a port, what starts it, and one that was adopted before and
// must stay off.
func (d *differ) displaced() []Change {
	way := &wayside{differ: d, units: map[string]*Change{}}
	changes := d.holders(way)
	way.addRivals()
	way.addStarters()
	for _, name := range slices.Sorted(maps.Keys(way.units)) {
		c := way.units[name]
		d.displace(c)
		changes = append(changes, *c)
	}
	return append(changes, d.keptOff(way.units)...)
}

// displace decides what is done about a unit that has to be off.
func (d *differ) displace(c *Change) {
	c.Attributes = differences(*c.Resource, c.Fact)
	before := d.isDisplaced(c.Fact)
	if !before {
		c.Notes = append(c.Notes, takesOut(c.Fact.Serves, d.site())...)
	}
	if before || d.host.Adopt && len(c.Fact.PulledBy) == 0 {
		c.Action, c.Adopt = Update, true
		if !before {
			c.Notes = append(c.Notes, "turned off and kept so; its files stay as they are")
		}
		return
	}
	c.Action, c.Adoptable = Attention, true
	c.Block = "not ours; " + strings.Join(c.Reasons, "; ")
	c.Reasons = nil
	if len(c.Fact.PulledBy) > 0 {
		c.Adoptable = false
		c.Block += fmt.Sprintf("; %s would start it again at boot", Sentence(c.Fact.PulledBy))
	}
}

// site is the one name or address that our own server serves; empty: none.
func (d *differ) site() string {
	for _, want := range d.wanted {
		if want.Site != "" {
			return want.Site
		}
	}
	return ""
}

// isDisplaced reports whether an earlier apply turned off a unit of somebody
// else. It is kept so for as long as the host belongs to the stack.
func (d *differ) isDisplaced(fact Fact) bool {
	return d.host.Role != RoleDeparted && wasDisplaced(fact)
}

func wasDisplaced(fact Fact) bool {
	return fact.Kind.Describe().Runs && fact.Applied != nil && !fact.Applied.Made && fact.Applied.Taken != nil
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
		c.Reasons = []string{strings.TrimSuffix("taken over before; "+drift(c), "; ")}
		changes = append(changes, c)
	}
	return changes
}

// offMeanwhile calls attention to what an earlier apply turned off on a host
// where something is in the way or does not run yet: neither the old nor the
// new may serve.
func (d *differ) offMeanwhile(todo []Change) []Change {
	unfinished := func(c Change) bool { return c.Block != "" || !c.Adopt && c.ID.Kind.Describe().Runs && startsAnyway(c) }
	if !slices.ContainsFunc(todo, unfinished) {
		return nil
	}
	var notes []Change
	for id, fact := range d.facts {
		planned := slices.ContainsFunc(todo, func(c Change) bool { return c.ID == id })
		if !planned && fact.Exists && d.isDisplaced(fact) {
			notes = append(notes, Change{ID: id, Action: Attention, Fact: fact,
				Reasons: []string{"taken over before, and off " + since(*fact.Applied)}})
		}
	}
	return notes
}

// neverOff are the units that adopting leaves on, as patterns: the way to the
// host may lead through them, or they run what has nothing to do with the port.
var neverOff = []string{
	"ssh.*", "sshd.*", "ssh@*", "sshd@*", "dropbear.*", "sslh*", "stunnel*",
	"tailscaled.*", "wg-quick@*", "openvpn*", "ocserv*", "teleport.*", "NetworkManager.*", "networking.*",
	"systemd-*", "dbus*", "user@*", "init.*",
	"docker.*", "containerd.*", "podman*", "k3s*", "kubelet.*", "lxd.*", "incus*", "libvirtd.*", "virt*",
	"cron.*", "crond.*", "anacron.*", "atd.*", "rc-local.*", "supervisor*", "monit.*",
}

// staysOn reports whether adopting leaves a unit on, whatever port it holds.
func staysOn(unit string) bool {
	return slices.ContainsFunc(neverOff, func(pattern string) bool {
		match, err := path.Match(pattern, unit)
		return err != nil || match
	})
}
