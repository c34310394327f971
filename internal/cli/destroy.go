package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/stack"
)

// destroyer takes a stack away from its hosts.
type destroyer interface {
	PlanDestroy(ctx context.Context, purge bool) (*engine.Planned, error)
	Destroy(ctx context.Context, planned *engine.Planned, show showing) (*engine.Outcome, error)
}

type destroyOptions struct {
	changeOptions
	purge  bool
	forget []string
}

func (a *app) destroyCommand() *cobra.Command {
	var o destroyOptions
	command := &cobra.Command{
		Use:   "destroy [stack.hcl]",
		Short: "Take the stack off its hosts, and give back what was taken over",
		Long: `Take away from all hosts what relayctl made, and put back what it took over from
somebody else. What is to be done is shown first, and done once the name of the
stack is typed. The CA and the API keys stay for a later apply, unless --purge
is given. Running it again is safe, also after it was interrupted.`,
		RunE: func(command *cobra.Command, _ []string) error { return a.destroy(command.Context(), o) },
	}
	takeChange(command, &o.changeOptions, "")
	command.Flags().BoolVar(&o.purge, "purge", false, "take away the CA and the API keys as well")
	command.Flags().StringArrayVar(&o.forget, "forget", nil, "give up the host `NAME` that can't be reached any more")
	return command
}

func (a *app) destroy(ctx context.Context, o destroyOptions) error {
	r, err := a.begin("destroy", o.changeOptions, noSecrets)
	if err != nil {
		return err
	}
	return r.meet(ctx, engine.Config{Forget: o.forget}, func(ctx context.Context, hosts session) error {
		planned, err := hosts.PlanDestroy(ctx, o.purge)
		switch {
		case err != nil:
			return err
		case r.lacksProxy(planned):
			return planned.Failed
		case !slices.ContainsFunc(planned.Hosts, hasOurs) && len(planned.CutOff) == 0:
			where := "its hosts"
			if len(planned.Failed) > 0 {
				where, err = "the hosts that were looked at", planned.Failed
			}
			r.view.say(0, "Stack %s: nothing to destroy. Nothing of relayctl's is on %s.", planned.Stack, where)
			return err
		}
		r.view.destroy(planned, r.stack)
		show := func(outcome *engine.Outcome) { r.view.destroyed(planned, outcome) }
		return r.do(ctx, planned, "Destroy", show, func(show showing) (*engine.Outcome, error) { return hosts.Destroy(ctx, planned, show) })
	})
}

// hasOurs reports whether anything of relayctl's is on a host.
func hasOurs(h plan.HostPlan) bool { return !h.New || h.Counts().Total() > 0 }

// destroy prints what a destroy would do.
func (v *view) destroy(planned *engine.Planned, s *stack.Stack) {
	p := planText{view: v, plan: inOrderOfUndoing(planned.Plan)}
	for i := range p.plan.Hosts {
		asInTheStack(&p.plan.Hosts[i], s)
	}
	hosts := len(filter(planned.Hosts, hasOurs))
	v.say(0, "Takes away from %s (%s) all that relayctl made, and puts back what it took over", planned.Stack, plural(hosts, "host", "hosts"))
	p.hosts()
	v.say(0, "Clients of %s get no answer after this.", s.Proxy.URL())
	v.notices(planned)
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

// destroyed prints how a destroy ended, and what is left.
func (v *view) destroyed(planned *engine.Planned, outcome *engine.Outcome) {
	v.outcome(outcome, planned, ending{
		did: "Destroyed " + planned.Stack, again: "Run destroy again when mended: it goes on from there.", all: true,
	})
	if len(outcome.Failed) > 0 {
		return
	}
	for _, h := range planned.Hosts {
		kept := filter(h.Changes, func(c plan.Change) bool { return c.Action == plan.Attention && c.ID.Kind.Describe().Known })
		if len(kept) > 0 {
			v.say(0, "Kept on %s for the next apply: %s.", h.Name, someOf(names(kept, func(c plan.Change) string { return c.ID.Title() })))
		}
	}
}
