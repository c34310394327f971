package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/stack"
)

// hostsOptions says how the hosts of a stack are met.
type hostsOptions struct {
	acceptNewHostKeys bool
}

func takeHosts(command *cobra.Command, o *hostsOptions) {
	command.Flags().BoolVar(&o.acceptNewHostKeys, "accept-new-host-keys", false,
		"trust hosts that known_hosts does not know yet: print their key and write it down")
}

// look reads the stack file and meets its hosts, for a command that changes
// nothing. What goes wrong is printed.
func (a *app) look(ctx context.Context, o stackOptions, n needs, config engine.Config, work func(context.Context, session) error) error {
	s, err := a.load(o, n)
	if err != nil {
		return err
	}
	return a.meet(ctx, s, config, work)
}

// meet connects the hosts of a stack and works with them until the user
// interrupts. What goes wrong is printed.
func (a *app) meet(ctx context.Context, s *stack.Stack, config engine.Config, work func(context.Context, session) error) error {
	progress := newProgress(a.view, names(s.Hosts(), func(h *stack.Host) string { return h.Name }))
	a.progress = progress
	ctx, done := a.untilInterrupted(ctx, progress)
	defer done()
	beating := progress.start(ctx)
	defer beating()
	config.Stack, config.Operator, config.Version, config.Events = s, a.Operator, a.Version, progress.hear
	hosts, err := a.connect(ctx, config)
	if err != nil {
		return a.view.failed(err)
	}
	defer hosts.Close() // never fails in a way that matters here
	return a.view.failed(work(ctx, hosts))
}
