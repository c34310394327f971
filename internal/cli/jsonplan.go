package cli

import (
	"fmt"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

// jsonChanges is a plan as machines read it.
type jsonChanges struct {
	Hosts     []jsonHost   `json:"hosts"`
	Changes   []jsonChange `json:"changes"`   // what apply would do, in the order of work on each host
	Blocked   []jsonChange `json:"blocked"`   // what stops apply
	Attention []jsonChange `json:"attention"` // what only people should know
	Summary   plan.Counts  `json:"summary"`
}

// jsonHost is one host of a plan.
type jsonHost struct {
	Name      string    `json:"name"`
	Worker    string    `json:"worker,omitempty"` // the worker that this machine is as well
	Address   string    `json:"address"`
	Role      plan.Role `json:"role"`
	System    string    `json:"system"`
	Arch      string    `json:"arch"`
	New       bool      `json:"new"`
	Changes   int       `json:"changes"`
	Unchanged int       `json:"unchanged"`
}

// jsonChange is one change of a plan, or something that calls for attention.
type jsonChange struct {
	Host   string      `json:"host"`
	Action plan.Action `json:"action"`
	jsonResource
	Values    []jsonValue `json:"values"`
	Reasons   []string    `json:"reasons"`
	Notes     []string    `json:"notes"`
	Drops     int         `json:"drops"` // worker connections that it closes
	Adopts    bool        `json:"adopts"`
	Block     string      `json:"block,omitempty"`
	Adoptable bool        `json:"adoptable,omitempty"`
	At        *jsonPlace  `json:"at,omitempty"`
	Diff      *jsonDiff   `json:"diff,omitempty"`
}

// jsonValue is how one value of a resource changes. Content and digests have
// their name only.
type jsonValue struct {
	Name   string `json:"name"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
	MadeOn string `json:"made_on,omitempty"` // the host whose apply makes the value
}

// jsonDiff is a file's text before and after a change.
type jsonDiff struct {
	Before string `json:"before"`
	After  string `json:"after"`
}

// textsOf gives a file's text before and after a change; false where it may not
// be shown or is not known. Nil: none is.
type textsOf func(host string, c plan.Change) (before, after string, ok bool)

func changesOf(p plan.Plan, texts textsOf) jsonChanges {
	list := jsonChanges{Hosts: []jsonHost{}, Changes: []jsonChange{}, Blocked: []jsonChange{}, Attention: []jsonChange{}, Summary: p.Counts()}
	for _, h := range p.Hosts {
		list.Hosts = append(list.Hosts, jsonHost{
			Name: singleLine(h.Name), Worker: h.Worker, Address: singleLine(h.Address), Role: h.Role,
			System: singleLine(h.Machine.Pretty), Arch: singleLine(h.Machine.Arch),
			New: h.New, Changes: h.Counts().Total(), Unchanged: h.Unchanged,
		})
		for _, c := range h.Changes {
			switch change := changeOf(h.Name, c, texts); {
			case c.Counts():
				list.Changes = append(list.Changes, change)
			case c.Block != "":
				list.Blocked = append(list.Blocked, change)
			case c.Action == plan.Attention:
				list.Attention = append(list.Attention, change)
			}
		}
	}
	return list
}

func changeOf(host string, c plan.Change, texts textsOf) jsonChange {
	change := jsonChange{
		Host: singleLine(host), Action: c.Action, jsonResource: jsonResource{plan.Kind(singleLine(string(c.ID.Kind))), singleLine(c.ID.Name)},
		Values: []jsonValue{}, Reasons: singleLines(c.Reasons), Notes: singleLines(c.Notes),
		Drops: c.Drops, Adopts: c.Adopt, Block: singleLine(c.Block), Adoptable: c.Adoptable,
	}
	for _, attr := range c.Attributes {
		value := jsonValue{Name: attr.Name, MadeOn: attr.After.MadeOn}
		if attr.Name != plan.AttrContent && attr.Name != plan.AttrDigest {
			value.Before, value.After = singleLine(attr.Before), singleLine(attr.After.Text)
		}
		change.Values = append(change.Values, value)
	}
	if c.Resource != nil {
		change.At = placeOf(c.Resource.Origin)
	}
	if before, after, ok := texts.of(host, c); ok {
		change.Diff = &jsonDiff{before, after}
	}
	return change
}

// of is a file's text before and after a change; false where it is none, or a
// secret, or not known.
func (t textsOf) of(host string, c plan.Change) (before, after string, ok bool) {
	if t == nil || c.ID.Kind != plan.KindFile || c.Resource != nil && c.Resource.Sensitive {
		return "", "", false
	}
	return t(host, c)
}

// singleLine keeps what a host says from reaching a terminal as it is, by way of a
// program that prints it.
func singleLine(text string) string { return plan.Printable(text, false) }

func singleLines(texts []string) []string {
	list := []string{}
	for _, text := range texts {
		list = append(list, singleLine(text))
	}
	return list
}

// plannedOf brings a plan, and what was seen beside it, into its form.
func (j *jsonOutput) plannedOf(planned *engine.Planned, diff bool) *jsonPlanned {
	texts := planned.Texts
	if !diff {
		texts = nil
	}
	shape := &jsonPlanned{
		TookSeconds: seconds(planned.Took), jsonChanges: changesOf(planned.Plan, texts),
		NewKeys: append([]string{}, planned.Keys...), Notices: []jsonNotice{},
	}
	notice := func(code, host, format string, args ...any) *jsonNotice {
		shape.Notices = append(shape.Notices, jsonNotice{Code: code, Host: printable(host), Message: printable(fmt.Sprintf(format, args...))})
		return &shape.Notices[len(shape.Notices)-1]
	}
	for _, lock := range planned.Locks {
		notice("at_work", lock.Host, "%s is at work there (%s, since %s)", lock.Holder, lock.Command, lock.Since.UTC().Format(time.RFC3339))
	}
	for _, cut := range planned.CutOff {
		told := notice("cut_off", cut.Host, "what %s began there (%s, %s) was cut off; apply goes on from where it ended",
			cut.Holder, cut.Command, cut.Since.UTC().Format(time.RFC3339))
		told.Resource = resourceOf(cut.At)
	}
	for _, clock := range planned.Clocks {
		told := notice("clock_off", clock.Host, "%s", clock.Summary())
		told.AheadSeconds = seconds(clock.Off)
	}
	for _, failure := range planned.Stays {
		notice("left_behind", failure.Host, "left the stack and can't be cleaned up: %s", failure.Summary)
	}
	for _, name := range planned.GivenUp {
		notice("given_up", name, "left the stack and is given up: what stands on it stays there")
	}
	for _, name := range planned.Unknown {
		notice("unknown_host", name, "--forget %s: no host of this name left the stack", name)
	}
	return shape
}
