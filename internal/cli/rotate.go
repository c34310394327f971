package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/stack"
)

// rotator replaces secrets.
type rotator interface {
	PlanRotation(ctx context.Context, request engine.RotateRequest) (*engine.Rotation, error)
	Rotate(ctx context.Context, rotation *engine.Rotation, show func(*engine.Rotated) error) (*engine.Rotated, error)
}

type rotateOptions struct {
	stackOptions
	hostsOptions
	engine.RotateRequest
	keysOut string
	yes     bool
}

// defaultGrace is for how long a replaced API key stays good: a day, so that
// whoever has it finds time to change it.
const defaultGrace = 24 * time.Hour

// maxGrace keeps a mistyped duration from making a key good for ever.
const maxGrace = 366 * 24 * time.Hour

func (a *app) rotateCommand() *cobra.Command {
	var o rotateOptions
	command := &cobra.Command{
		Use:   "rotate-secret [stack.hcl]",
		Short: "Renew the secrets of workers, or an API key; no request fails",
		Long: `Replace the secrets that workers are known by at the relay, or an API key that
relayctl made. The old secret of a worker is revoked when it is proved that
nobody uses it any more; the old key stays good for --grace. No request fails
and no stream is cut. Running it again is safe, also after it was interrupted:
it goes on from there.`,
	}
	takeStack(command, &o.stackOptions)
	takeHosts(command, &o.hostsOptions)
	flags := command.Flags()
	flags.StringVar(&o.Worker, "worker", "", "replace the secret of the worker `NAME` only")
	flags.StringVar(&o.Key, "key", "", "replace the API key `NAME` instead of workers' secrets")
	flags.DurationVar(&o.Grace, "grace", defaultGrace, "of an API key: the `DURATION` that the old one stays good for, such as 90m")
	flags.Lookup("grace").DefValue = "24h"
	flags.StringVar(&o.keysOut, "keys-out", "", "of an API key: append the new one to `FILE` instead of showing it")
	flags.BoolVar(&o.yes, "yes", false, "do not ask")
	command.RunE = func(command *cobra.Command, _ []string) error {
		if o.Worker != "" && o.Key != "" {
			return errors.New("--worker and --key: one of them at a time")
		}
		for _, flag := range []string{"grace", "keys-out"} {
			if o.Key == "" && command.Flags().Changed(flag) {
				return fmt.Errorf("--%s goes with --key", flag)
			}
		}
		if o.Grace < 0 || o.Grace > maxGrace {
			return fmt.Errorf("--grace %v: it is between 0s and %v", o.Grace, maxGrace)
		}
		return a.rotate(command.Context(), o)
	}
	return command
}

var (
	errNoTerminalToRotate = errors.New("rotate-secret asks before it changes anything, and there is no terminal to ask on")
	errNobodyForKey       = errors.New("nobody to give the new key to")
	errOwnKey             = errors.New("is the stack file's own")
)

func (a *app) rotate(ctx context.Context, o rotateOptions) error {
	needs := noSecrets // a worker's secret is made on its host
	if o.Key != "" {
		needs = everything // its file holds the hashes of all keys
	}
	s, err := a.load(o.stackOptions, needs)
	if err != nil {
		return err
	}
	if err := o.checkNames(s); err != nil {
		return a.view.failed(err, s.Sources)
	}
	if !o.yes && !a.mayAsk() {
		return a.view.failed(errNoTerminalToRotate, nil)
	}
	config := engine.Config{AcceptNewHostKeys: o.acceptNewHostKeys}
	var keys keyDelivery
	if o.Key != "" {
		if keys, err = a.keyDelivery(o.keysOut); err == nil && keys == nil {
			err = errNobodyForKey
		}
		if err != nil {
			return a.view.failed(err, nil)
		}
		defer keys.Close() // every key was synced to disk when it was delivered
		config.Keys = keys
	}
	return a.meet(ctx, s, config, func(ctx context.Context, hosts session) error {
		run := rotateRun{app: a, options: o, stack: s, keys: keys, told: map[*engine.HostError]bool{}}
		return run.do(ctx, hosts)
	})
}

// checkNames refuses names that the stack does not have, and keys that are not
// relayctl's to make.
func (o rotateOptions) checkNames(s *stack.Stack) error {
	if o.Worker != "" {
		if _, ok := s.Worker(o.Worker); !ok {
			return unknown("worker", o.Worker, workerNames(s))
		}
	}
	if o.Key == "" {
		return nil
	}
	var names []string
	for _, key := range s.APIKeys {
		if names = append(names, key.Name); key.Name == o.Key {
			if !key.Value.IsZero() {
				return fmt.Errorf("the value of api_key %q %w", o.Key, errOwnKey)
			}
			return nil
		}
	}
	return unknown("api_key", o.Key, names)
}

func unknown(block, name string, known []string) error {
	return fmt.Errorf("the stack has no %s %q. %s", block, name, stack.Suggest(name, known))
}

func workerNames(s *stack.Stack) []string {
	var names []string
	for _, w := range s.Workers {
		names = append(names, w.Name)
	}
	return names
}

// rotateRun is a rotation from its plan on.
type rotateRun struct {
	*app
	options rotateOptions
	stack   *stack.Stack
	keys    keyDelivery // nil: no key is made
	told    map[*engine.HostError]bool
}

func (r *rotateRun) do(ctx context.Context, hosts rotator) error {
	rotation, err := hosts.PlanRotation(ctx, r.options.RotateRequest)
	if err != nil {
		return r.view.failed(err, r.stack.Sources)
	}
	r.view.rotation(rotation)
	r.tell(rotation.Failed)
	if !r.options.yes {
		ask := func() { r.view.rotateQuestion(rotation) }
		if err := r.confirmName(ctx, rotation.Stack, ask); err != nil {
			return r.view.failed(err, nil)
		}
	}
	rotated, err := hosts.Rotate(ctx, rotation, func(rotated *engine.Rotated) error { return r.show(rotation, rotated) })
	var onHosts engine.HostErrors
	switch {
	case err == nil:
		return nil
	case errors.As(err, &onHosts):
		r.tell(rotated.Failed)
		r.tell(onHosts)
		return errTold
	case errors.Is(err, engine.ErrNoToken), errors.Is(err, engine.ErrNoRelay):
		return errTold
	}
	return r.view.failed(err, r.stack.Sources)
}

// show prints how a rotation ended, while the stack is still locked.
func (r *rotateRun) show(rotation *engine.Rotation, rotated *engine.Rotated) error {
	r.tell(rotated.Failed)
	r.view.proof(rotated.Proof)
	r.view.rotated(rotation, rotated)
	if r.keys != nil {
		r.view.keys(rotated.Keys, r.keys)
	}
	return r.view.err()
}

// tell prints failures, each once.
func (r *rotateRun) tell(failures engine.HostErrors) {
	for _, failure := range failures {
		if !r.told[failure] {
			r.told[failure] = true
			r.view.hostError(failure, r.stack.Sources)
		}
	}
}
