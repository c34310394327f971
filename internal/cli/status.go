package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/relayctl/relayctl/internal/engine"
)

// watcher says how a stack is.
type watcher interface {
	Status(ctx context.Context) (*engine.Status, error)
}

func (a *app) statusCommand() *cobra.Command {
	var o stackOptions
	command := &cobra.Command{
		Use:   "status [stack.hcl]",
		Short: "Show how hosts and models are; exit with 1 if anything is wrong",
		Long: `Show how all hosts are, and whether every model gives a token when asked.
What is wrong comes first, and makes the exit code 1. Nothing is changed.`,
	}
	takeStack(command, &o)
	a.takeJSON(command, typeStatus)
	command.RunE = func(command *cobra.Command, _ []string) error { return a.status(command.Context(), o) }
	return command
}

func (a *app) status(ctx context.Context, o stackOptions) error {
	return a.look(ctx, o, noSecrets, engine.Config{}, func(ctx context.Context, hosts session) error {
		status, err := hosts.Status(ctx)
		if err != nil {
			return err
		}
		a.view.status(status, a.Now())
		if len(status.Problems) > 0 {
			return errTold
		}
		return nil
	})
}
