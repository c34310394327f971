package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/relayctl/relayctl/internal/engine"
)

// planner says what an apply would do.
type planner interface {
	Plan(ctx context.Context) (*engine.Planned, error)
}

type planOptions struct {
	stackOptions
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
	}
	takeStack(command, &o.stackOptions)
	takeHosts(command, &o.hostsOptions)
	a.takeJSON(command, typePlan)
	flags := command.Flags()
	flags.BoolVar(&o.diff, "diff", false, "show how the text of files changes, secrets left out")
	flags.BoolVar(&o.detailedExitCode, "detailed-exitcode", false, "exit with 2 where there are changes, or something is in the way")
	command.RunE = func(command *cobra.Command, _ []string) error { return a.plan(command.Context(), o) }
	return command
}

func (a *app) plan(ctx context.Context, o planOptions) error {
	return a.look(ctx, o.stackOptions, everything, engine.Config{AcceptNewHostKeys: o.acceptNewHostKeys}, func(ctx context.Context, hosts session) error {
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
