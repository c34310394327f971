package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/secret"
)

var (
	errNothingTyped = errors.New("nothing was typed")
	errNoAskpass    = errors.New("SSH_ASKPASS_REQUIRE has SSH_ASKPASS asked, which names no program")
)

// asker asks what only the user knows, one question at a time.
type asker struct {
	turn     chan struct{} // holds one token while a question is asked
	keyboard *keyboard
}

func newAsker(s System) *asker {
	return &asker{turn: make(chan struct{}, 1), keyboard: newKeyboard(s)}
}

// ask asks a question; see engine.Config.Ask. Its error says why there is no
// answer, and what would help.
func (a *app) ask(ctx context.Context, q engine.Question) (secret.Value, error) {
	select {
	case a.asker.turn <- struct{}{}:
	case <-ctx.Done():
		return secret.Value{}, context.Cause(ctx)
	}
	defer func() { <-a.asker.turn }()
	if ctx.Err() != nil { // while another question was asked
		return secret.Value{}, context.Cause(ctx)
	}
	answer, err := a.answer(ctx, q)
	switch {
	case ctx.Err() != nil:
		return secret.Value{}, context.Cause(ctx)
	case err == nil && answer == "" && !mayBeEmpty(q):
		err = errNothingTyped
	}
	if err != nil {
		return secret.Value{}, &unansweredError{a.adviceFor(q), err}
	}
	value := secret.New(answer)
	if !q.Echo {
		a.view.secrets.add(value)
	}
	return value, nil
}

// answer asks by the program that SSH_ASKPASS names, or on the terminal: as ssh
// does.
func (a *app) answer(ctx context.Context, q engine.Question) (string, error) {
	onTerminal, program := a.StdinTerminal && a.StderrTerminal, a.env("SSH_ASKPASS")
	require := a.env("SSH_ASKPASS_REQUIRE")
	isDesktop := a.env("DISPLAY") != "" || a.env("WAYLAND_DISPLAY") != ""
	byProgram := program != "" && isDesktop && (!onTerminal || require == "prefer")
	switch {
	case a.view.json.on():
		return "", fmt.Errorf("%s is needed, and --json asks nobody", a.wanted(q))
	case require == "never":
		byProgram = false
	case require == "force" && program == "":
		return "", errNoAskpass
	case require == "force":
		byProgram, onTerminal = true, false
	}
	text := a.worded(q)
	if byProgram {
		answer, err := askpass(ctx, program, text.whole())
		if !errors.Is(err, errNotStarted) || !onTerminal {
			return answer, err
		}
	}
	if !onTerminal {
		return "", fmt.Errorf("%s is needed, and there is no terminal to ask on", a.wanted(q))
	}
	return a.askHere(ctx, text)
}

// askHere asks on the terminal, where nothing else is printed meanwhile.
func (a *app) askHere(ctx context.Context, text question) (string, error) {
	defer a.progress.pause()()
	show, err := a.hide(text)
	if err != nil {
		return "", err
	}
	a.view.errs.printf("%s", text.before)
	again := false
	answer, err := a.asker.keyboard.line(ctx, func() {
		if again { // others may have had the terminal
			a.hide(text) // as it could be hidden before; show knows how it was at first
		}
		again = true
		a.view.errs.printf("%s", text.prompt)
	})
	show()
	if text.hidden || err != nil { // the end of the line was not shown
		a.view.errs.printf("\n")
	}
	return answer, err
}

// hide has the answer not shown, where it is not to be, until show is called.
func (a *app) hide(text question) (show func(), err error) {
	if !text.hidden || a.HideTyping == nil {
		return func() {}, nil
	}
	if show, err = a.HideTyping(); err != nil {
		return nil, fmt.Errorf("hide what is typed: %w", err)
	}
	return show, nil
}

// unansweredError is why a question has no answer.
type unansweredError struct {
	advice string
	err    error
}

func (e *unansweredError) Error() string { return e.err.Error() }

func (e *unansweredError) Unwrap() error { return e.err }

// Advice says what the user can do.
func (e *unansweredError) Advice() string { return e.advice }
