package cli_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/secret"
)

var (
	passphrase = engine.Question{For: engine.Passphrase, Hosts: []string{"edge", "gpu-1"}, File: "/home/ops/.ssh/id_ed25519"}
	password   = engine.Question{For: engine.Password, Hosts: []string{"edge"}, User: "ops", Address: "203.0.113.10:22"}
	code       = engine.Question{For: engine.Challenge, Hosts: []string{"edge"}, User: "ops", Address: "203.0.113.10:22", Said: "Verification code: ", Echo: true}
	sudo       = engine.Question{For: engine.SudoAnswers, Hosts: []string{"edge"}, User: "ops"}
	sudoOfAll  = engine.Question{For: engine.SudoAnswers, Hosts: []string{"edge", "gpu-1", "gpu-2"}, User: "ops"}
)

// asked is a plan during which a question is asked, and what came of it.
type asked struct {
	*hosts
	answer secret.Value
	err    error
}

func asks(q engine.Question) *asked {
	a := &asked{hosts: &hosts{planned: planOf()}}
	a.before = func() { a.answer, a.err = a.config.Ask(context.Background(), q) }
	return a
}

// newDesk is a console in whose terminal typing can be hidden.
func newDesk(t *testing.T, typed string) (c *console, hidden *[]bool) {
	t.Helper()
	c, hidden = newConsole(t, typed, "plan"), new([]bool)
	c.Home = "/home/ops"
	c.HideTyping = func() (func(), error) {
		*hidden = append(*hidden, true)
		return func() { *hidden = append(*hidden, false) }, nil
	}
	return c, hidden
}

// with sets variables of the environment beside those that a console has.
func (c *console) with(variables map[string]string) {
	env := c.Env
	c.Env = func(name string) (string, bool) {
		if value, ok := variables[name]; ok {
			return value, true
		}
		return env(name)
	}
}

func TestQuestionsAreWorded(t *testing.T) {
	duo := code
	duo.Said = "\nDuo two-factor login for ops\r\n\r\nEnter a passcode or select one:\n\n 1. Duo Push to XXX-1234\n\nPasscode or option (1-1): "
	hostile := code
	hostile.Said = "\x1b[2J\x1b]0;title\aPassphrase of ~/.ssh/id_ed25519:\u202e\u200b" + strings.Repeat("x", 200)
	behind := password
	behind.Hosts, behind.Address = []string{"gpu-1", "gpu-2"}, "bastion.example.com:22"
	endless := code
	endless.Said = strings.Repeat("line\n", 1000) + strings.Repeat("y", 1<<20)
	silent := code
	silent.Said = " \r\n"
	twenty := sudoOfAll
	twenty.Hosts = nil
	for i := range 20 {
		twenty.Hosts = append(twenty.Hosts, nameOf(i))
	}
	nobody := sudo
	nobody.User = ""
	var said strings.Builder
	for _, one := range []struct {
		name string
		q    engine.Question
	}{
		{"passphrase", passphrase}, {"password", password}, {"password of a hop", behind}, {"challenge", code}, {"sudo", sudo}, {"sudo of a user without a name", nobody},
		{"sudo on several hosts", sudoOfAll}, {"sudo on twenty", twenty}, {"challenge in lines", duo}, {"hostile challenge", hostile},
		{"endless challenge", endless}, {"challenge without words", silent},
	} {
		c, hidden := newDesk(t, "typed by ops\n")
		a := asks(one.q)
		c.run(a.hosts).wantCode(t, 0)
		if a.err != nil || a.answer.Reveal() != "typed by ops" {
			t.Errorf("%s: %q, %v", one.name, a.answer.Reveal(), a.err)
		}
		if wanted := fmt.Sprint([]bool{true, false}); !one.q.Echo && fmt.Sprint(*hidden) != wanted || one.q.Echo && len(*hidden) > 0 {
			t.Errorf("%s: typing was hidden: %v", one.name, *hidden)
		}
		fmt.Fprintf(&said, "-- %s --\n%s|\n", one.name, c.stderr.String())
	}
	golden(t, "questions", said.String())
}

// Only what may be left empty is.
func TestNothingTyped(t *testing.T) {
	for _, one := range []struct {
		q           engine.Question
		typed, want string
	}{
		{passphrase, "\n", "nothing was typed"},
		{password, "\r\n", "nothing was typed"},
		{sudo, "\n", "nothing was typed"},
		{sudoOfAll, "\n", ""}, // asks for each host by itself
		{code, "\n", ""},      // "press Enter when you have confirmed"
		{code, "", "nothing was typed"},
		{sudoOfAll, "", "nothing was typed"},
		{password, "unfinished", "nothing was typed"},
	} {
		c, hidden := newDesk(t, one.typed)
		a := asks(one.q)
		c.run(a.hosts)
		if fmt.Sprint(a.err) != one.want && (a.err != nil || one.want != "") || !a.answer.IsZero() {
			t.Errorf("%s, typed %q: %v, want %q", one.q.For, one.typed, a.err, one.want)
		}
		if len(*hidden)%2 != 0 {
			t.Errorf("%s, typed %q: typing stays hidden", one.q.For, one.typed)
		}
		if screen := c.stderr.String(); !strings.HasSuffix(screen, "\n") && !one.q.Echo {
			t.Errorf("%s, typed %q: the line does not end: %q", one.q.For, one.typed, screen)
		}
	}
}

// A password keeps its blanks, and Windows' line ends are none of it.
func TestAnswersStayAsTheyAre(t *testing.T) {
	for typed, want := range map[string]string{" a b \n": " a b ", "pässwörd\r\n": "pässwörd", "\xff\xfe\n": "\xff\xfe", "(secret)%s\n": "(secret)%s"} {
		c, _ := newDesk(t, typed)
		a := asks(password)
		if c.run(a.hosts); a.answer.Reveal() != want {
			t.Errorf("typed %q: %q, %v", typed, a.answer.Reveal(), a.err)
		}
	}
}

// Twenty hosts that are dialled at once ask one after the other.
func TestOneQuestionAtATime(t *testing.T) {
	const n = 20
	var typed strings.Builder
	for i := range n {
		fmt.Fprintf(&typed, "answer %02d\n", i)
	}
	c, hidden := newDesk(t, typed.String())
	h := &hosts{planned: planOf()}
	answers := make([]string, n)
	h.before = func() {
		var asking sync.WaitGroup
		for i := range n {
			asking.Go(func() {
				q := password
				q.Hosts = []string{nameOf(i)}
				answer, err := h.config.Ask(t.Context(), q)
				if err != nil {
					t.Error(err)
				}
				answers[i] = answer.Reveal()
			})
		}
		asking.Wait()
	}
	c.run(h)
	given := map[string]bool{}
	for _, answer := range answers {
		given[answer] = true
	}
	if len(given) != n || strings.Count(c.stderr.String(), "(203.0.113.10:22): \n") != n {
		t.Errorf("%d answers:\n%s", len(given), c.stderr.String())
	}
	for i, hides := range *hidden {
		if hides != (i%2 == 0) {
			t.Fatalf("typing is hidden by two at once: %v", *hidden)
		}
	}
}

// The live lines make room for a question, nothing is drawn or printed below
// it, and all that happened meanwhile is told after it.
func TestQuestionsPauseTheLiveView(t *testing.T) {
	c, _ := newDesk(t, "")
	f := &film{terminal: onTerminal(c, 80, 24, false)}
	synctest.Test(t, func(*testing.T) {
		typing, typed := io.Pipe()
		c.Stdin = typing
		h := &hosts{planned: planOf(newPackage)}
		h.before = func() {
			all(0, 3, engine.Event{Phase: engine.Connecting, Text: "10.0.0.21"})(h)
			wait(time.Second)(h)
			f.look("connecting")(h)
			answered := make(chan error)
			go func() {
				_, err := h.config.Ask(context.Background(), sudoOfAll)
				answered <- err
			}()
			wait(time.Second)(h)
			f.look("asked")(h)
			event(engine.Event{Host: "gpu-1", Phase: engine.NewHostKey, Text: "ssh-ed25519 SHA256:abc of 10.0.0.21, added to known_hosts"})(h)
			event(engine.Event{Phase: engine.NotFollowed, Text: "BindInterface wg0"})(h)
			all(0, 3, engine.Event{Phase: engine.Connecting, Text: "10.0.0.21"})(h)
			wait(time.Minute)(h)
			f.look("a minute later")(h)
			fmt.Fprint(typed, "hunter2-hunter2\n")
			if err := <-answered; err != nil {
				t.Error(err)
			}
			wait(time.Second)(h)
			f.look("answered")(h)
		}
		c.run(h)
	})
	if len(f.unknown) > 0 || strings.Contains(f.text.String(), "hunter2") {
		t.Errorf("the terminal got %v", f.unknown)
	}
	golden(t, "live-question", f.text.String())
}

// Ctrl-C at a question ends it and the command, with the terminal as it was.
func TestInterruptAtAQuestion(t *testing.T) {
	for _, live := range []bool{false, true} {
		c, hidden := newDesk(t, "")
		if live {
			onTerminal(c, 80, 24, false)
			c.Stdout, c.Stderr = &c.stdout, &c.stderr
		}
		interrupts := make(chan os.Signal, 1)
		c.Stdin, c.Interrupts = interrupting{interrupts}, interrupts
		h := &hosts{}
		var err error
		c.connecting(func(ctx context.Context, config engine.Config) error {
			_, err = config.Ask(ctx, password)
			return err
		}, h)
		c.wantCode(t, 1)
		if err == nil || err.Error() != "stopped as asked" || fmt.Sprint(*hidden) != "[true false]" {
			t.Errorf("live %v: %v, hidden %v", live, err, *hidden)
		}
		screen := c.stderr.String()
		prompt, stopping, failed := strings.Index(screen, "(203.0.113.10:22): \n"), strings.Index(screen, "\nStopping: "), strings.Index(screen, "Error: ")
		if prompt < 0 || stopping < prompt || failed < stopping {
			t.Errorf("live %v: the screen is\n%s", live, screen)
		}
	}
}

// Ctrl-C at a question of one host answers those of all others, too.
func TestInterruptAsksNobodyElse(t *testing.T) {
	const n = 50
	c, _ := newDesk(t, "")
	interrupts := make(chan os.Signal, 1)
	c.Stdin, c.Interrupts = interrupting{interrupts}, interrupts
	c.connecting(func(ctx context.Context, config engine.Config) error {
		for range n {
			if _, err := config.Ask(ctx, password); err == nil || err.Error() != "stopped as asked" {
				t.Error(err)
			}
		}
		return errors.New("that is all")
	}, &hosts{})
	if asked := strings.Count(c.stderr.String(), "Password"); asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

// interrupting is a user who answers every question with Ctrl-C.
type interrupting struct{ interrupts chan<- os.Signal }

func (i interrupting) Read([]byte) (int, error) {
	i.interrupts <- os.Interrupt
	select {}
}

// Who gives up leaves the next line to who asks next.
func TestLineOfAnAbandonedQuestion(t *testing.T) {
	c, _ := newDesk(t, "")
	typing, typed := io.Pipe()
	c.Stdin = typing
	h := &hosts{planned: planOf()}
	h.before = func() {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("too slow"))
		if _, err := h.config.Ask(ctx, password); err == nil || err.Error() != "too slow" {
			t.Errorf("the first: %v", err)
		}
		go fmt.Fprint(typed, "the only line\n")
		if answer, err := h.config.Ask(t.Context(), password); err != nil || answer.Reveal() != "the only line" {
			t.Errorf("the second: %v", err)
		}
	}
	c.run(h)
}

// suspending is a user who does something else first, and then answers.
type suspending struct {
	continued chan<- os.Signal
	answer    io.Reader
}

func (s *suspending) Read(p []byte) (int, error) {
	if s.continued != nil {
		s.continued <- os.Interrupt // any signal does
		s.continued <- os.Interrupt // taken when the first one has been seen to
		s.continued = nil
	}
	return s.answer.Read(p)
}

// Who comes back to relayctl after Ctrl-Z is asked again, hidden again. Whoever
// came back before that is asked once.
func TestQuestionAfterASuspension(t *testing.T) {
	c, hidden := newDesk(t, "")
	continued := make(chan os.Signal)
	c.Stdin, c.Continued = &suspending{continued, strings.NewReader("hunter2\n")}, continued
	a := asks(sudoOfAll)
	c.run(a.hosts).wantCode(t, 0)
	const prompt = "Password of ops for sudo on edge, gpu-1, gpu-2: "
	if want := "This password is tried once on each host; Enter alone asks for each by itself.\n" + prompt + prompt + prompt + "\n"; c.stderr.String() != want {
		t.Errorf("the screen is\n%s", c.stderr.String())
	}
	if a.answer.Reveal() != "hunter2" || fmt.Sprint(*hidden) != "[true true true false]" {
		t.Errorf("%v, hidden %v", a.err, *hidden)
	}

	c, hidden = newDesk(t, "hunter2\n")
	before := make(chan os.Signal, 1)
	before <- os.Interrupt
	c.Continued = before
	a = asks(password)
	c.run(a.hosts).wantCode(t, 0)
	if fmt.Sprint(*hidden) != "[true false]" || strings.Count(c.stderr.String(), "Password") != 1 {
		t.Errorf("hidden %v\n%s", *hidden, c.stderr.String())
	}
}

// What was typed hidden is printed by nobody, whoever quotes it.
func TestTypedSecretsAreMasked(t *testing.T) {
	for _, form := range []string{"text", "--json"} {
		c, _ := newDesk(t, "")
		c.Args = []string{"apply", "--yes"}
		c.Stdin = strings.NewReader("correct-horse\n")
		quotes := func(h *hosts) error {
			event(engine.Event{Host: "edge", Phase: engine.NewHostKey, Text: "correct-horse"})(h)
			return errors.New("sudo said: correct-horse: no such user")
		}
		if form == "--json" { // which asks nobody: the password comes from elsewhere
			c.Args = append(c.Args, form)
			c.with(map[string]string{"RELAYCTL_SUDO_PASSWORD": "correct-horse"})
		}
		h := &hosts{}
		c.connecting(func(ctx context.Context, config engine.Config) error {
			h.config = config
			if form == "text" {
				if _, err := config.Ask(ctx, password); err != nil {
					t.Error(err)
				}
			}
			return quotes(h)
		}, h)
		c.wantCode(t, 1)
		if screen := c.screen(); strings.Contains(screen, "horse") || strings.Count(screen, "(secret)") != 2 {
			t.Errorf("%s:\n%s", form, screen)
		}
	}
}

// Without anybody to ask, it is said what is missing, and how to do without.
func TestNobodyToAsk(t *testing.T) {
	var said strings.Builder
	elsewhere := password
	elsewhere.Address = "[2001:db8::1]:2222"
	for _, q := range []engine.Question{passphrase, password, elsewhere, code, sudo, sudoOfAll} {
		c, _ := newDesk(t, "not read\n")
		c.piped()
		a := asks(q)
		c.run(a.hosts)
		var adviser interface{ Advice() string }
		if !errors.As(a.err, &adviser) {
			t.Fatalf("%s: %v", q.For, a.err)
		}
		fmt.Fprintf(&said, "-- %s --\n%v\n%s\n", q.For, a.err, adviser.Advice())
		if c.stderr.String() != "" {
			t.Errorf("%s: printed %q", q.For, c.stderr.String())
		}
	}
	golden(t, "nobody-to-ask", said.String())
}

// A prompt goes to the terminal although the output goes to a file; half a
// terminal is none.
func TestWhereIsAsked(t *testing.T) {
	for _, one := range []struct {
		stdin, stdout, stderr, json bool
		want                        string
	}{
		{true, true, true, false, ""},
		{true, false, true, false, ""},
		{false, true, true, false, "the password is needed, and there is no terminal to ask on"},
		{true, true, false, false, "the password is needed, and there is no terminal to ask on"},
		{true, true, true, true, "the password is needed, and --json asks nobody"},
	} {
		c, _ := newDesk(t, "hunter2\n")
		c.StdinTerminal, c.StdoutTerminal, c.StderrTerminal = one.stdin, one.stdout, one.stderr
		if one.json {
			c.Args = append(c.Args, "--json")
		}
		a := asks(password)
		c.run(a.hosts)
		if got := fmt.Sprint(a.err); got != one.want && (a.err != nil || one.want != "") {
			t.Errorf("%+v: %v", one, a.err)
		}
		if strings.Contains(c.stdout.String(), "Password") {
			t.Errorf("%+v: the prompt went to standard output", one)
		}
	}
}

func TestAskpass(t *testing.T) {
	dir := t.TempDir()
	script := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	answers := script("answers", `[ $# -eq 1 ] && printf '%s\r\nsecond line\n' "<$1>"`)
	declines := script("declines", "echo hunter2; echo 'cannot open display' >&2; exit 3")
	says := script("says", "echo")
	endless := script("endless", "head -c 10000000 /dev/zero | tr '\\0' x")
	const prompt = "<Password of ops at edge (203.0.113.10:22): >"
	for _, one := range []struct {
		name              string
		program           string
		require           string
		display, terminal bool
		want              string // an answer
		err               string // part of it
		on                bool   // the terminal was asked
	}{
		{name: "no terminal", program: answers, display: true, want: prompt},
		{name: "no display", program: answers, err: "no terminal"},
		{name: "no program", display: true, err: "no terminal"},
		{name: "terminal", program: answers, display: true, terminal: true, want: "typed", on: true},
		{name: "preferred", program: answers, require: "prefer", display: true, terminal: true, want: prompt},
		{name: "preferred without a display", program: answers, require: "prefer", terminal: true, want: "typed", on: true},
		{name: "preferred and not installed", program: filepath.Join(dir, "none"), require: "prefer", display: true, terminal: true, want: "typed", on: true},
		{name: "forced", program: answers, require: "force", terminal: true, want: prompt},
		{name: "forced and not named", require: "force", terminal: true, err: "names no program"},
		{name: "forced and not installed", program: filepath.Join(dir, "none"), require: "force", terminal: true, err: "can't be started"},
		{name: "never", program: answers, require: "never", display: true, err: "no terminal"},
		{name: "something else", program: answers, require: "sometimes", display: true, want: prompt},
		{name: "declined", program: declines, display: true, err: "declines gave no answer: exit status 3: cannot open display"},
		{name: "declined beside a terminal", program: declines, require: "prefer", display: true, terminal: true, err: "gave no answer"},
		{name: "empty", program: says, display: true, err: "nothing was typed"},
		{name: "endless", program: endless, display: true, want: strings.Repeat("x", 4096)},
	} {
		c, _ := newDesk(t, "typed\n")
		if !one.terminal {
			c.piped()
		}
		display := ""
		if one.display {
			display = "wayland-0"
		}
		c.with(map[string]string{"SSH_ASKPASS": one.program, "SSH_ASKPASS_REQUIRE": one.require, "WAYLAND_DISPLAY": display})
		a := asks(password)
		c.run(a.hosts)
		switch {
		case one.err == "" && (a.err != nil || a.answer.Reveal() != one.want):
			t.Errorf("%s: %q, %v", one.name, a.answer.Reveal(), a.err)
		case one.err != "" && (a.err == nil || !strings.Contains(a.err.Error(), one.err)):
			t.Errorf("%s: %v", one.name, a.err)
		case a.err != nil && strings.Contains(a.err.Error(), "hunter2"):
			t.Errorf("%s: the error has what the program printed", one.name)
		}
		if asked := strings.Contains(c.stderr.String(), "Password of"); asked != one.on {
			t.Errorf("%s: asked on the terminal: %v", one.name, asked)
		}
	}
}

// A program that asks on for ever ends with the question.
func TestAskpassIsStopped(t *testing.T) {
	program := filepath.Join(t.TempDir(), "waits")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexec sleep 600\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	c, _ := newDesk(t, "")
	c.piped()
	c.with(map[string]string{"SSH_ASKPASS": program, "DISPLAY": ":0"})
	h := &hosts{planned: planOf()}
	h.before = func() {
		ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, errors.New("too slow"))
		defer cancel()
		if _, err := h.config.Ask(ctx, password); err == nil || err.Error() != "too slow" {
			t.Error(err)
		}
	}
	c.run(h)
}
