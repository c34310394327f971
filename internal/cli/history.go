package cli

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/relayctl/relayctl/internal/engine"
)

// historian tells what was done to a stack.
type historian interface {
	History(ctx context.Context, request engine.HistoryRequest) (*engine.History, error)
}

type historyOptions struct {
	stackOptions
	engine.HistoryRequest
}

// defaultLast is how many applies fill a screen.
const defaultLast = 10

func (a *app) historyCommand() *cobra.Command {
	var o historyOptions
	command := &cobra.Command{
		Use:   "history [stack.hcl]",
		Short: "Show former applies, and the originals of what was taken over",
		Long: `Show the applies of a stack as its hosts remember them, newest first: what each
did, and whether it was done, failed or was cut off. Below stands what --adopt
took over from somebody else, and how to get it back. Nothing is changed.`,
	}
	takeStack(command, &o.stackOptions)
	a.takeJSON(command, typeHistory)
	flags := command.Flags()
	flags.IntVar(&o.Last, "last", defaultLast, "show the last `N` applies")
	flags.IntVar(&o.Apply, "apply", 0, "show the steps of apply `N`")
	flags.StringVar(&o.Host, "host", "", "only the steps on host `NAME`, for use with --apply")
	command.RunE = func(command *cobra.Command, _ []string) error {
		if err := o.check(command.Flags().Changed("apply")); err != nil {
			return err
		}
		return a.history(command.Context(), o)
	}
	return command
}

// check refuses what makes no sense.
func (o historyOptions) check(one bool) error {
	switch {
	case o.Last < 1 || o.Last > engine.MaxPast:
		return fmt.Errorf("--last takes a number from 1 to %d", engine.MaxPast)
	case one && o.Apply < 1:
		return fmt.Errorf("--apply takes the number of an apply, from 1")
	case o.Host != "" && !one:
		return fmt.Errorf("--host needs --apply: the steps of one apply are shown by host")
	}
	return nil
}

func (a *app) history(ctx context.Context, o historyOptions) error {
	return a.look(ctx, o.stackOptions, noSecrets, engine.Config{}, func(ctx context.Context, hosts session) error {
		history, err := hosts.History(ctx, o.HistoryRequest)
		if err == nil {
			a.view.history(history, o.Apply > 0)
		}
		var told error
		if history != nil && len(history.Failed) > 0 { // what is asked for may be theirs
			told = a.view.failed(history.Failed)
		}
		return cmp.Or(a.view.failed(err), told)
	})
}
