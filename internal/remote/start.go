package remote

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"
)

// architectures are those that relayctl carries programs for, by what uname -m
// calls them.
var architectures = map[string]string{"x86_64": "amd64", "aarch64": "arm64"}

// giveUp is how long Start goes on after its context has ended, to take away
// what it put on the host.
const giveUp = 3 * time.Second

// Start starts the program as root: the installed one where it is the carried
// one, which costs one exchange, else a copy of the carried one that is taken
// away again as soon as it runs. The connection to a host that is silent ends
// with ctx.
func (h *Host) Start(ctx context.Context, p Program) (*Session, error) {
	over := make(chan struct{})
	defer close(over)
	defer context.AfterFunc(ctx, func() {
		select {
		case <-over:
		case <-time.After(giveUp):
			h.way.close()
		}
	})()
	session, err := h.start(ctx, p)
	if ctx.Err() == nil {
		return session, err
	}
	if session != nil {
		session.Close()
	}
	return nil, fmt.Errorf("start %s: %w", p.Name, context.Cause(ctx))
}

func (h *Host) start(ctx context.Context, p Program) (*Session, error) {
	carried, err := p.digests()
	if err != nil {
		return nil, err
	}
	if !h.root && h.target.Sudo == SudoNone {
		return nil, &Error{Kind: NotRoot, What: fmt.Sprintf("become root as %s: it is not root, and the stack says sudo = %q", h.user, SudoNone),
			Next: `Log in as root, or take sudo = "none" out of the host's ssh block.`}
	}
	installed := path.Join(InstallRoot, p.Name, "current", p.Name)
	session, err := h.greet(ctx, p, installed)
	if err == nil && slices.Contains(carried, session.digest) {
		return session, nil
	}
	var never *StartError
	switch {
	case err == nil: // another version: it sees its input end
		session.Close()
	case !errors.As(err, &never), never.hopeless():
		return nil, err
	}
	arch, err := h.askArchitecture(ctx)
	if err != nil {
		return nil, err
	}
	return h.firstContact(ctx, p, arch)
}

// digests are those that a carried program may greet with.
func (p Program) digests() ([]string, error) {
	var digests []string
	for _, arch := range architectures {
		digest, err := p.Source.Digest(arch)
		if err != nil {
			return nil, err
		}
		digests = append(digests, digest)
	}
	return digests, nil
}

// hopeless reports whether starting another copy can't go better: the
// connection is gone, or the host did not answer in time.
func (e *StartError) hopeless() bool {
	var lost *LostError
	return errors.As(e.Exit, &lost) || errors.Is(e.Err, context.Canceled) || errors.Is(e.Err, context.DeadlineExceeded)
}

// asRoot puts sudo before a command where the login is not root.
func (h *Host) asRoot(command ...string) []string {
	if h.root {
		return command
	}
	return append([]string{"sudo", "-n"}, command...)
}

// greet starts the program at file and waits for its greeting.
func (h *Host) greet(ctx context.Context, p Program, file string) (*Session, error) {
	process, err := h.way.start(h.asRoot(file))
	if err != nil {
		return nil, &StartError{Program: file, Err: err, Exit: err}
	}
	ctx, cancel := h.patience(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, process.end)
	s := &Session{process: process, path: file, reader: bufio.NewReaderSize(process.stdout, 64<<10)}
	s.digest, err = p.Greet(s.reader)
	if !stop() { // ctx ended, which ended the process
		err = context.Cause(ctx)
	}
	if err == nil {
		return s, nil
	}
	failure := &StartError{Program: file, Err: err}
	if ctx.Err() == nil {
		process.stdin.Close()
		failure.Exit = process.wait(ctx) // sees it end by itself, with what it has to say
	}
	process.end()
	failure.Stderr = process.stderr.String()
	return nil, failure
}

// patience is how long a program on the host may take to say something.
func (h *Host) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, h.greetIn, &SilentError{After: h.greetIn})
}

// maxSaid bounds what is read of a small command, in bytes.
const maxSaid = 64 << 10

// run runs a command that ends by itself, and returns what it said. The error
// is as process.exit, or why its output can't be read.
func (h *Host) run(ctx context.Context, command ...string) (stdout, stderr string, err error) {
	ctx, cancel := h.patience(ctx)
	defer cancel()
	process, err := h.way.start(command)
	if err != nil {
		return "", "", err
	}
	defer process.end()
	stop := context.AfterFunc(ctx, process.end)
	defer stop()
	process.stdin.Close()
	said, err := io.ReadAll(io.LimitReader(process.stdout, maxSaid+1))
	if err == nil && len(said) > maxSaid {
		return "", "", fmt.Errorf("it says more than %d bytes", maxSaid)
	}
	if exit := process.wait(ctx); exit != nil {
		err = exit
	}
	return string(said), process.stderr.String(), err
}

// askArchitecture asks for the machine's kind, as root: so the answer also
// tells whether the login may become root.
func (h *Host) askArchitecture(ctx context.Context) (string, error) {
	said, complaint, err := h.run(ctx, h.asRoot("uname", "-sm")...)
	var ended *ExitError
	var lost *LostError
	switch {
	case errors.As(err, &ended):
		return "", h.noRoot(ctx, ended, complaint, said)
	case errors.As(err, &lost):
		return "", fmt.Errorf("ask what machine this is: %w", err)
	case err != nil:
		return "", h.noShell("", err)
	}
	words := strings.Fields(lastLine(said)) // what comes before is a login shell's
	if len(words) != 2 {
		return "", fmt.Errorf("ask what machine this is: uname says %q", lastLine(said))
	}
	arch := architectures[words[1]]
	if words[0] != "Linux" || arch == "" {
		return "", &Error{Kind: Unsupported, What: fmt.Sprintf("%s on %s is not supported: hosts run Linux on x86_64 or aarch64", words[0], words[1])}
	}
	return arch, nil
}

// notFound is a shell's exit status for a command that it doesn't find.
const notFound = 127

// noRoot is why a command that was to run as root ended badly: because the
// login may not become root, or because its shell runs no commands at all.
func (h *Host) noRoot(ctx context.Context, ended *ExitError, complaint, said string) error {
	if h.root {
		return h.noShell(cmp.Or(complaint, said), ended)
	}
	said, unlike, err := h.run(ctx, "uname", "-sm")
	switch {
	case err != nil:
		return h.noShell(cmp.Or(unlike, said), err)
	case ended.Status == notFound:
		return &Error{Kind: SudoRefuses, What: fmt.Sprintf("become root as %s: sudo is not installed", h.user),
			Next: "Log in as root, or install sudo on the host:\n  apt-get install sudo"}
	}
	return &Error{
		Kind: SudoRefuses, What: fmt.Sprintf("become root as %s with sudo -n: %s", h.user, lastLine(complaint)),
		Next: fmt.Sprintf("Log in as root, or let %[1]s use sudo without a password and without a terminal. As root on the host:\n"+
			"  echo '%[1]s ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/relayctl\n"+
			"  echo 'Defaults:%[1]s !requiretty' >> /etc/sudoers.d/relayctl", h.user),
	}
}

// noShell is why the login's shell ran no command, with what it said.
func (h *Host) noShell(said string, err error) error {
	what := fmt.Sprintf("run a command as %s: its login shell does not do it: %v", h.user, err)
	if said = lastLine(said); said != "" {
		what = fmt.Sprintf("run a command as %s: its login shell says: %s (%v)", h.user, said, err)
	}
	return &Error{Kind: ShellRefuses, What: what, Err: err, Next: fmt.Sprintf("The shell of %s and its start-up files, such as ~/.bashrc, "+
		"have to let commands run where there is no terminal. So does a password that has to be changed: set one by hand. "+
		"See what ssh says with the command true at the end, or name another user in the host's ssh block.", h.user)}
}
