package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

type planOptions struct {
	hostsOptions
	diff             bool
	detailedExitCode bool
}

func (a *app) planCommand() *cobra.Command {
	var o planOptions
	command := &cobra.Command{
		Use:   "plan [stack.hcl]",
		Short: "Look at all hosts and show what apply would change, and why",
		Long: `Look at all hosts and show what apply would change, and why.
Nothing is changed on any host.`,
		RunE: func(command *cobra.Command, _ []string) error { return a.plan(command.Context(), o) },
	}
	takeNewHosts(command, &o.hostsOptions)
	a.takeJSON(command, typePlan)
	flags := command.Flags()
	flags.BoolVar(&o.diff, "diff", false, "show how the text of files changes, secrets left out")
	flags.BoolVar(&o.detailedExitCode, "detailed-exitcode", false, "exit with 2 where there are changes, or something is in the way")
	return command
}

func (a *app) plan(ctx context.Context, o planOptions) error {
	return a.look(ctx, o.hostsOptions, everything, func(ctx context.Context, hosts session) error {
		planned, err := hosts.Plan(ctx)
		if err != nil {
			return err
		}
		a.view.plan(planned, o.diff)
		if len(planned.Failed) > 0 {
			return planned.Failed
		}
		a.view.advice(planned)
		if o.detailedExitCode && !planned.Empty() {
			return errChanges
		}
		return nil
	})
}

// plan prints what would happen on each host and why, then the sum of it, and
// what else is worth knowing.
func (v *view) plan(planned *engine.Planned, diff bool) {
	v.json.plan(planned, diff)
	p := planText{view: v, plan: planned.Plan, diff: diff, texts: planned.Texts}
	p.head(planned.Took, len(planned.Failed))
	p.hosts()
	v.notices(planned)
}

// planText is a plan on its way to the screen.
type planText struct {
	*view
	plan    plan.Plan
	diff    bool // show how the text of files changes
	column  int  // in which reasons begin
	texts   textsOf
	content string // why content changes of which the text is not known; empty: nothing tells
}

// maxReasonColumn leaves most of 80 columns to a path, and the rest to reasons.
const maxReasonColumn = 45

// hosts prints what is to be done on each host, and the sum of it. The reasons
// begin behind the longest resource that leaves room for them.
func (p *planText) hosts() {
	p.column = 24
	for _, h := range p.plan.Hosts {
		for _, c := range shown(h) {
			if end := 4 + columns(p.clean(label(c))) + 2; end <= max(maxReasonColumn, p.width/2) {
				p.column = max(p.column, end)
			}
		}
	}
	for _, h := range p.plan.Hosts {
		if !p.plan.Empty() || len(shown(h)) > 0 {
			p.host(h)
		}
	}
	if !p.plan.Empty() {
		p.foot()
	}
}

// shown lists the changes that get a line of their own.
func shown(h plan.HostPlan) []plan.Change {
	return filter(h.Changes, func(c plan.Change) bool { return c.Counts() || c.Action == plan.Attention })
}

// head says how long it took to look at the hosts, and how many of them could
// not be looked at.
func (p *planText) head(took time.Duration, unseen int) {
	n := len(p.plan.Hosts)
	looked, who := plural(n, "host", "hosts"), "Everything is"
	if unseen > 0 {
		looked, who = fmt.Sprintf("%d of %s", n, plural(n+unseen, "host", "hosts")), "What was seen is"
	}
	end := ""
	switch {
	case n == 0:
		end = "."
	case p.plan.Empty():
		end = fmt.Sprintf(". %s as %s says.", who, p.about.file)
	}
	p.say(0, "Stack %s: %s looked at in %s%s", p.plan.Stack, looked, plan.Seconds(took), end)
}

func (p *planText) host(h plan.HostPlan) {
	system := strings.Trim(h.Machine.Pretty+", "+h.Machine.Arch, ", ")
	switch now, moved := p.plan.HostOf(h.Name); {
	case h.Role == plan.RoleDeparted && moved:
		system += fmt.Sprintf(": left the stack, %s is on %s now", h.Name, now)
	case h.Role == plan.RoleDeparted:
		system += ": left the stack"
	case h.New:
		system += ": new"
	}
	names := p.out.paint(bold, p.clean(bothNames(h.Name, h.Role, h.Worker)))
	if !strings.HasSuffix(h.Name, " at "+h.Address) { // as Member.Aside names it
		names += "  " + p.clean(h.Address)
	}
	p.out.printf("\n%s  %s\n", names, p.clean(system))
	for _, c := range shown(h) {
		p.change(h, c)
	}
	for _, text := range h.Left() {
		p.say(8, "%s", text)
	}
	switch {
	case h.Unchanged > 0 && len(shown(h)) == 0:
		p.say(4, "all %d as they should be", h.Unchanged)
	case h.Unchanged > 0:
		p.say(8, "%s", plural(h.Unchanged, "more as it should be", "more as they should be"))
	}
}

func (p *planText) change(h plan.HostPlan, c plan.Change) {
	t := p.texts.of(h.Name, c)
	sign, color := p.sign(c.Action)
	name, why := p.clean(label(c)), p.why(h.Name, c, t)
	p.out.printf("  %s %s", p.out.paint(color, sign), name)
	switch gap := p.column - 4 - columns(name); {
	case why == "":
		p.out.printf("\n")
	case gap >= 2:
		p.out.printf("%s%s", strings.Repeat(" ", gap), p.flow(p.column, p.column, why))
	default:
		p.out.printf("\n%s", p.wrapped(8, why))
	}
	p.notes(c)
	if p.diff && t.known {
		p.unified(8, c.ID.Name+" (on the host)", c.ID.Name+" (after apply)", t.before, t.after)
	}
}

func (p *planText) notes(c plan.Change) {
	for _, note := range c.Notes { // one that ends in a command can be pasted
		p.say(8, "%s", strings.Replace(p.forThisStack(note), ":\n  ", ": ", 1))
	}
	if c.Drops > 0 {
		p.say(8, "drops %s, back within 2 s; running answers finish first", plural(c.Drops, "worker connection", "worker connections"))
	}
	switch {
	case c.Block == "":
	case p.view.command != "apply":
		p.say(8, "stops %s", p.view.command)
	case !c.Adoptable:
		p.say(8, "stops apply, also with --adopt")
	case c.Hides():
		p.say(8, "stops apply; --adopt has ours take its place; its own file stays as it is")
	case c.ID.Kind == plan.KindUnit:
		p.say(8, "stops apply; --adopt stops and disables it")
	default:
		p.say(8, "stops apply; --adopt takes it over and keeps the original")
	}
}

// foot sums the plan up.
func (p *planText) foot() {
	n := p.plan.Counts()
	p.out.printf("\n")
	p.say(0, "%d to create, %d to change, %d to remove.", n.Create, n.Update, n.Remove)
	p.units(plan.Restart, "Restarts")
	p.units(plan.Reload, "Reloads")
	for _, h := range p.plan.Hosts {
		drops := 0 // two units that close the same connections close them once
		for _, c := range h.Changes {
			drops = max(drops, c.Drops)
		}
		if drops > 0 {
			p.say(0, "Drops %s on %s, back within 2 s.", plural(drops, "worker connection", "worker connections"), h.Name)
		}
	}
	if blocked := len(p.plan.Blocked()); blocked > 0 {
		p.say(0, "%s in the way: %s would stop, see ! above.", plural(blocked, "thing is", "things are"), p.view.command)
	}
}

// units says which units are restarted, or reloaded, on which host.
func (p *planText) units(action plan.Action, title string) {
	var hosts []string
	for _, h := range p.plan.Hosts {
		changes := filter(h.Changes, func(c plan.Change) bool { return c.Action == action })
		if units := names(changes, func(c plan.Change) string { return unitName(c.ID.Name) }); len(units) > 0 {
			hosts = append(hosts, plan.Sentence(units)+" on "+h.Name)
		}
	}
	if len(hosts) > 0 {
		p.say(0, "%s: %s.", title, strings.Join(hosts, ", "))
	}
}

// advice says what to do after a plan.
func (v *view) advice(planned *engine.Planned) {
	switch {
	case planned.Empty():
	case len(planned.Blocked()) == 0:
		v.out.printf("\nNothing was changed. To do this: %s\n", v.again("apply"))
	case adoptable(planned):
		v.out.printf("\nNothing was changed. To take over what is in the way and do this:\n  %s\n", v.again("apply --adopt"))
	default:
		v.out.printf("\nNothing was changed. Clear what is in the way first, then look again:\n  %s\n", v.again("plan"))
	}
}

// adoptable reports whether --adopt clears all that is in the way.
func adoptable(planned *engine.Planned) bool {
	return !slices.ContainsFunc(planned.Blocked(), func(c plan.Change) bool { return !c.Adoptable })
}

// blocked prints why a command stops before it begins.
func (v *view) blocked(planned *engine.Planned) {
	for _, h := range planned.Hosts {
		for _, c := range h.Blocked() {
			f := failure{Code: codeBlocked, Message: c.ID.Title() + ": " + c.Block, Host: h.Name, Resource: resourceOf(c.ID)}
			if c.Resource != nil {
				f.At = placeOf(c.Resource.Origin)
			}
			if c.Adoptable && v.json.on() { // people are told once, below
				f.Hint = "--adopt takes it over and keeps the original"
			}
			v.fail(f)
		}
	}
	if adoptable(planned) {
		v.errs.printf("\nNothing was changed. To take over what is in the way, originals kept:\n  %s\n", v.again("apply --adopt"))
		return
	}
	v.errs.printf("\nNothing was changed. Clear what is in the way, then run %s again.\n", v.command)
}
