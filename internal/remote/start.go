package remote

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/secret"
)

// architectures are those that relayctl carries programs for, by what uname -m
// calls them.
var architectures = map[string]string{"x86_64": "amd64", "aarch64": "arm64"}

// giveUp is how long Start goes on after its context has ended, to take away
// what it put on the host.
const giveUp = 3 * time.Second

// Start starts the program as root: the installed one where it is the carried
// one, which costs one exchange, else a copy of the carried one that is taken
// away again as soon as it runs. Where sudo wants a password that p does not
// have, the error is of the Kind SudoWantsPassword: Start may be called again,
// with one. A password is tried once. The connection to a host that is silent
// ends with ctx.
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
	arch, err := h.mayBecomeRoot(ctx, p.SudoPassword)
	if err != nil {
		return nil, err
	}
	session, err := h.startInstalled(ctx, p)
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
	if arch == "" {
		if arch, err = h.askArchitecture(ctx, p.SudoPassword); err != nil {
			return nil, err
		}
	}
	return h.firstContact(ctx, p, arch)
}

// startInstalled starts the program that a former apply installed.
func (h *Host) startInstalled(ctx context.Context, p Program) (*Session, error) {
	installed := path.Join(InstallRoot, p.Name, "current", p.Name)
	session, err := h.greet(ctx, p, installed)
	if h.root || h.doas || !isNotFound(err) {
		return session, err
	}
	h.doas = true // sudo would have been found, and have told that the program was not
	return h.greet(ctx, p, installed)
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

// greet starts the program at file and waits for its greeting.
func (h *Host) greet(ctx context.Context, p Program, file string) (*Session, error) {
	process, err := h.startAsRoot(p.SudoPassword, file)
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
		process.stderr.answered()
		return s, nil
	}
	failure := &StartError{Program: file, Err: err}
	if ctx.Err() == nil {
		process.stdin.Close()
		failure.Exit = process.wait(ctx) // sees it end by itself, with what it has to say
	}
	process.end()
	if process.stderr.isUnanswered() {
		return nil, h.unanswered(p.SudoPassword, process.stderr.String())
	}
	failure.Stderr = process.stderr.String()
	return nil, failure
}

// patience is how long a program on the host may take to say something.
func (h *Host) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, h.greetIn, &SilentError{After: h.greetIn})
}

// maxSaid bounds what is read of a small command, in bytes.
const maxSaid = 64 << 10

// run runs a command that ends by itself, as the login user, and returns what it
// said. The error is as process.exit, or why its output can't be read.
func (h *Host) run(ctx context.Context, command ...string) (stdout, stderr string, err error) {
	process, err := h.way.start(command)
	if err != nil {
		return "", "", err
	}
	process.stdin.Close()
	return h.hear(ctx, process)
}

// hear returns what a process says until its end, as run does.
func (h *Host) hear(ctx context.Context, process *process) (stdout, stderr string, err error) {
	ctx, cancel := h.patience(ctx)
	defer cancel()
	defer process.end()
	stop := context.AfterFunc(ctx, process.end)
	defer stop()
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
func (h *Host) askArchitecture(ctx context.Context, password secret.Value) (string, error) {
	ask := func() (string, string, error) { return h.runAsRoot(ctx, password, "/usr/bin/uname", "-sm") }
	said, complaint, err := ask()
	if !h.root && !h.doas && isNotFound(err) {
		h.doas = true
		said, complaint, err = ask()
	}
	var ended *ExitError
	var lost *LostError
	var refused *Error
	switch {
	case errors.As(err, &refused):
		return "", err
	case errors.As(err, &ended), errors.Is(err, exec.ErrNotFound):
		return "", h.noRoot(ctx, err, cmp.Or(complaint, said), password)
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
