package cli

import (
	"bufio"
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/stack"
)

// changeOptions are those of a command that changes hosts.
type changeOptions struct {
	stackOptions
	hostsOptions
	yes     bool
	keysOut string
}

func takeChange(command *cobra.Command, o *changeOptions, keysOut string) {
	takeStack(command, &o.stackOptions)
	takeHosts(command, &o.hostsOptions)
	command.Flags().BoolVar(&o.yes, "yes", false, "do not ask")
	command.Flags().StringVar(&o.keysOut, "keys-out", "", keysOut)
}

var (
	errNotConfirmed = errors.New("the name of the stack was not typed")
	errNoTerminal   = errors.New("asks before it changes anything, and there is no terminal to ask on")
	errYesNeeded    = errors.New("--json asks nobody, so it goes with --yes")
)

// unaskedError means that a command has nobody to ask.
type unaskedError struct {
	command string
	why     error
}

func (e *unaskedError) Error() string { return e.command + " " + e.why.Error() }

func (e *unaskedError) Unwrap() error { return e.why }

// run is a command that changes hosts: it shows what it would do, asks for the
// stack's name, does it, and shows how that ended.
type run struct {
	*app
	changeOptions
	stack *stack.Stack
	keys  keyDelivery                // nil: there is nobody to give keys to
	told  map[*engine.HostError]bool // failures that are on the screen
}

// begin reads the stack file for a command that changes hosts, and makes sure
// that it could ask. What goes wrong is printed.
func (a *app) begin(command string, o changeOptions, n needs, check func(*stack.Stack) error) (*run, error) {
	s, err := a.load(o.stackOptions, n)
	if err != nil {
		return nil, err
	}
	r := &run{app: a, changeOptions: o, stack: s, told: map[*engine.HostError]bool{}}
	switch err = check(s); {
	case err != nil:
	case !o.yes && a.view.json != nil:
		err = &unaskedError{command, errYesNeeded}
	case !o.yes && !(a.StdinTerminal && a.StderrTerminal):
		err = &unaskedError{command, errNoTerminal}
	default:
		r.keys, err = a.keyDelivery(o.keysOut)
	}
	return r, a.view.failed(err)
}

// meet connects the hosts and works with them; see app.meet.
func (r *run) meet(ctx context.Context, config engine.Config, work func(context.Context, session) error) error {
	config.AcceptNewHostKeys = r.acceptNewHostKeys
	if r.keys != nil {
		defer r.keys.Close() // every key was synced to disk when it was delivered
		config.Keys = r.keys
	}
	return r.app.meet(ctx, r.stack, config, work)
}

// confirm asks a question, and goes on only when the stack's name is typed.
// While it waits, ctx can end it; what reads the answer then waits on until the
// program ends, since a terminal can't be told to stop.
func (r *run) confirm(ctx context.Context, question string) error {
	if r.yes {
		return nil
	}
	r.view.question(question, r.stack.Name)
	answer := make(chan string, 1)
	go func() {
		line, err := bufio.NewReader(r.Stdin).ReadString('\n')
		if err != nil {
			line = "" // an unfinished line is no answer
		}
		answer <- line
	}()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case typed := <-answer:
		if typed == "" {
			r.view.unanswered()
		}
		if strings.TrimSpace(typed) != r.stack.Name {
			return errNotConfirmed
		}
		return nil
	}
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
