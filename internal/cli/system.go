package cli

import (
	"cmp"
	"io"
	"os"
	"os/signal"
	"os/user"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"
)

// System is all that the command line gets from the machine that it runs on.
type System struct {
	Version string // of relayctl

	Args   []string // without the program's name
	Stdin  io.Reader
	Stdout io.Writer // what was asked for
	Stderr io.Writer // progress, questions and errors

	// Which of them are terminals, and how wide these are, in columns; 0 is
	// not known.
	StdinTerminal, StdoutTerminal, StderrTerminal bool
	Width                                         int
	// Size is how large the terminal behind Stderr is just now. Nil, or zeros:
	// it is not known.
	Size func() (columns, rows int)
	// HideTyping stops the terminal behind Stdin from showing what is typed,
	// until show is called, and drops what was typed before. Nil: it can't be
	// hidden.
	HideTyping func() (show func(), err error)

	Env      func(name string) (string, bool)
	Now      func() time.Time
	Operator string // user@machine, as locks and histories carry it
	Home     string // what ~/ stands for in a stack: the account's, as for ssh, whatever HOME says; empty: not known

	// Interrupts delivers the signals that ask to stop: the first gracefully,
	// the second at once, by Exit.
	Interrupts <-chan os.Signal
	Continued  <-chan os.Signal // tells that the user is back, who stopped relayctl to do something else
	Exit       func(code int)
	// Exec has another program take this one's place. It returns only where it
	// fails.
	Exec func(path string, args, env []string) error
}

// Main runs the command line of this version of relayctl on this machine and
// returns its exit code.
func Main(version string) int {
	interrupts := make(chan os.Signal, 2)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM)
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, syscall.SIGCONT)
	me, err := user.Current()
	if err != nil {
		me = &user.User{Username: "unknown"}
	}
	machine, err := os.Hostname()
	if err != nil {
		machine = "unknown"
	}
	system := System{
		Version:        version,
		Args:           os.Args[1:],
		Stdin:          os.Stdin,
		Stdout:         os.Stdout,
		Stderr:         os.Stderr,
		StdinTerminal:  term.IsTerminal(int(os.Stdin.Fd())),
		StdoutTerminal: term.IsTerminal(int(os.Stdout.Fd())),
		StderrTerminal: term.IsTerminal(int(os.Stderr.Fd())),
		Env:            takeOwnVariables(),
		Now:            time.Now,
		Operator:       me.Username + "@" + machine,
		Home:           me.HomeDir,
		Interrupts:     interrupts,
		Continued:      continued,
		Exit:           os.Exit,
		Exec:           syscall.Exec,
		HideTyping:     func() (show func(), err error) { return hideTyping(int(os.Stdin.Fd())) },
	}
	system.Size = func() (columns, rows int) {
		columns, rows, _ = term.GetSize(int(os.Stderr.Fd())) // zeros where it is not known
		return columns, rows
	}
	for _, f := range []*os.File{os.Stdout, os.Stderr} {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && system.Width == 0 {
			system.Width = width
		}
	}
	return Run(system)
}

// takeOwnVariables takes relayctl's own variables, some of which are secret,
// out of the environment, so that no program that it starts gets them. They are
// found by lookup from then on.
func takeOwnVariables() (lookup func(name string) (string, bool)) {
	own := map[string]string{}
	for _, variable := range os.Environ() {
		if name, value, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "RELAYCTL_") {
			own[name] = value
			os.Unsetenv(name) // of a name that is set: never fails
		}
	}
	return func(name string) (string, bool) {
		if value, ok := own[name]; ok {
			return value, true
		}
		return os.LookupEnv(name)
	}
}

// env is an environment variable, empty where it is not set.
func (s System) env(name string) string {
	value, _ := s.Env(name)
	return value
}

// isUTF8 reports whether the locale says that characters outside ASCII can be
// shown, by the order of variables that POSIX gives.
func (s System) isUTF8() bool {
	locale := cmp.Or(s.env("LC_ALL"), s.env("LC_CTYPE"), s.env("LANG"))
	locale = strings.ToLower(strings.ReplaceAll(locale, "-", ""))
	return strings.Contains(locale, "utf8")
}

// wantsColor reports whether colours may be used on a terminal; see
// no-color.org.
func (s System) wantsColor() bool { return s.env("NO_COLOR") == "" && s.env("TERM") != "dumb" }

// defaultRows is for terminals that do not say how high they are.
const defaultRows = 24

// liveTerminal is the size of the terminal that progress is shown on; nil where
// nothing can be drawn again there.
func (s System) liveTerminal() func() (columns, rows int) {
	if kind := s.env("TERM"); !s.StderrTerminal || kind == "" || kind == "dumb" {
		return nil
	}
	return func() (columns, rows int) {
		if s.Size != nil {
			columns, rows = s.Size()
		}
		return cmp.Or(columns, s.Width, defaultWidth), cmp.Or(rows, defaultRows)
	}
}
