package cli

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

// destroyer takes a stack away from its hosts.
type destroyer interface {
	PlanDestroy(ctx context.Context, purge bool) (*engine.Planned, error)
	Destroy(ctx context.Context, planned *engine.Planned, show func(*engine.Outcome) error) (*engine.Outcome, error)
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
	}
	takeChange(command, &o.changeOptions, "")
	command.Flags().BoolVar(&o.purge, "purge", false, "take away the CA and the API keys as well")
	command.Flags().StringArrayVar(&o.forget, "forget", nil, "give up the host `NAME` that can't be reached any more")
	command.RunE = func(command *cobra.Command, _ []string) error { return a.destroy(command.Context(), o) }
	return command
}

func (a *app) destroy(ctx context.Context, o destroyOptions) error {
	r, err := a.begin("destroy", o.changeOptions, noSecrets, anyStack)
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
		case isBare(planned):
			r.view.nothingToDestroy(planned)
			if len(planned.Failed) > 0 {
				return planned.Failed
			}
			return nil
		}
		r.view.destroy(planned, r.stack)
		if err := r.mayDo(ctx, planned, "Destroy"); err != nil {
			return err
		}
		show := func(outcome *engine.Outcome) { r.view.destroyed(planned, outcome) }
		return r.do(planned, show, func(show showing) (*engine.Outcome, error) { return hosts.Destroy(ctx, planned, show) })
	})
}

// hasOurs reports whether anything of relayctl's is on a host.
func hasOurs(h plan.HostPlan) bool { return !h.New || h.Counts().Total() > 0 }

// isBare reports whether nothing of relayctl's is on any host that was seen.
func isBare(planned *engine.Planned) bool {
	return !slices.ContainsFunc(planned.Hosts, hasOurs) && len(planned.CutOff) == 0
}
