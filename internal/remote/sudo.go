package remote

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/secret"
)

// sudo reads a password from its standard input here (-S), and asks for each
// with a word of ours that nobody can guess. So it is known when it waits for
// one that it is not given, and it is killed then: any other end counts as a
// failed attempt, by which pam_faillock locks accounts. Of Debian's sudo, that
// is the end of its input after a password that was wrong; of sudo-rs, -n, too.

// strangeFor is how long sudo may wait for what it did not ask with our word,
// such as another password in the place of one that has expired.
const strangeFor = 10 * time.Second

// diesWithin is how long sudo may take to be gone when it is killed.
const diesWithin = 2 * time.Second

// startAsRoot starts a command as root. Where there is a password, sudo gets it
// as the first line of the command's standard input; where sudo wants none, the
// command does.
func (h *Host) startAsRoot(password secret.Value, command ...string) (*process, error) {
	switch {
	case h.root:
		return h.way.start(command)
	case h.doas:
		return h.way.start(append([]string{"doas", "-n"}, command...))
	}
	prompt := newPrompt()
	sudo, answers := []string{"env", "LC_ALL=C", "sudo", "-S", "-p", prompt}, 0
	if !password.IsZero() { // -k: it is read, whatever was read some minutes ago
		sudo, answers = append(sudo, "-k"), 1
	}
	process, err := h.way.start(append(sudo, command...))
	if err != nil {
		return nil, err
	}
	process.stderr.expect(prompt, answers, func() {
		process.kill()
		time.AfterFunc(diesWithin, process.end) // where sshd does not let us kill
	})
	if answers > 0 {
		io.WriteString(process.stdin, password.Reveal()+"\n") // where that fails, how it ended tells more
	}
	return process, nil
}

// newPrompt is a word that nobody can guess.
func newPrompt() string {
	var random [16]byte
	rand.Read(random[:])
	return "password-" + hex.EncodeToString(random[:])
}

// runAsRoot is run as root, for a command that reads nothing.
func (h *Host) runAsRoot(ctx context.Context, password secret.Value, command ...string) (stdout, stderr string, err error) {
	process, err := h.startAsRoot(password, command...)
	if err != nil {
		return "", "", err
	}
	timer := time.AfterFunc(strangeFor, func() { process.stdin.Close() })
	defer timer.Stop()
	stdout, stderr, err = h.hear(ctx, process)
	if process.stderr.isUnanswered() {
		err = h.unanswered(password, stderr)
	}
	return stdout, stderr, err
}

// mayBecomeRoot says at once why the login will not become root. With a password
// it tries it, the only time for this host, and tells the machine's kind, too.
func (h *Host) mayBecomeRoot(ctx context.Context, password secret.Value) (arch string, err error) {
	switch {
	case h.root:
		return "", nil
	case h.target.Sudo == SudoNone:
		return "", &Error{Kind: NotRoot, What: fmt.Sprintf("become root as %s: it is not root, and the stack says sudo = %q", h.user, SudoNone),
			Next: `Log in as root, or take sudo = "none" out of the host's ssh block.`}
	case h.refused != nil:
		return "", h.refused
	case password.IsZero() && h.target.Sudo == SudoPassword:
		return "", h.unanswered(password, "")
	case password.IsZero():
		return "", nil
	case strings.ContainsAny(password.Reveal(), "\n\r\x00"):
		return "", &Error{Kind: SudoRefuses, What: fmt.Sprintf("become root as %s: the sudo password has several lines", h.user),
			Next: "A file with the password has it in its first and only line."}
	}
	arch, h.refused = h.askArchitecture(ctx, password)
	return arch, h.refused
}

// unanswered is why sudo was killed when it wanted a password: there is none,
// or it wants another one.
func (h *Host) unanswered(password secret.Value, said string) error {
	if !password.IsZero() {
		return h.passwordRefused(said)
	}
	return &Error{Kind: SudoWantsPassword, What: fmt.Sprintf("become root as %s: sudo wants a password", h.user),
		Next: "Run relayctl on a terminal, where it asks for the password, or give it with --sudo-password-file FILE or RELAYCTL_SUDO_PASSWORD. " +
			"Or log in as root, or " + h.withoutPassword()}
}

// noRoot is why a command that was to run as root ended badly: because the
// login may not become root, or because its shell runs no commands at all.
func (h *Host) noRoot(ctx context.Context, ended error, complaint string, password secret.Value) error {
	if h.root {
		return h.noShell(complaint, ended)
	}
	said, unlike, err := h.run(ctx, "uname", "-sm")
	switch {
	case err != nil:
		return h.noShell(cmp.Or(unlike, said), err)
	case isNotFound(ended):
		return &Error{Kind: SudoRefuses, What: fmt.Sprintf("become root as %s: neither sudo nor doas is installed", h.user),
			Next: "Log in as root, or install sudo on the host:\n  apt-get install sudo"}
	case h.doas:
		return &Error{Kind: SudoRefuses, What: fmt.Sprintf("become root as %s with doas -n: %s", h.user, lastLine(complaint)),
			Next: fmt.Sprintf("doas takes a password from a terminal only. Log in as root, install sudo on the host, or let %[1]s use doas without a password. As root on the host:\n"+
				"  echo 'permit nopass %[1]s as root' >> /etc/doas.conf", h.user)}
	}
	return h.sudoRefuses(complaint, password)
}

// notFound is a shell's exit status for a command that it doesn't find.
const notFound = 127

// isNotFound reports whether a command did not run because there is none of its
// name.
func isNotFound(err error) bool {
	var never *StartError
	var ended *ExitError
	if errors.As(err, &never) {
		err = never.Exit
	}
	return errors.As(err, &ended) && ended.Status == notFound || errors.Is(err, exec.ErrNotFound)
}
