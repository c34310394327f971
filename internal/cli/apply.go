package cli

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

// applier brings hosts to what the stack file says.
type applier interface {
	Plan(ctx context.Context) (*engine.Planned, error)
	Apply(ctx context.Context, planned *engine.Planned, show showing) (*engine.Outcome, error)
}

type applyOptions struct {
	changeOptions
	diff   bool
	adopt  bool
	forget []string
}

func (a *app) applyCommand() *cobra.Command {
	var o applyOptions
	command := &cobra.Command{
		Use:   "apply [stack.hcl]",
		Short: "Make hosts as the stack file says, and prove it by an answer",
		Long: `Make all hosts as the stack file says, and prove it by a model's answer.
What is to be done is shown first, and done once the name of the stack is typed.
Running it again is safe, also after it was interrupted.`,
		RunE: func(command *cobra.Command, _ []string) error { return a.apply(command.Context(), o) },
	}
	takeChange(command, &o.changeOptions, "append new API keys to `FILE` instead of showing them")
	a.takeJSON(command, typeResult)
	flags := command.Flags()
	flags.BoolVar(&o.adopt, "adopt", false, "take over what stands in the way and was not made by relayctl; originals are kept")
	flags.StringArrayVar(&o.forget, "forget", nil, "give up the host `NAME` that left the stack and can't be reached any more")
	flags.BoolVar(&o.diff, "diff", false, "show how the text of files changes, secrets left out")
	return command
}

func (a *app) apply(ctx context.Context, o applyOptions) error {
	r, err := a.begin("apply", o.changeOptions, everything)
	if err != nil {
		return err
	}
	return r.meet(ctx, engine.Config{Adopt: o.adopt, Forget: o.forget}, func(ctx context.Context, hosts session) error {
		planned, err := hosts.Plan(ctx)
		if err != nil {
			return err
		}
		r.view.plan(planned, o.diff)
		show := func(outcome *engine.Outcome) { r.showApplied(planned, outcome) }
		return r.do(ctx, planned, "Apply this to", show, func(show showing) (*engine.Outcome, error) { return hosts.Apply(ctx, planned, show) })
	})
}

// showApplied prints how an apply ended.
func (r *run) showApplied(planned *engine.Planned, outcome *engine.Outcome) {
	r.view.outcome(outcome, planned, ending{did: "Applied to " + planned.Stack, again: "Run apply again when mended: it goes on from there."})
	r.view.proof(outcome.Proof)
	r.view.keys(outcome.Keys, r.keys)
	isNew := func(h plan.HostPlan) bool { return h.New && h.Role == plan.RoleProxy }
	if outcome.Proof.OK() && (len(outcome.Keys) > 0 || slices.ContainsFunc(planned.Hosts, isNew)) {
		r.view.tryIt(r.stack, outcome.Keys, r.keys)
	}
}
