package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/stack"
)

// rollback prints what a rollback would do. ended is when the apply ended that
// it goes back to; zero: that is not known.
func (v *view) rollback(r *engine.Rollback, ended time.Time) {
	where, when := plan.BackTo(r.To), ""
	if !ended.IsZero() {
		when = fmt.Sprintf(" (%s UTC)", ended.UTC().Format("2006-01-02 15:04"))
	}
	p := planText{view: v, plan: inOrderOfUndoing(r.Plan), command: "rollback", content: "as " + strings.TrimPrefix(where, "how it was ")}
	switch {
	case r.Empty() && len(r.Failed) > 0:
		v.say(0, "Stack %s: what was seen is already %s%s.", r.Stack, where, when)
	case r.Empty():
		v.say(0, "Stack %s is already %s%s.", r.Stack, where, when)
	default:
		v.say(0, "Stack %s: going back from apply %d to %s%s", r.Stack, r.Last, where, when)
	}
	p.hosts()
	if !r.Empty() {
		p.foot()
	}
	if !r.Empty() && len(r.Blocked()) == 0 {
		v.say(0, "This is undone on the hosts; %s stays as it is, and says otherwise: the next plan will show that.", v.about.file)
	}
	v.notices(r.Planned, p.command)
}

// nothingToUndo says that a rollback to an apply, or to before the last one, has
// nothing to do.
func (v *view) nothingToUndo(stack string, to int) {
	since := ""
	if to > 0 {
		since = fmt.Sprintf(" since apply %d", to)
	}
	v.say(0, "Stack %s: nothing to undo. No apply that its hosts remember has changed anything%s.", stack, since)
}

// rolledBack prints how a rollback ended.
func (v *view) rolledBack(r *engine.Rollback, outcome *engine.Outcome) {
	v.outcome(outcome, r.Planned, ending{
		did:   "Went back on " + r.Stack,
		again: "Run this when mended: it goes on from there.\n  " + v.about.again(fmt.Sprint("rollback --to ", r.To)),
	})
	v.proof(outcome.Proof)
}

// destroy prints what a destroy would do.
func (v *view) destroy(planned *engine.Planned, s *stack.Stack) {
	p := planText{view: v, plan: inOrderOfUndoing(planned.Plan), command: "destroy"}
	for i := range p.plan.Hosts {
		asInTheStack(&p.plan.Hosts[i], s)
	}
	hosts := 0
	for _, h := range planned.Hosts {
		if hasOurs(h) {
			hosts++
		}
	}
	v.say(0, "Takes away from %s (%s) all that relayctl made, and puts back what it took over", planned.Stack, plural(hosts, "host", "hosts"))
	p.hosts()
	if !planned.Empty() {
		p.foot()
	}
	v.say(0, "Clients of %s get no answer after this.", s.Proxy.URL())
	v.notices(planned, p.command)
	if away := names(planned.Failed, hostOf); len(away) > 0 {
		v.out.printf("\n")
		v.warn(fmt.Sprintf("%s is left as it is this time, since only it remembers what is on %s; to give that up, add --forget %s",
			s.Proxy.Name, plan.Sentence(away), strings.Join(away, " --forget ")))
	}
}

// asInTheStack has a host of which all is taken away told by its role in the
// stack file; one that left the file has none.
func asInTheStack(h *plan.HostPlan, s *stack.Stack) {
	isOf := func(of *stack.Host) bool { return of.Name == h.Name }
	switch {
	case h.Name == s.Proxy.Name:
		h.Role = plan.RoleProxy
	case slices.ContainsFunc(s.Hosts(), isOf):
		h.Role = plan.RoleWorker
	default:
		h.Worker = ""
	}
}

func (v *view) nothingToDestroy(planned *engine.Planned) {
	where := "its hosts"
	if len(planned.Failed) > 0 {
		where = "the hosts that were looked at"
	}
	v.say(0, "Stack %s: nothing to destroy. Nothing of relayctl's is on %s.", planned.Stack, where)
}

// destroyed prints how a destroy ended, and what is left.
func (v *view) destroyed(planned *engine.Planned, outcome *engine.Outcome) {
	v.outcome(outcome, planned, ending{
		did: "Destroyed " + planned.Stack, again: "Run destroy again when mended: it goes on from there.", all: true,
	})
	if len(outcome.Failed) > 0 {
		return
	}
	for _, h := range planned.Hosts {
		var kept []string
		for _, c := range h.Changes {
			if c.Action == plan.Attention && c.ID.Kind.Describe().Known {
				kept = append(kept, thing(c.ID))
			}
		}
		if len(kept) > 0 {
			v.say(0, "Kept on %s for the next apply: %s.", h.Name, someOf(kept))
		}
	}
}

// inOrderOfUndoing lists the hosts that something is done or told about, those
// that come first in the front: the proxy host, first in a plan, is the last.
func inOrderOfUndoing(p plan.Plan) plan.Plan {
	var hosts []plan.HostPlan
	for _, h := range p.Hosts {
		if len(shown(h)) > 0 || len(h.Left()) > 0 {
			h.Unchanged, h.New = 0, false
			hosts = append(hosts, h)
		}
	}
	if len(hosts) > 1 && hosts[0].Name == p.Hosts[0].Name {
		hosts = append(hosts[1:], hosts[0])
	}
	p.Hosts = hosts
	return p
}
