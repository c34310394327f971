package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/stack"
)

// session is a conversation with all hosts of a stack: what a command needs of
// it to change them stands beside the command.
type session interface {
	reader
	applier
	rotator
	undoer
	destroyer
	Close() error
}

// reader tells how a stack is, and was.
type reader interface {
	Status(ctx context.Context) (*engine.Status, error)
	RootCA(ctx context.Context) (string, error)
	History(ctx context.Context, request engine.HistoryRequest) (*engine.History, error)
}

// takeHosts lets a command meet hosts that nobody has met yet.
func takeHosts(command *cobra.Command, acceptNewHostKeys *bool) {
	command.Flags().BoolVar(acceptNewHostKeys, "accept-new-host-keys", false,
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
	a.progress = newProgress(a.view, names(s.Hosts(), func(h *stack.Host) string { return h.Name }))
	ctx, done := a.untilInterrupted(ctx)
	defer done()
	defer a.progress.start(ctx)()
	config.Stack, config.Operator, config.Version, config.Events = s, a.Operator, a.Version, a.progress.hear
	hosts, err := a.connect(ctx, config)
	if err != nil {
		return a.view.failed(err)
	}
	defer hosts.Close() // never fails in a way that matters here
	return a.view.failed(work(ctx, hosts))
}

// errInterrupted is the cause of everything that ends because the user asked.
var errInterrupted = errors.New("stopped as asked")

// stopGrace is how long all may take to stop after the first signal: a host has
// 2 minutes for the step it is in, and one for each end of an apply after that.
const stopGrace = 5 * time.Minute

// untilInterrupted ends the context at the first signal, so that every host
// finishes the step it is in, and the program at the second one, or when nothing
// has come to an end in stopGrace. stop ends the watch.
func (a *app) untilInterrupted(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-over:
			return
		case <-a.Interrupts:
		}
		a.progress.hear(engine.Event{Phase: stopping, Text: "Stopping: every host finishes the step it is in. Ctrl-C again stops at once."})
		cancel(errInterrupted)
		text := "Stopped at once. Each host"
		select {
		case <-over:
			return
		case <-a.Interrupts:
		case <-time.After(stopGrace):
			text = "Stopped: not every host came to an end within " + plan.Seconds(stopGrace) + ". Each"
		}
		a.progress.hear(engine.Event{Phase: stopped, Text: text + " ends its step by itself; run " + a.view.command + " again to go on."})
		a.view.json.fail(a.view.failuresOf(errInterrupted)...)
		a.view.json.finish(exitError)
		a.Exit(exitError)
	}()
	return ctx, func() {
		close(over)
		<-ended
		cancel(nil)
	}
}
