package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Error is why a host is not trusted or can't be worked on.
type Error struct {
	Kind Kind
	What string // what was tried, and what came of it
	Next string // what the operator can do
	Err  error  // what lies below; nil: nothing does
}

// Kind tells the reasons of an Error apart: errors.Is(err, HostKeyUnknown).
type Kind string

func (k Kind) Error() string { return string(k) }

// The kinds of Error.
const (
	HostKeyUnknown    Kind = "neither a pin nor known_hosts says which key the host has"
	HostKeyChanged    Kind = "known_hosts lists another key for the host"
	HostKeyRevoked    Kind = "known_hosts marks the host's key @revoked"
	HostKeyPinned     Kind = "none of the host's keys is the pinned one"
	HostKeyType       Kind = "the host has no key of a type that may be asked for"
	NotRoot           Kind = "the login is not root, and sudo is not to be used"
	SudoRefuses       Kind = "the login may not become root"
	SudoWantsPassword Kind = "the login may become root with a password, which is not there"
	ShellRefuses      Kind = "the login's shell runs no commands"
	NoSFTP            Kind = "programs can't be brought to the host"
	NoForwarding      Kind = "the host in between lets no connection through"
	NoFolder          Kind = "no folder of the host takes a program and lets it run"
	Unsupported       Kind = "relayctl has no program for this machine"
)

func (e *Error) Error() string { return e.What }

// Advice says what the operator can do.
func (e *Error) Advice() string { return e.Next }

// Is reports whether target is the error's Kind.
func (e *Error) Is(target error) bool { return target == e.Kind }

func (e *Error) Unwrap() error { return e.Err }

// UnreachableError means that no SSH server answered at Address: nothing was
// decided about the host, and trying again later may help.
type UnreachableError struct {
	Address string
	Reason  Reason
	Heard   string // the first line that came, of ReasonNotSSH, else what the server last said at the log-in
	Err     error
}

// Reason is why a host could not be reached, or not be logged in to.
type Reason string

// The reasons of an UnreachableError.
const (
	ReasonName    Reason = "its name can't be resolved"
	ReasonRefused Reason = "the connection was refused"
	ReasonRoute   Reason = "there is no route to it"
	ReasonTimeout Reason = "no answer in time"
	ReasonSilent  Reason = "it takes the connection and says nothing"
	ReasonStuck   Reason = "it falls silent before the log-in is done"
	ReasonLost    Reason = "it hangs up before the log-in is done"
	ReasonNotSSH  Reason = "it does not begin to speak SSH"
	ReasonBehind  Reason = "the host in between can't connect to it"
	ReasonCommand Reason = "its ProxyCommand ended"
	ReasonOther   Reason = "it does not speak SSH as we do"
)

// The reasons of an AuthError.
const (
	ReasonKeys    Reason = "the server did not take the key"
	ReasonAccount Reason = "the server knows the key and refuses the account"
	ReasonMethod  Reason = "the server takes no keys"
	ReasonMore    Reason = "the server takes the key and wants more"
	ReasonAgent   Reason = "the ssh agent does not sign in time"
	ReasonAnswer  Reason = "the server did not take the answer"

	ReasonUnanswered Reason = "it is not known what only you know"
)

// What the operator can do about a host that does not answer.
const (
	lookAtNetwork = "Is it up, is the address right, and does a firewall let this machine through?"
	lookAtConsole = "Its sshd hangs, or the whole host does. Look at it from its console: systemctl status ssh"
)

var unreachableAdvice = map[Reason]string{
	ReasonName:    "Is the address right? Names are looked up on this machine: see that its DNS or /etc/hosts knows this one.",
	ReasonRefused: "It is up, but nothing takes connections there. Is sshd running, and on this port? Another one is set by port in the host's ssh block.",
	ReasonRoute:   lookAtNetwork,
	ReasonTimeout: lookAtNetwork,
	ReasonSilent:  lookAtConsole,
	ReasonStuck:   lookAtConsole,
	ReasonLost: "Its sshd may have too many connections at once (MaxStartups), ban this machine or fail, " +
		"or something in between ends the connection. Its log tells: journalctl -u ssh",
	ReasonNotSSH: "Is it sshd that listens there? Another port is set by port in the host's ssh block. " +
		"If it is, it turns this machine away for now, for too many connections (MaxStartups) or failed log-ins. Its log tells: journalctl -u ssh",
	ReasonBehind:  "Names and addresses are looked up there: is this one right as the host in between sees it, and is it up?",
	ReasonCommand: "See what the command does when it is typed by hand. Under relayctl it has no terminal: what it asks, it has to know otherwise.",
	ReasonOther:   "Both have to know the same algorithms: is its SSH server very old, or unusually strict?",
}

func (e *UnreachableError) Error() string {
	why := string(e.Reason)
	switch {
	case e.Reason == ReasonNotSSH:
		why += fmt.Sprintf(", but says %q", e.Heard)
	case e.Heard != "":
		why += "; it says: " + sentence(e.Heard)
	case e.Reason == ReasonName, e.Reason == ReasonOther, e.Reason == ReasonLost && !errors.Is(e.Err, io.EOF):
		why += ": " + plainly(e.Err)
	}
	return fmt.Sprintf("reach %s: %s", e.Address, why)
}

// Advice says what the operator can do.
func (e *UnreachableError) Advice() string { return unreachableAdvice[e.Reason] }

func (e *UnreachableError) Unwrap() error { return e.Err }

// AuthError means that the host's SSH server did not let us in.
type AuthError struct {
	User    string
	Address string
	Reason  Reason
	Tried   []Key    // what was to be offered, in that order
	Skipped []string // what was not, and why
	Methods []string // what the server takes instead of a key, or besides
	Hop     bool     // the way to a host only leads through it

	Unanswered error // why the operator did not answer; nil: nothing was in vain

	Banner string // all that the server said at the log-in
	Said   string // the last of it
	Err    error
}

// Key is a key that was offered to log in with.
type Key struct {
	Source      string // a file, or "agent"
	Type        string
	Fingerprint string
	Note        string // what came of it, where the server did not just refuse it
}

func (e *AuthError) Error() string {
	why := string(e.Reason)
	switch {
	case e.Reason == ReasonMethod, e.Reason == ReasonMore:
		why += ": " + strings.Join(e.Methods, ", ")
	case e.Reason == ReasonUnanswered:
		why = e.Unanswered.Error()
	case e.Reason == ReasonKeys && len(e.Tried) == 0:
		why = "there is no key to offer"
	case e.Reason == ReasonKeys && len(e.Tried) > 1:
		why = fmt.Sprintf("the server took none of %d keys", len(e.Tried))
	}
	if said := cmp.Or(e.Said, e.Banner); said != "" {
		why += "; it says: " + sentence(said)
	}
	return fmt.Sprintf("log in to %s as %s: %s", e.Address, e.User, why)
}

func (e *AuthError) Unwrap() error { return e.Err }

// Advice lists what was tried and what was not.
func (e *AuthError) Advice() string {
	var b strings.Builder
	for _, key := range e.Tried {
		note := ""
		if key.Note != "" {
			note = "  (" + key.Note + ")"
		}
		fmt.Fprintf(&b, "tried    %s  %s %s%s\n", key.Source, key.Type, key.Fingerprint, note)
	}
	for _, skipped := range e.Skipped {
		fmt.Fprintf(&b, "skipped  %s\n", skipped)
	}
	for line := range strings.Lines(e.Banner) {
		fmt.Fprintf(&b, "server   %s\n", strings.TrimSpace(line))
	}
	return b.String() + e.whatToDo()
}

func (e *AuthError) whatToDo() string {
	block, key := "its ssh block", "identity_file"
	if e.Hop {
		block, key = "~/.ssh/config", "IdentityFile"
	}
	var adviser interface{ Advice() string }
	switch e.Reason {
	case ReasonUnanswered:
		if errors.As(e.Unanswered, &adviser) {
			return adviser.Advice()
		}
		return "Run relayctl on a terminal, or log in with a key that the ssh agent holds: ssh-add adds one."
	case ReasonAnswer:
		return "It was tried once, since hosts lock accounts after some wrong answers. Run it again to be asked again, or log in with a key."
	case ReasonAccount:
		return fmt.Sprintf("The key is right; the host does not let %s in: the account may have expired or be locked, or be kept out by PAM. Its log tells: journalctl -u ssh", e.User)
	case ReasonMethod, ReasonMore:
		return "Nobody can be asked for what else it takes: let the host's sshd take a key alone (PubkeyAuthentication, AuthenticationMethods), name another user in " + block + ", or run relayctl on a terminal."
	case ReasonAgent:
		return "Does it wait for a confirmation or a touch, or does it hang? See what ssh-add -T says with the key's public half."
	}
	often := ""
	if len(e.Tried) >= authTries || len(e.Tried) > 1 && e.Tried[len(e.Tried)-1].Note == notReached {
		often = "Servers stop listening after six keys: name the right one with identity_file.\n"
	}
	return often + fmt.Sprintf("Put a public key of yours into ~%s/.ssh/authorized_keys on the host, or name another user or %s in %s.\n"+
		"If it stands there, the host's log tells why it was not taken: journalctl -u ssh", e.User, key, block)
}

// ErrKeyEncrypted means that the identity file has a passphrase and the agent
// doesn't hold its key.
var ErrKeyEncrypted = errors.New("the key has a passphrase and the ssh agent doesn't hold it (ssh-add adds it)")

// StartError means that the program was started, and did not greet.
type StartError struct {
	Program string // its path on the host
	Stderr  string // the end of what it wrote to its standard error
	Err     error  // what the greeting's reader says
	Exit    error  // how the program ended: *ExitError, *LostError, or nil for exit status 0
}

func (e *StartError) Error() string {
	why := e.Err
	if e.Exit != nil {
		why = e.Exit
	}
	text := fmt.Sprintf("start %s: %v", e.Program, why)
	if said := lastLine(e.Stderr); said != "" {
		text += ": " + said
	}
	return text
}

func (e *StartError) Unwrap() []error { return []error{e.Err, e.Exit} }

// Advice says what the operator can do.
func (e *StartError) Advice() string {
	var lost *LostError
	var silent *SilentError
	switch {
	case errors.As(e.Exit, &lost):
		return lost.Advice()
	case errors.As(e.Err, &silent):
		return "Does a start-up file of the login shell wait for something, or does the host hang? See what ssh says with the command true at the end."
	}
	return ""
}

// ExitError is how a program ended that did not end well.
type ExitError struct {
	Status int
	Signal string // set where a signal ended it
}

func (e *ExitError) Error() string {
	if e.Signal != "" {
		return "ended by signal " + e.Signal
	}
	return fmt.Sprintf("exit status %d", e.Status)
}

// SilentError means that nothing came for some time.
type SilentError struct{ After time.Duration }

func (e *SilentError) Error() string {
	return fmt.Sprintf("nothing came for %.0f s", e.After.Seconds())
}

// Unwrap makes it a context.DeadlineExceeded.
func (e *SilentError) Unwrap() error { return context.DeadlineExceeded }

// LostError means that the connection to the host ended by itself.
type LostError struct {
	Address string
	User    string
	AtOnce  bool   // after the log-in, before anything could be done
	Said    string // what the server said at the log-in
	Err     error
}

func (e *LostError) Error() string {
	when, said := "", ""
	if e.AtOnce {
		when = " right after the log-in"
		if e.Said != "" {
			said = "; it says: " + sentence(e.Said)
		}
	}
	return fmt.Sprintf("connection to %s lost%s: %s%s", e.Address, when, plainly(e.Err), said)
}

func (e *LostError) Unwrap() error { return e.Err }

// Advice says what the operator can do.
func (e *LostError) Advice() string {
	if e.AtOnce {
		return fmt.Sprintf("The host lets %s in and ends the connection at once. A ChrootDirectory that others may write to does that, and so do some settings of PAM. Its log tells: journalctl -u ssh", e.User)
	}
	return "Is the host still up, and this machine's network? Run it again: it goes on from where it ended."
}
