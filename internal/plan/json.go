package plan

// Document is a plan as machines read it; docs/json.md says what its fields
// mean. Fields may be added to it, none is renamed, removed or given another
// meaning within one major version of the schema.
type Document struct {
	Hosts     []HostDocument   `json:"hosts"`
	Changes   []ChangeDocument `json:"changes"`   // what apply would do, in the order of work on each host
	Blocked   []ChangeDocument `json:"blocked"`   // what stops apply
	Attention []ChangeDocument `json:"attention"` // what only people should know
	Summary   CountsDocument   `json:"summary"`
}

// HostDocument is one host of a plan.
type HostDocument struct {
	Name      string `json:"name"`
	Worker    string `json:"worker,omitempty"` // the worker that this machine is as well
	Address   string `json:"address"`
	Role      Role   `json:"role"`
	System    string `json:"system"`
	Arch      string `json:"arch"`
	New       bool   `json:"new"`
	Changes   int    `json:"changes"`
	Unchanged int    `json:"unchanged"`
}

// ChangeDocument is one change of a plan, or something that calls for
// attention.
type ChangeDocument struct {
	Host      string            `json:"host"`
	Action    Action            `json:"action"`
	Kind      Kind              `json:"kind"`
	Name      string            `json:"name"`
	Values    []ValueDocument   `json:"values"`
	Reasons   []string          `json:"reasons"`
	Notes     []string          `json:"notes"`
	Drops     int               `json:"drops"` // worker connections that it closes
	Adopts    bool              `json:"adopts"`
	Block     string            `json:"block,omitempty"`
	Adoptable bool              `json:"adoptable,omitempty"`
	At        *PlaceDocument    `json:"at,omitempty"`
	Diff      *TextPairDocument `json:"diff,omitempty"`
}

// ValueDocument is how one value of a resource changes. Content and digests
// have their name only.
type ValueDocument struct {
	Name   string `json:"name"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
	MadeOn string `json:"made_on,omitempty"` // the host whose apply makes the value
}

// PlaceDocument is a place in the stack file.
type PlaceDocument struct {
	File      string `json:"file"`
	Line      int    `json:"line"`
	Column    int    `json:"column,omitempty"`
	EndLine   int    `json:"end_line,omitempty"`
	EndColumn int    `json:"end_column,omitempty"`
	Block     string `json:"block,omitempty"`
}

// TextPairDocument is a file's text before and after a change.
type TextPairDocument struct {
	Before string `json:"before"`
	After  string `json:"after"`
}

// CountsDocument counts changes.
type CountsDocument struct {
	Create  int `json:"create"`
	Change  int `json:"change"`
	Remove  int `json:"remove"`
	Restart int `json:"restart"`
	Reload  int `json:"reload"`
}

// NewDocument brings a plan into the form that machines read. With texts, as in
// TextOptions, it holds how files change.
func NewDocument(p Plan, texts func(host string, c Change) (before, after string, ok bool)) Document {
	n := p.Counts()
	d := Document{
		Hosts: []HostDocument{}, Changes: []ChangeDocument{}, Blocked: []ChangeDocument{}, Attention: []ChangeDocument{},
		Summary: CountsDocument{Create: n.Create, Change: n.Update, Remove: n.Remove, Restart: n.Restart, Reload: n.Reload},
	}
	for _, h := range p.Hosts {
		d.Hosts = append(d.Hosts, HostDocument{
			Name: printable(h.Name), Worker: h.Worker, Address: printable(h.Address), Role: h.Role,
			System: printable(h.Machine.Pretty), Arch: printable(h.Machine.Arch),
			New: h.New, Changes: h.Counts().Total(), Unchanged: h.Unchanged,
		})
		for _, c := range h.Changes {
			switch change := changeDocument(h.Name, c, texts); {
			case c.Counts():
				d.Changes = append(d.Changes, change)
			case c.Block != "":
				d.Blocked = append(d.Blocked, change)
			case c.Action == Attention:
				d.Attention = append(d.Attention, change)
			}
		}
	}
	return d
}

func changeDocument(host string, c Change, texts func(string, Change) (string, string, bool)) ChangeDocument {
	d := ChangeDocument{
		Host: printable(host), Action: c.Action, Kind: Kind(printable(string(c.ID.Kind))), Name: printable(c.ID.Name), Values: []ValueDocument{},
		Reasons: printables(c.Reasons), Notes: printables(c.Notes), Drops: c.Drops, Adopts: c.Adopt,
		Block: printable(c.Block), Adoptable: c.Adoptable,
	}
	for _, attr := range c.Attributes {
		value := ValueDocument{Name: attr.Name, MadeOn: attr.After.MadeOn}
		if attr.Name != AttrContent && attr.Name != AttrDigest {
			value.Before, value.After = printable(attr.Before), printable(attr.After.Text)
		}
		d.Values = append(d.Values, value)
	}
	if c.Resource != nil && c.Resource.Origin != (Origin{}) {
		origin := c.Resource.Origin
		d.At = &PlaceDocument{File: origin.File, Line: origin.Line, Block: origin.Block}
	}
	isSecret := c.Resource != nil && c.Resource.Sensitive
	if texts != nil && c.ID.Kind == KindFile && !isSecret {
		if before, after, ok := texts(host, c); ok {
			d.Diff = &TextPairDocument{Before: before, After: after}
		}
	}
	return d
}

// printable keeps what a host says from reaching a terminal as it is, by way
// of a program that prints it.
func printable(text string) string { return Printable(text, false) }

func printables(texts []string) []string {
	list := []string{}
	for _, text := range texts {
		list = append(list, printable(text))
	}
	return list
}
