package cli_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/relayctl/relayctl/internal/cli"
	"github.com/relayctl/relayctl/internal/engine"
)

// pty is a real terminal and the keyboard of who sits at it.
type pty struct {
	*os.File          // the terminal, as a program has it
	hands    *os.File // what is written is typed, what is read is shown
}

func newPTY(t *testing.T) *pty {
	t.Helper()
	hands, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no terminals here: ", err)
	}
	t.Cleanup(func() { hands.Close() })
	if err := unix.IoctlSetPointerInt(int(hands.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(hands.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return &pty{terminal, hands}
}

// shows reports whether the terminal shows what is typed.
func (p *pty) shows(t *testing.T) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(p.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// until reads what is shown until that ends so.
func (p *pty) until(t *testing.T, end string) string {
	t.Helper()
	var shown strings.Builder
	p.hands.SetReadDeadline(time.Now().Add(20 * time.Second))
	for one := make([]byte, 1); !strings.HasSuffix(shown.String(), end); {
		if _, err := p.hands.Read(one); err != nil {
			t.Fatalf("shown was %q, then %v", shown.String(), err)
		}
		shown.Write(one)
	}
	return shown.String()
}

func (p *pty) types(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(p.hands, text); err != nil {
		t.Fatal(err)
	}
}

// onPTY asks a question on a real terminal.
func onPTY(t *testing.T, p *pty, q engine.Question, interrupts, continued <-chan os.Signal) (answer string, err error) {
	t.Helper()
	c := newConsole(t, "", "plan")
	c.Stdin, c.Stdout, c.Stderr, c.Interrupts, c.Continued = p.File, p.File, p.File, interrupts, continued
	c.HideTyping = func() (func(), error) { return cli.HideTyping(int(p.Fd())) }
	c.connecting(func(ctx context.Context, config engine.Config) error {
		value, failed := config.Ask(ctx, q)
		answer, err = value.Reveal(), failed
		return errors.New("that is all")
	}, &hosts{})
	return answer, err
}

// A password shows nowhere, and what was typed before it was asked for is none.
func TestPasswordOnATerminal(t *testing.T) {
	p := newPTY(t)
	p.types(t, "typed too early\n\n")
	p.until(t, "early\r\n\r\n")
	type given struct {
		answer string
		err    error
	}
	answered := make(chan given)
	go func() {
		answer, err := onPTY(t, p, password, nil, nil)
		answered <- given{answer, err}
	}()
	p.until(t, "(203.0.113.10:22): ")
	if p.shows(t) {
		t.Error("what is typed is shown")
	}
	p.types(t, "wrong\x15right \x7f\n") // Ctrl-U and Backspace edit it, as ever
	if got := <-answered; got.err != nil || got.answer != "right" {
		t.Errorf("%q, %v", got.answer, got.err)
	}
	if shown := p.until(t, "that is all\r\n"); strings.Contains(shown, "right") || strings.Contains(shown, "wrong") || !strings.HasPrefix(shown, "\r\n") {
		t.Errorf("shown was %q", shown)
	}
	if !p.shows(t) {
		t.Error("typing stays hidden")
	}
}

// A shell that had the terminal meanwhile shows what is typed; relayctl does not.
func TestPasswordAfterASuspension(t *testing.T) {
	p, continued, answered := newPTY(t), make(chan os.Signal, 1), make(chan string)
	go func() {
		answer, _ := onPTY(t, p, password, nil, continued)
		answered <- answer
	}()
	p.until(t, "(203.0.113.10:22): ")
	state, err := unix.IoctlGetTermios(int(p.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	state.Lflag |= unix.ECHO
	if err := unix.IoctlSetTermios(int(p.Fd()), unix.TCSETS, state); err != nil {
		t.Fatal(err)
	}
	continued <- unix.SIGCONT
	p.until(t, "(203.0.113.10:22): ")
	if p.shows(t) {
		t.Error("what is typed is shown")
	}
	p.types(t, "right\n")
	if answer := <-answered; answer != "right" || !p.shows(t) {
		t.Errorf("%q; typing is shown again: %v", answer, p.shows(t))
	}
}

// However a question ends, the terminal shows again what is typed.
func TestTerminalIsLeftAsItWas(t *testing.T) {
	for name, end := range map[string]func(*pty, chan<- os.Signal){
		"Ctrl-C": func(_ *pty, interrupts chan<- os.Signal) { interrupts <- os.Interrupt },
		"Ctrl-D": func(p *pty, _ chan<- os.Signal) { p.types(t, "\x04") },
		"Enter":  func(p *pty, _ chan<- os.Signal) { p.types(t, "\n") },
	} {
		p, interrupts, ended := newPTY(t), make(chan os.Signal, 1), make(chan error)
		go func() {
			_, err := onPTY(t, p, password, interrupts, nil)
			ended <- err
		}()
		p.until(t, "(203.0.113.10:22): ")
		end(p, interrupts)
		if err := <-ended; err == nil {
			t.Errorf("%s: no error", name)
		}
		if !p.shows(t) {
			t.Errorf("%s: typing stays hidden", name)
		}
	}
}
