package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

// undoer goes back to how hosts were after an earlier apply.
type undoer interface {
	PlanRollback(ctx context.Context, to int) (*engine.Rollback, error)
	Rollback(ctx context.Context, rollback *engine.Rollback, show showing) (*engine.Outcome, error)
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
	r, err := a.begin("rollback", o.changeOptions, noSecrets)
	if err != nil {
		return err
	}
	return r.meet(ctx, engine.Config{}, func(ctx context.Context, hosts session) error {
		rollback, err := hosts.PlanRollback(ctx, o.to)
		switch {
		case errors.Is(err, engine.ErrNothingToUndo):
			since := ""
			if o.to > 0 {
				since = fmt.Sprintf(" since apply %d", o.to)
			}
			r.view.say(0, "Stack %s: nothing to undo. No apply that its hosts remember has changed anything%s.", r.stack.Name, since)
			return nil
		case err != nil:
			return err
		}
		past, err := hosts.History(ctx, engine.HistoryRequest{Last: engine.MaxPast})
		if err != nil {
			past = &engine.History{} // it only says when that was
		}
		if err := mayBeLast(rollback, past); o.to == engine.LastChange && err != nil {
			r.tell(rollback.Failed)
			return err
		}
		r.view.rollback(rollback, past)
		show := func(outcome *engine.Outcome) { r.view.rolledBack(rollback, outcome) }
		return r.do(ctx, rollback.Planned, "Go back on", show, func(show showing) (*engine.Outcome, error) { return hosts.Rollback(ctx, rollback, show) })
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

// rollback prints what a rollback would do. past tells when the apply ended that
// it goes back to, where that is known.
func (v *view) rollback(r *engine.Rollback, past *engine.History) {
	where, when := plan.BackTo(r.To), ""
	if at := slices.IndexFunc(past.Applies, func(a engine.PastApply) bool { return a.Number == r.To && !a.Ended.IsZero() }); at >= 0 {
		when = fmt.Sprintf(" (%s UTC)", minute(past.Applies[at].Ended))
	}
	p := planText{view: v, plan: inOrderOfUndoing(r.Plan), content: "as " + strings.TrimPrefix(where, "how it was ")}
	switch {
	case r.Empty() && len(r.Failed) > 0:
		v.say(0, "Stack %s: what was seen is already %s%s.", r.Stack, where, when)
	case r.Empty():
		v.say(0, "Stack %s is already %s%s.", r.Stack, where, when)
	default:
		v.say(0, "Stack %s: going back from apply %d to %s%s", r.Stack, r.Last, where, when)
	}
	p.hosts()
	if !r.Empty() && len(r.Blocked()) == 0 {
		v.say(0, "This is undone on the hosts; %s stays as it is, and says otherwise: the next plan will show that.", v.about.file)
	}
	v.notices(r.Planned)
}

// rolledBack prints how a rollback ended.
func (v *view) rolledBack(r *engine.Rollback, outcome *engine.Outcome) {
	v.outcome(outcome, r.Planned, ending{
		did:   "Went back on " + r.Stack,
		again: "Run this when mended: it goes on from there.\n  " + v.about.again(fmt.Sprint("rollback --to ", r.To)),
	})
	v.proof(outcome.Proof)
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
