package plan

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// TextOptions says how a plan is printed.
type TextOptions struct {
	Width int  // columns; 0: 80
	Color bool // mark symbols by colour as well
	ASCII bool // print nothing outside ASCII
	Diff  bool // show how the text of files changes

	File   string        // the stack file as the user called it
	Took   time.Duration // how long the look at the hosts took
	Unseen int           // hosts that could not be looked at, and so are not in the plan

	// Texts gives a file's text before and after a change; false where it may
	// not be shown or is not known. Nil: none is.
	Texts func(host string, c Change) (before, after string, ok bool)

	// Mask leaves out of a text what may not be shown. Nil: nothing is.
	Mask func(text string) string
}

// WriteText prints a plan for people: what would happen on each host and why,
// then the sum of it.
func WriteText(w io.Writer, p Plan, options TextOptions) error {
	if options.Width <= 0 {
		options.Width = 80
	}
	page := &page{TextOptions: options}
	page.indent = page.reasonColumn(p)
	page.head(p)
	for _, h := range p.Hosts {
		if !p.Empty() || len(page.shown(h)) > 0 {
			page.host(p, h)
		}
	}
	if !p.Empty() {
		page.foot(p)
	}
	_, err := io.WriteString(w, page.b.String())
	return err
}

// page is a plan on its way to paper.
type page struct {
	TextOptions
	b      strings.Builder
	indent int // column in which reasons begin
}

// maxReasonColumn leaves most of 80 columns to a path, and the rest to reasons.
const maxReasonColumn = 45

// reasonColumn is where the reasons begin on all hosts: behind the longest
// resource that leaves room for them.
func (p *page) reasonColumn(whole Plan) int {
	column := 24
	for _, h := range whole.Hosts {
		for _, c := range p.shown(h) {
			end := 4 + width(p.label(c)) + 2
			if end <= max(maxReasonColumn, p.Width/2) {
				column = max(column, end)
			}
		}
	}
	return column
}

// shown lists the changes that get a line of their own.
func (p *page) shown(h HostPlan) []Change {
	var list []Change
	for _, c := range h.Changes {
		if c.Counts() || c.Action == Attention {
			list = append(list, c)
		}
	}
	return list
}

func (p *page) head(whole Plan) {
	n := len(whole.Hosts)
	looked := plural(n, "host", "hosts")
	if p.Unseen > 0 {
		looked = fmt.Sprintf("%d of %s", n, plural(n+p.Unseen, "host", "hosts"))
	}
	line := fmt.Sprintf("Stack %s: %s looked at in %s", whole.Stack, looked, Seconds(p.Took))
	if n == 0 {
		line += "."
	} else if whole.Empty() {
		who := "Everything is"
		if p.Unseen > 0 {
			who = "What was seen is"
		}
		line += fmt.Sprintf(". %s as %s says.", who, p.File)
	}
	p.wrapped(0, 0, line)
}

func (p *page) host(whole Plan, h HostPlan) {
	p.b.WriteByte('\n')
	system := strings.Trim(h.Machine.Pretty+", "+h.Machine.Arch, ", ")
	switch now, moved := whole.hostOf(h.Name); {
	case h.Role == RoleDeparted && moved:
		system += fmt.Sprintf(": left the stack, %s is on %s now", h.Name, now)
	case h.Role == RoleDeparted:
		system += ": left the stack"
	case h.New:
		system += ": new"
	}
	names := h.Name
	if h.Role == RoleProxy && h.Worker != "" {
		names += ", " + h.Worker
	}
	if names = p.paint(bold, p.clean(names)); !strings.HasSuffix(h.Name, " at "+h.Address) { // as Member.Aside names it
		names += "  " + p.clean(h.Address)
	}
	fmt.Fprintf(&p.b, "%s  %s\n", names, p.clean(system))
	for _, c := range p.shown(h) {
		p.change(h, c)
	}
	p.rest(h)
}

// rest says in a line what gets no line of its own.
func (p *page) rest(h HostPlan) {
	for _, text := range h.left() {
		p.wrapped(8, 8, text)
	}
	switch {
	case h.Unchanged > 0 && len(p.shown(h)) == 0:
		p.line(4, fmt.Sprintf("all %d as they should be", h.Unchanged))
	case h.Unchanged > 0:
		p.line(8, plural(h.Unchanged, "more as it should be", "more as they should be"))
	}
}

func (p *page) change(h HostPlan, c Change) {
	var t texts
	if p.Texts != nil && c.ID.Kind == KindFile && (c.Resource == nil || !c.Resource.Sensitive) {
		t.before, t.after, t.known = p.Texts(h.Name, c)
	}
	label := p.label(c)
	why := p.why(h.Name, c, t)
	fmt.Fprintf(&p.b, "  %s %s", p.symbol(c.Action), label)
	switch gap := p.indent - 4 - width(label); {
	case why == "":
		p.b.WriteByte('\n')
	case gap >= 2:
		p.b.WriteString(strings.Repeat(" ", gap))
		p.wrapped(-p.indent, p.indent, why)
	default:
		p.b.WriteByte('\n')
		p.wrapped(8, 8, why)
	}
	p.notes(c)
	if p.Diff && t.known {
		p.unified(c.ID.Name, t)
	}
}

func (p *page) notes(c Change) {
	for _, note := range c.Notes {
		p.wrapped(8, 8, note)
	}
	if c.Drops > 0 {
		p.wrapped(8, 8, fmt.Sprintf("drops %s, back within 2 s; running answers finish first",
			plural(c.Drops, "worker connection", "worker connections")))
	}
	if c.Block == "" {
		return
	}
	switch {
	case !c.Adoptable:
		p.wrapped(8, 8, "stops apply, also with --adopt")
	case c.ID.Kind == KindUnit && hides(c):
		p.wrapped(8, 8, "stops apply; --adopt has ours take its place; its own file stays as it is")
	case c.ID.Kind == KindUnit:
		p.wrapped(8, 8, "stops apply; --adopt stops and disables it")
	default:
		p.wrapped(8, 8, "stops apply; --adopt takes it over and keeps the original")
	}
}

// foot sums the plan up.
func (p *page) foot(whole Plan) {
	n := whole.Counts()
	p.b.WriteByte('\n')
	p.line(0, fmt.Sprintf("%d to create, %d to change, %d to remove.", n.Create, n.Update, n.Remove))
	p.unitsOf(whole, Restart, "Restarts")
	p.unitsOf(whole, Reload, "Reloads")
	for _, h := range whole.Hosts {
		if drops := h.drops(); drops > 0 {
			p.wrapped(0, 0, fmt.Sprintf("Drops %s on %s, back within 2 s.",
				plural(drops, "worker connection", "worker connections"), h.Name))
		}
	}
	if blocked := len(whole.Blocked()); blocked > 0 {
		p.wrapped(0, 0, fmt.Sprintf("%s in the way: apply would stop, see ! above.", plural(blocked, "thing is", "things are")))
	}
}

// unitsOf says which units are restarted, or reloaded, on which host.
func (p *page) unitsOf(whole Plan, action Action, title string) {
	var hosts []string
	for _, h := range whole.Hosts {
		var units []string
		for _, c := range h.Changes {
			if c.Action == action {
				units = append(units, unitName(c.ID.Name))
			}
		}
		if len(units) > 0 {
			hosts = append(hosts, sentence(units)+" on "+h.Name)
		}
	}
	if len(hosts) > 0 {
		p.wrapped(0, 0, title+": "+strings.Join(hosts, ", ")+".")
	}
}

// drops is how many worker connections the host's plan closes at most: two
// units that close the same ones close them once.
func (h HostPlan) drops() int {
	most := 0
	for _, c := range h.Changes {
		most = max(most, c.Drops)
	}
	return most
}
