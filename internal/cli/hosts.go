package cli

import (
	"context"
	"errors"
	"strconv"
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

// hostsOptions say which stack a command is about, and how its hosts are met.
type hostsOptions struct {
	stackOptions
	acceptNewHostKeys bool
	sudoPasswordFile  string
	parallelism       parallelism
}

// takeHosts lets a command meet the hosts of a stack.
func takeHosts(command *cobra.Command, o *hostsOptions) {
	takeStack(command, &o.stackOptions)
	flags := command.Flags()
	flags.StringVar(&o.sudoPasswordFile, "sudo-password-file", "", "read the password for sudo from the first line of `FILE`")
	o.parallelism = engine.DefaultParallelism
	flags.Var(&o.parallelism, "parallelism", "connect to at most `N` hosts at once")
}

// takeNewHosts lets a command meet hosts that nobody has met yet.
func takeNewHosts(command *cobra.Command, o *hostsOptions) {
	takeHosts(command, o)
	command.Flags().BoolVar(&o.acceptNewHostKeys, "accept-new-host-keys", false,
		"trust hosts that known_hosts does not know yet: print their key and write it down")
}

// parallelism is how many hosts are connected to at once.
type parallelism int

const maxParallelism = 256

// Set implements pflag.Value.
func (p *parallelism) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err == nil && (n < 1 || n > maxParallelism) {
		err = strconv.ErrRange
	}
	*p = parallelism(n)
	return err
}

// String implements pflag.Value.
func (p *parallelism) String() string { return strconv.Itoa(int(*p)) }

// Type implements pflag.Value.
func (p *parallelism) Type() string { return "parallelism" }

// look reads the stack file and meets its hosts, for a command that changes
// nothing. What goes wrong is printed.
func (a *app) look(ctx context.Context, o hostsOptions, n needs, work func(context.Context, session) error) error {
	s, err := a.load(o.stackOptions, n)
	if err != nil {
		return err
	}
	return a.meet(ctx, s, o, engine.Config{}, work)
}

// meet connects the hosts of a stack and works with them until the user
// interrupts. What goes wrong is printed.
func (a *app) meet(ctx context.Context, s *stack.Stack, o hostsOptions, config engine.Config, work func(context.Context, session) error) error {
	password, err := a.sudoPassword(o.sudoPasswordFile)
	if err != nil {
		return a.view.failed(err)
	}
	a.progress = newProgress(a.view, names(s.Hosts(), func(h *stack.Host) string { return h.Name }))
	ctx, done := a.untilInterrupted(ctx)
	defer done()
	defer a.progress.start(ctx)()
	config.Stack, config.Operator, config.Version = s, a.Operator, a.Version
	config.Events, config.Ask = a.progress.hear, a.ask
	config.AcceptNewHostKeys, config.SudoPassword, config.Parallelism = o.acceptNewHostKeys, password, int(o.parallelism)
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
