package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/stack"
)

// rotator replaces secrets.
type rotator interface {
	PlanRotation(ctx context.Context, request engine.RotateRequest) (*engine.Rotation, error)
	Rotate(ctx context.Context, rotation *engine.Rotation, show func(*engine.Rotated) error) (*engine.Rotated, error)
}

type rotateOptions struct {
	changeOptions
	engine.RotateRequest
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
	takeChange(command, &o.changeOptions, "of an API key: append the new one to `FILE` instead of showing it")
	flags := command.Flags()
	flags.StringVar(&o.Worker, "worker", "", "replace the secret of the worker `NAME` only")
	flags.StringVar(&o.Key, "key", "", "replace the API key `NAME` instead of workers' secrets")
	flags.DurationVar(&o.Grace, "grace", defaultGrace, "of an API key: the `DURATION` that the old one stays good for, such as 90m")
	flags.Lookup("grace").DefValue = "24h"
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
	errNobodyForKey = errors.New("nobody to give the new key to")
	errOwnKey       = errors.New("is the stack file's own")
)

func (a *app) rotate(ctx context.Context, o rotateOptions) error {
	needs := noSecrets // a worker's secret is made on its host
	if o.Key != "" {
		needs = everything // its file holds the hashes of all keys
	}
	r, err := a.begin("rotate-secret", o.changeOptions, needs)
	if err != nil {
		return err
	}
	if err = o.checkNames(r.stack); err == nil && o.Key != "" && r.keys == nil {
		err = errNobodyForKey
	}
	if err != nil {
		return a.view.failed(err)
	}
	return r.meet(ctx, engine.Config{}, func(ctx context.Context, hosts session) error {
		rotation, err := hosts.PlanRotation(ctx, o.RotateRequest)
		if err != nil {
			return err
		}
		r.view.rotation(rotation)
		r.tell(rotation.Failed)
		if err := r.confirm(ctx, "Do this on "+rotation.Stack); err != nil {
			return err
		}
		rotated, err := hosts.Rotate(ctx, rotation, func(rotated *engine.Rotated) error { // while the stack is still locked
			r.tell(rotated.Failed)
			r.view.proof(rotated.Proof)
			r.view.rotated(rotation, rotated)
			r.view.keys(rotated.Keys, r.keys)
			return r.view.err()
		})
		return r.ended(&rotated.Outcome, err)
	})
}

// checkNames refuses names that the stack does not have, and keys that are not
// relayctl's to make.
func (o rotateOptions) checkNames(s *stack.Stack) error {
	if o.Worker != "" {
		if _, ok := s.Worker(o.Worker); !ok {
			return unknown("worker", o.Worker, names(s.Workers, func(w *stack.Worker) string { return w.Name }))
		}
	}
	if o.Key == "" {
		return nil
	}
	at := slices.IndexFunc(s.APIKeys, func(k *stack.APIKey) bool { return k.Name == o.Key })
	switch {
	case at < 0:
		return unknown("api_key", o.Key, names(s.APIKeys, func(k *stack.APIKey) string { return k.Name }))
	case !s.APIKeys[at].Value.IsZero():
		return fmt.Errorf("the value of api_key %q %w", o.Key, errOwnKey)
	}
	return nil
}

func unknown(block, name string, known []string) error {
	return fmt.Errorf("the stack has no %s %q. %s", block, name, stack.Suggest(name, known))
}

// rotation prints what a rotation would do.
func (v *view) rotation(r *engine.Rotation) {
	if r.Key != "" {
		v.out.printf("Rotating the API key %s of %s\n", r.Key, r.Stack)
		fate := "ends at once"
		if r.Grace > 0 {
			fate = "stays good for " + duration(r.Grace)
		}
		v.out.printf("  a new key is made; the old one %s\n", fate)
		return
	}
	v.out.printf("Rotating the worker secret of %s (%s)\n", r.Stack, plural(len(r.Workers), "worker", "workers"))
	var rows [][]string
	for _, worker := range r.Workers {
		fate := "gets a new secret; the old one is revoked when nobody uses it any more"
		if worker.Unfinished {
			fate = "its unfinished rotation is finished"
		}
		rows = append(rows, []string{"  " + worker.Name, fate})
	}
	v.table(rows)
}

// duration writes whole hours and minutes as people say them.
func duration(d time.Duration) string {
	switch {
	case d%time.Hour == 0:
		return plural(int(d/time.Hour), "hour", "hours")
	case d%time.Minute == 0:
		return plural(int(d/time.Minute), "minute", "minutes")
	}
	return d.String()
}

// rotated prints how a rotation ended.
func (v *view) rotated(r *engine.Rotation, rotated *engine.Rotated) {
	if len(rotated.Failed) > 0 || !rotated.Proof.OK() {
		if r.Key == "" {
			v.gap()
			v.errs.printf("%s", v.wrapped(0, fmt.Sprintf("%d of %s have a new secret. Run rotate-secret again when mended: it goes on from there.",
				len(rotated.Workers), plural(len(r.Workers)+len(r.Failed), "worker", "workers"))))
		}
		return
	}
	text := fmt.Sprintf("Done in %s.", plan.Seconds(rotated.Took))
	if r.Key != "" && r.Grace > 0 {
		text += fmt.Sprintf(" The old key is good until %s UTC.", minute(rotated.Until))
	}
	if rotated.Counted && rotated.Requests > 0 {
		failed := "none failed"
		if rotated.Broken > 0 {
			failed = fmt.Sprintf("%d failed", rotated.Broken)
		}
		text += fmt.Sprintf(" %s ran meanwhile, %s.", plural(rotated.Requests, "request", "requests"), failed)
	}
	v.say(0, "%s", text)
}
