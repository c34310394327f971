package cli

import (
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/stack"
)

// applier does what was planned.
type applier interface {
	Apply(ctx context.Context, planned *engine.Planned, show func(*engine.Outcome) error) (*engine.Outcome, error)
}

type applyOptions struct {
	stackOptions
	hostsOptions
	diff    bool
	yes     bool
	adopt   bool
	keysOut string
	forget  []string
}

func (a *app) applyCommand() *cobra.Command {
	var o applyOptions
	command := &cobra.Command{
		Use:   "apply [stack.hcl]",
		Short: "Make hosts as the stack file says, and prove it by an answer",
		Long: `Make all hosts as the stack file says, and prove it by a model's answer.
What is to be done is shown first, and done once the name of the stack is typed.
Running it again is safe, also after it was interrupted.`,
	}
	takeStack(command, &o.stackOptions)
	takeHosts(command, &o.hostsOptions)
	a.takeJSON(command, typeResult)
	flags := command.Flags()
	flags.BoolVar(&o.yes, "yes", false, "do not ask")
	flags.BoolVar(&o.adopt, "adopt", false, "take over what stands in the way and was not made by relayctl; originals are kept")
	flags.StringVar(&o.keysOut, "keys-out", "", "append new API keys to `FILE` instead of showing them")
	flags.StringArrayVar(&o.forget, "forget", nil, "give up the host `NAME` that left the stack and can't be reached any more")
	flags.BoolVar(&o.diff, "diff", false, "show how the text of files changes, secrets left out")
	command.RunE = func(command *cobra.Command, _ []string) error { return a.apply(command.Context(), o) }
	return command
}

func (a *app) apply(ctx context.Context, o applyOptions) error {
	s, err := a.load(o.stackOptions, everything)
	if err != nil {
		return err
	}
	switch {
	case !o.yes && a.view.json != nil:
		return a.view.failed(errYesNeeded, nil)
	case !o.yes && !a.mayAsk():
		return a.view.failed(errNoTerminal, nil)
	}
	keys, err := a.keyDelivery(o.keysOut)
	if err != nil {
		return a.view.failed(err, nil)
	}
	if keys != nil {
		defer keys.Close() // every key was synced to disk when it was delivered
	}
	config := engine.Config{AcceptNewHostKeys: o.acceptNewHostKeys, Adopt: o.adopt, Forget: o.forget}
	if keys != nil {
		config.Keys = keys
	}
	return a.meet(ctx, s, config, func(ctx context.Context, hosts session) error {
		planned, err := hosts.Plan(ctx)
		if err != nil {
			return a.view.failed(err, s.Sources)
		}
		run := applyRun{app: a, options: o, stack: s, keys: keys, planned: planned, told: map[*engine.HostError]bool{}}
		return run.do(ctx, hosts)
	})
}

// applyRun is an apply from its plan on.
type applyRun struct {
	*app
	options applyOptions
	stack   *stack.Stack
	keys    keyDelivery // nil: nobody to give keys to
	planned *engine.Planned
	told    map[*engine.HostError]bool // failures that are on the screen
}

func (r *applyRun) do(ctx context.Context, hosts applier) error {
	r.view.plan(r.planned, r.options.file, r.options.diff)
	r.tell(r.planned.Failed)
	if len(r.planned.Blocked()) > 0 {
		r.view.blocked(r.planned, r.stack.Sources, r.options.stackOptions)
		return errTold
	}
	if len(r.planned.Keys) > 0 && r.keys == nil {
		return r.view.failed(r.nobodyForKeys(), nil)
	}
	if r.proxyFailed() {
		return errTold
	}
	if !r.options.yes && !r.planned.Empty() {
		if err := r.confirm(ctx, r.planned.Plan); err != nil {
			return r.view.failed(err, nil)
		}
	}
	r.view.workBegins()
	r.progress.begin(r.planned.Plan)
	outcome, err := hosts.Apply(ctx, r.planned, r.show)
	return r.ended(outcome, err)
}

// nobodyForKeys is why new keys have nowhere to go.
func (r *applyRun) nobodyForKeys() error {
	if r.view.json != nil {
		return errKeysOutNeeded
	}
	return engine.ErrNoDelivery
}

// proxyFailed reports whether the proxy host can't be worked on: everything
// else waits for it.
func (r *applyRun) proxyFailed() bool {
	return slices.ContainsFunc(r.planned.Failed, func(e *engine.HostError) bool { return e.Host == r.stack.Proxy.Name })
}

// tell prints failures, each once.
func (r *applyRun) tell(failures engine.HostErrors) {
	for _, failure := range failures {
		if !r.told[failure] {
			r.told[failure] = true
			r.view.hostError(failure, r.stack.Sources)
		}
	}
}

// show prints how the apply ended, while the stack is still locked: new keys
// count as shown once it returned nil.
func (r *applyRun) show(outcome *engine.Outcome) error {
	r.progress.end(outcome)
	r.tell(outcome.Failed)
	r.view.outcome(outcome, r.planned)
	r.view.proof(outcome.Proof)
	if r.keys != nil {
		r.view.keys(outcome.Keys, r.keys)
	}
	if outcome.Proof.OK() && (len(outcome.Keys) > 0 || isFirst(r.planned.Plan)) {
		r.view.tryIt(r.stack, r.options.stackOptions, outcome.Keys, r.keys)
	}
	return r.view.err()
}

// isFirst reports whether relayctl was never on the proxy host before.
func isFirst(p plan.Plan) bool {
	return slices.ContainsFunc(p.Hosts, func(h plan.HostPlan) bool { return h.New && h.Role == plan.RoleProxy })
}

// ended prints what went wrong and was not shown with the outcome.
func (r *applyRun) ended(outcome *engine.Outcome, err error) error {
	r.progress.end(outcome)
	var onHosts engine.HostErrors
	switch {
	case err == nil:
		return nil
	case errors.As(err, &onHosts):
		r.tell(outcome.Failed)
		r.tell(onHosts)
		return errTold
	case errors.Is(err, engine.ErrNoToken), errors.Is(err, engine.ErrNoRelay):
		return errTold
	}
	return r.view.failed(err, r.stack.Sources)
}
