package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/stack"
)

// plan prints what apply would do.
func (v *view) plan(planned *engine.Planned, file string, diff bool) {
	if v.json != nil {
		v.json.plan(planned, diff)
		return
	}
	plan.WriteText(v.out, v.notesForThisStack(planned.Plan), plan.TextOptions{ // the page keeps its failure
		Width:  v.width,
		Color:  v.out.color,
		ASCII:  v.ascii,
		Diff:   diff,
		File:   file,
		Took:   planned.Took,
		Unseen: len(planned.Failed),
		Texts:  planned.Texts,
		Mask:   v.mask,
	})
	var aside []string
	for _, lock := range planned.Locks {
		aside = append(aside, fmt.Sprintf("%s: %s is at work there (%s, since %s)",
			lock.Host, lock.Holder, lock.Command, lock.Since.Local().Format("15:04:05")))
	}
	for _, cut := range planned.CutOff {
		where := ""
		if cut.At.Name != "" {
			where = " in the middle of " + thing(cut.At)
		}
		aside = append(aside, fmt.Sprintf("%s: what %s began there (%s, %s) was cut off%s; apply goes on from where it ended",
			cut.Host, cut.Holder, cut.Command, cut.Since.Local().Format("15:04:05"), where))
	}
	for _, clock := range planned.Clocks {
		aside = append(aside, strings.TrimPrefix(clock.Host+": "+clock.Summary()+". "+clock.Hint(), ": "))
	}
	for _, failure := range planned.Stays {
		aside = append(aside, fmt.Sprintf("%s and can't be cleaned up: %s; when it is gone for good, "+
			"add --forget %s to apply", leftTheStack(planned, failure.Host), failure.Summary, shellWord(failure.Host)))
	}
	for _, name := range planned.GivenUp {
		aside = append(aside, leftTheStack(planned, name)+" and is given up: what stands on it stays there")
	}
	for _, name := range planned.Unknown {
		aside = append(aside, fmt.Sprintf("--forget %s: no host of this name left the stack", shellWord(name)))
	}
	for _, text := range aside {
		v.out.printf("\n! %s", strings.TrimPrefix(v.wrapped(2, text), "  "))
	}
}

// notesForThisStack is a plan whose notes that end in a command can be pasted.
func (v *view) notesForThisStack(p plan.Plan) plan.Plan {
	p.Hosts = slices.Clone(p.Hosts)
	for i := range p.Hosts {
		changes := slices.Clone(p.Hosts[i].Changes)
		for j := range changes {
			changes[j].Notes = slices.Clone(changes[j].Notes)
			for k, note := range changes[j].Notes {
				changes[j].Notes[k] = strings.Replace(v.forThisStack(note), ":\n  ", ": ", 1)
			}
		}
		p.Hosts[i].Changes = changes
	}
	return p
}

// leftTheStack says which host left: a worker may have moved to the proxy's
// machine, and have left its own.
func leftTheStack(planned *engine.Planned, name string) string {
	for _, h := range planned.Hosts {
		if h.Worker == name {
			return fmt.Sprintf("the machine that %s had before it moved to %s left the stack", name, h.Name)
		}
	}
	return name + " left the stack"
}

// advice says what to do after a plan.
func (v *view) advice(planned *engine.Planned, o stackOptions) {
	blocked := planned.Blocked()
	switch {
	case planned.Empty(), v.json != nil:
	case len(blocked) == 0:
		v.out.printf("\nNothing was changed. To do this: %s\n", v.clean(o.again("apply")))
	case slices.ContainsFunc(blocked, notAdoptable):
		v.out.printf("\nNothing was changed. Clear what is in the way first, then look again:\n  %s\n", v.clean(o.again("plan")))
	default:
		v.out.printf("\nNothing was changed. To take over what is in the way and do this:\n  %s\n", v.clean(o.again("apply", "--adopt")))
	}
}

func notAdoptable(c plan.Change) bool { return !c.Adoptable }

// blocked prints why an apply stops before it begins.
func (v *view) blocked(planned *engine.Planned, sources *stack.Sources, o stackOptions) {
	adopt := !slices.ContainsFunc(planned.Blocked(), notAdoptable)
	for _, h := range planned.Hosts {
		for _, c := range h.Blocked() {
			if v.json != nil {
				v.json.fail(blockedOf(h.Name, c))
				continue
			}
			v.heading(h.Name + ": " + thing(c.ID) + ": " + c.Block)
			if c.Resource != nil {
				v.place(c.Resource.Origin, sources)
			}
		}
	}
	if v.json != nil {
		return
	}
	v.gap()
	if adopt {
		v.errs.printf("Nothing was changed. To take over what is in the way, originals kept:\n  %s\n", v.clean(o.again("apply", "--adopt")))
		return
	}
	v.errs.printf("Nothing was changed. Clear what is in the way, then run apply again.\n")
}

// question asks for the stack's name; the answer is read from the same line.
func (v *view) question(p plan.Plan) {
	hosts := 0
	for _, h := range p.Hosts {
		if h.Counts().Total() > 0 {
			hosts++
		}
	}
	v.gap()
	v.errs.printf("Apply this to %s (%s)? Type %s to go on: ", p.Stack, plural(hosts, "host", "hosts"), p.Stack)
}

// unanswered ends the line of a question that nobody ended.
func (v *view) unanswered() { v.errs.printf("\n") }

// workBegins sets lines that will be drawn again off from what stands above
// them.
func (v *view) workBegins() {
	if v.live != nil && v.json == nil {
		v.gap()
	}
}
