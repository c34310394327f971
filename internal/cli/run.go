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
	"github.com/relayctl/relayctl/internal/stack"
)

// changeOptions are those of a command that changes hosts.
type changeOptions struct {
	hostsOptions
	yes     bool
	keysOut string
}

// takeChange lets a command change hosts. keysOut says what becomes of new API
// keys; empty: the command makes none.
func takeChange(command *cobra.Command, o *changeOptions, keysOut string) {
	takeNewHosts(command, &o.hostsOptions)
	command.Flags().BoolVar(&o.yes, "yes", false, "do not ask")
	if keysOut != "" {
		command.Flags().StringVar(&o.keysOut, "keys-out", "", keysOut)
	}
}

var (
	errNotConfirmed = errors.New("the name of the stack was not typed")
	errNoTerminal   = errors.New("asks before it changes anything, and there is no terminal to ask on")
	errYesNeeded    = errors.New("--json asks nobody, so it goes with --yes")
)

// run is a command that changes hosts: it shows what it would do, asks for the
// stack's name, does it, and shows how that ended.
type run struct {
	*app
	changeOptions
	stack *stack.Stack
	keys  *keyDelivery               // nil: there is nobody to give keys to
	told  map[*engine.HostError]bool // failures that are on the screen
}

// begin reads the stack file for a command that changes hosts, and makes sure
// that it could ask. What goes wrong is printed.
func (a *app) begin(command string, o changeOptions, n needs) (*run, error) {
	a.view.command = command
	s, err := a.load(o.stackOptions, n)
	if err != nil {
		return nil, err
	}
	r := &run{app: a, changeOptions: o, stack: s, told: map[*engine.HostError]bool{}}
	switch {
	case !o.yes && a.view.json.on():
		err = fmt.Errorf("%s %w", command, errYesNeeded)
	case !o.yes && !(a.StdinTerminal && a.StderrTerminal):
		err = fmt.Errorf("%s %w", command, errNoTerminal)
	default:
		r.keys, err = a.keyDelivery(o.keysOut)
	}
	return r, a.view.failed(err)
}

// meet connects the hosts and works with them; see app.meet.
func (r *run) meet(ctx context.Context, config engine.Config, work func(context.Context, session) error) error {
	if r.keys != nil {
		config.Keys = r.keys
	}
	return r.app.meet(ctx, r.stack, r.hostsOptions, config, work)
}

// mayDo says why a plan is not carried out; nil: it is. Where there is something
// to do, it asks, with what stands before the stack's name: "Apply this to".
func (r *run) mayDo(ctx context.Context, planned *engine.Planned, question string) error {
	r.tell(planned.Failed)
	switch {
	case len(planned.Blocked()) > 0:
		r.view.blocked(planned)
		return errTold
	case len(planned.Keys) > 0 && r.keys == nil && r.view.json.on():
		return errKeysOutNeeded
	case len(planned.Keys) > 0 && r.keys == nil:
		return engine.ErrNoDelivery
	case r.lacksProxy(planned): // everything else waits for it
		return errTold
	case planned.Empty():
		return nil
	}
	hosts := filter(planned.Hosts, func(h plan.HostPlan) bool { return h.Counts().Total() > 0 })
	return r.confirm(ctx, fmt.Sprintf("%s %s (%s)", question, planned.Stack, plural(len(hosts), "host", "hosts")))
}

// lacksProxy reports whether the proxy host can't be worked on.
func (r *run) lacksProxy(planned *engine.Planned) bool {
	return slices.ContainsFunc(planned.Failed, func(e *engine.HostError) bool { return e.Host == r.stack.Proxy.Name })
}

// showing is called by the engine to show an outcome while the stack is still
// locked: new keys count as shown once it returned nil.
type showing = func(*engine.Outcome) error

// do asks for leave to carry out a plan, does so by work, and shows how that
// ended.
func (r *run) do(ctx context.Context, planned *engine.Planned, question string, show func(*engine.Outcome), work func(showing) (*engine.Outcome, error)) error {
	if err := r.mayDo(ctx, planned, question); err != nil {
		return err
	}
	if r.view.live != nil {
		r.view.gap() // above lines that will be drawn again
	}
	r.progress.begin(planned.Plan)
	outcome, err := work(func(outcome *engine.Outcome) error {
		r.progress.end(outcome)
		r.tell(outcome.Failed)
		show(outcome)
		return r.view.err()
	})
	r.progress.end(outcome)
	return r.ended(outcome, err)
}

// confirm asks a question, and goes on only when the stack's name is typed.
// While it waits, ctx can end it.
func (r *run) confirm(ctx context.Context, question string) error {
	if r.yes {
		return nil
	}
	r.view.gap()
	typed, err := r.asker.keyboard.line(ctx, func() {
		r.view.errs.printf("%s? Type %s to go on: ", question, r.stack.Name)
	})
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		r.view.errs.printf("\n")
	}
	if strings.TrimSpace(typed) != r.stack.Name {
		return errNotConfirmed
	}
	return nil
}

// tell prints failures, each once.
func (r *run) tell(failures engine.HostErrors) {
	for _, failure := range failures {
		if !r.told[failure] {
			r.told[failure] = true
			r.view.failed(failure)
		}
	}
}

// ended prints what went wrong and was not shown with the outcome.
func (r *run) ended(outcome *engine.Outcome, err error) error {
	var onHosts engine.HostErrors
	switch {
	case errors.As(err, &onHosts):
		r.tell(outcome.Failed)
		r.tell(onHosts)
		return errTold
	case errors.Is(err, engine.ErrNoToken), errors.Is(err, engine.ErrNoRelay):
		return errTold
	}
	return err
}
