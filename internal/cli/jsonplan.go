package cli

import (
	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

// jsonPlan is a plan with what was seen beside it.
type jsonPlan struct {
	TookSeconds float64      `json:"took_seconds"`
	Hosts       []jsonHost   `json:"hosts"`
	Changes     []jsonChange `json:"changes"`   // what apply would do, in the order of work on each host
	Blocked     []jsonChange `json:"blocked"`   // what stops apply
	Attention   []jsonChange `json:"attention"` // what only people should know
	Summary     plan.Counts  `json:"summary"`
	NewKeys     []string     `json:"new_keys"` // API keys that apply will make
	Notices     []notice     `json:"notices"`
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
	plan.ID
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
	Before string `json:"before" text:"verbatim"`
	After  string `json:"after" text:"verbatim"`
}

// plan takes a plan; an apply prints it at once.
func (j *jsonOutput) plan(planned *engine.Planned, diff bool) {
	shape := jsonPlan{TookSeconds: seconds(planned.Took), Summary: planned.Counts(), NewKeys: planned.Keys, Notices: noticesOf(planned, "apply")}
	var texts textsOf
	if diff {
		texts = planned.Texts
	}
	for _, h := range planned.Hosts {
		shape.Hosts = append(shape.Hosts, jsonHost{
			Name: h.Name, Worker: h.Worker, Address: h.Address, Role: h.Role, System: h.Machine.Pretty, Arch: h.Machine.Arch,
			New: h.New, Changes: h.Counts().Total(), Unchanged: h.Unchanged,
		})
		for _, c := range h.Changes {
			switch change := changeOf(h.Name, c, texts); {
			case c.Counts():
				shape.Changes = append(shape.Changes, change)
			case c.Block != "":
				shape.Blocked = append(shape.Blocked, change)
			case c.Action == plan.Attention:
				shape.Attention = append(shape.Attention, change)
			}
		}
	}
	if j.kind != typeResult {
		j.tell(planned.Stack, shape)
		return
	}
	j.stack = planned.Stack
	j.print(struct {
		jsonLine
		Stack string `json:"stack"`
		jsonPlan
	}{j.line("planned"), planned.Stack, shape})
}

func changeOf(host string, c plan.Change, texts textsOf) jsonChange {
	change := jsonChange{
		Host: host, Action: c.Action, ID: c.ID, Reasons: c.Reasons, Notes: c.Notes,
		Drops: c.Drops, Adopts: c.Adopt, Block: c.Block, Adoptable: c.Adoptable,
	}
	for _, attr := range c.Attributes {
		value := jsonValue{Name: attr.Name, MadeOn: attr.After.MadeOn}
		if attr.Name != plan.AttrContent && attr.Name != plan.AttrDigest {
			value.Before, value.After = attr.Before, attr.After.Text
		}
		change.Values = append(change.Values, value)
	}
	if c.Resource != nil {
		change.At = placeOf(c.Resource.Origin)
	}
	if t := texts.of(host, c); t.known {
		change.Diff = &jsonDiff{t.before, t.after}
	}
	return change
}
