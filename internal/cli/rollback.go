package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/relayctl/relayctl/internal/engine"
)

// undoer goes back to how hosts were after an earlier apply.
type undoer interface {
	PlanRollback(ctx context.Context, to int) (*engine.Rollback, error)
	Rollback(ctx context.Context, rollback *engine.Rollback, show func(*engine.Outcome) error) (*engine.Outcome, error)
}

type rollbackOptions struct {
	changeOptions
	to int // engine.LastChange: before the last apply that changed anything
}

func (a *app) rollbackCommand() *cobra.Command {
	var o rollbackOptions
	command := &cobra.Command{
		Use:   "rollback [stack.hcl]",
		Short: "Undo the last apply, or all after one, on the hosts",
		Long: `Undo the last apply that changed anything, or all after --to, on every host that
it touched, and prove it by a model's answer. What is to be done is shown first,
and done once the name of the stack is typed. Keys and secrets do not go back.
It is an apply like any other: running it again is safe, and so is undoing it.`,
	}
	takeChange(command, &o.changeOptions, "")
	command.Flags().IntVar(&o.to, "to", 0, "go back to how hosts were after apply `N`; 0 is before the first")
	command.RunE = func(command *cobra.Command, _ []string) error {
		switch {
		case !command.Flags().Changed("to"):
			o.to = engine.LastChange
		case o.to < 0:
			return errors.New("--to takes the number of an apply, or 0 for before the first")
		}
		return a.rollback(command.Context(), o)
	}
	return command
}

func (a *app) rollback(ctx context.Context, o rollbackOptions) error {
	r, err := a.begin("rollback", o.changeOptions, noSecrets, anyStack)
	if err != nil {
		return err
	}
	return r.meet(ctx, engine.Config{}, func(ctx context.Context, hosts session) error {
		rollback, err := hosts.PlanRollback(ctx, o.to)
		switch {
		case errors.Is(err, engine.ErrNothingToUndo):
			r.view.nothingToUndo(r.stack.Name, o.to)
			return nil
		case err != nil:
			return err
		}
		past, err := hosts.History(ctx, engine.HistoryRequest{Last: engine.MaxPast})
		if err != nil {
			past = &engine.History{} // it only says when that was
		}
		if o.to == engine.LastChange {
			if err := mayBeLast(rollback, past); err != nil {
				r.tell(rollback.Failed)
				return err
			}
		}
		r.view.rollback(rollback, endOf(past, rollback.To))
		if err := r.mayDo(ctx, rollback.Planned, "Go back on"); err != nil {
			return err
		}
		show := func(outcome *engine.Outcome) { r.view.rolledBack(rollback, outcome) }
		return r.do(rollback.Planned, show, func(show showing) (*engine.Outcome, error) { return hosts.Rollback(ctx, rollback, show) })
	})
}

// errLastAway means that the last apply can't be undone, since a host that can't
// be asked is all that it changed.
var errLastAway = errors.New("which can't be asked now")

// mayBeLast is an error where the last apply on the hosts that could be asked is
// not the last one of all, by what the proxy host tells of the others.
func mayBeLast(rollback *engine.Rollback, past *engine.History) error {
	for _, apply := range past.Applies {
		for _, h := range apply.Hosts {
			isAway := slices.ContainsFunc(rollback.Failed, func(e *engine.HostError) bool { return e.Host == h.Host })
			if isAway && h.Steps > 0 && apply.Number > rollback.Last {
				return fmt.Errorf("the last apply, %d, changed %s, %w", apply.Number, h.Host, errLastAway)
			}
		}
	}
	return nil
}

// endOf is when an apply ended; zero: the history does not tell.
func endOf(past *engine.History, number int) time.Time {
	for _, apply := range past.Applies {
		if apply.Number == number {
			return apply.Ended
		}
	}
	return time.Time{}
}
