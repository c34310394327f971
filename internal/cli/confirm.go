package cli

import (
	"bufio"
	"context"
	"errors"
	"strings"

	"github.com/relayctl/relayctl/internal/plan"
)

var (
	errNoTerminal   = errors.New("apply asks before it changes anything, and there is no terminal to ask on")
	errNotConfirmed = errors.New("the name of the stack was not typed")
)

// mayAsk reports whether there is somebody to ask.
func (a *app) mayAsk() bool { return a.StdinTerminal && a.StderrTerminal }

// confirm asks for the stack's name. While it waits, ctx can end it; what
// reads the answer then waits on until the program ends, since a terminal
// can't be told to stop.
func (a *app) confirm(ctx context.Context, p plan.Plan) error {
	return a.confirmName(ctx, p.Stack, func() { a.view.question(p) })
}

// confirmName asks, and goes on only when the stack's name is typed.
func (a *app) confirmName(ctx context.Context, stack string, ask func()) error {
	ask()
	answer := make(chan string, 1)
	go func() {
		line, err := bufio.NewReader(a.Stdin).ReadString('\n')
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
			a.view.unanswered()
		}
		if strings.TrimSpace(typed) != stack {
			return errNotConfirmed
		}
		return nil
	}
}
