package remote

import (
	"errors"
	"fmt"
	"net"
	"strings"
)

// UnreachableError means that no SSH server answered at Address: nothing was
// decided about the host, and trying again later may help.
type UnreachableError struct {
	Address string
	Reason  Reason
	Err     error
}

// Reason is why a host could not be reached.
type Reason string

// The reasons of an UnreachableError.
const (
	ReasonName    Reason = "its name can't be resolved"
	ReasonRefused Reason = "the connection was refused"
	ReasonRoute   Reason = "there is no route to it"
	ReasonTimeout Reason = "no answer in time"
	ReasonLost    Reason = "the connection broke while it was being made"
	ReasonNotSSH  Reason = "what answers does not speak SSH as we do"
)

func (e *UnreachableError) Error() string {
	switch e.Reason {
	case ReasonRefused, ReasonRoute, ReasonTimeout: // says all that Err does
		return fmt.Sprintf("reach %s: %s", e.Address, e.Reason)
	}
	var lookup *net.DNSError
	if errors.As(e.Err, &lookup) {
		return fmt.Sprintf("reach %s: %s: %v", e.Address, e.Reason, lookup)
	}
	return fmt.Sprintf("reach %s: %s: %v", e.Address, e.Reason, e.Err)
}

// Advice says what the operator can do.
func (e *UnreachableError) Advice() string {
	switch e.Reason {
	case ReasonName:
		return "Is the address right? Names are looked up on this machine: see that its DNS or /etc/hosts knows this one."
	case ReasonRefused:
		return "It is up, but nothing takes connections there. Is sshd running, and on this port? Another one is set by port in the host's ssh block."
	case ReasonRoute, ReasonTimeout:
		return "Is it up, is the address right, and does a firewall let this machine through?"
	}
	return "Is it sshd that listens there?"
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// HostKeyUnknownError means that neither a pin nor known_hosts says which key
// the host has.
type HostKeyUnknownError struct {
	Address     string // in known_hosts form
	KeyType     string
	Fingerprint string
}

func (e *HostKeyUnknownError) Error() string {
	return fmt.Sprintf("verify host key of %s: %s %s is not known", e.Address, e.KeyType, e.Fingerprint)
}

// Advice says what the operator can do.
func (e *HostKeyUnknownError) Advice() string {
	return fmt.Sprintf("On the host, ssh-keygen -lf /etc/ssh/ssh_host_%s_key.pub prints its fingerprint.\n"+
		"If that is %s, put host_key = %q into the host's ssh block, or run once with --accept-new-host-keys.",
		keyFileWord(e.KeyType), e.Fingerprint, e.Fingerprint)
}

// HostKeyChangedError means that known_hosts lists another key for the host:
// either it was set up anew, or somebody stands in between.
type HostKeyChangedError struct {
	Address     string // in known_hosts form
	KeyType     string
	Fingerprint string // of the key that the host showed
	File        string // where known_hosts lists another
	Line        int
}

func (e *HostKeyChangedError) Error() string {
	return fmt.Sprintf("verify host key of %s: it shows %s %s, %s:%d lists another",
		e.Address, e.KeyType, e.Fingerprint, e.File, e.Line)
}

// Advice says what the operator can do.
func (e *HostKeyChangedError) Advice() string {
	return fmt.Sprintf("If the host was set up anew, forget the old key and try again:\n  ssh-keygen -f '%s' -R '%s'\n"+
		"If it was not, somebody may be standing in between.", e.File, e.Address)
}

// HostKeyRevokedError means that known_hosts marks the host's key @revoked.
type HostKeyRevokedError struct {
	Address     string
	Fingerprint string
	File        string
	Line        int
}

func (e *HostKeyRevokedError) Error() string {
	return fmt.Sprintf("verify host key of %s: %s is marked as revoked at %s:%d", e.Address, e.Fingerprint, e.File, e.Line)
}

// HostKeyPinError means that none of the host's keys is the pinned one.
type HostKeyPinError struct {
	Address string
	Pinned  string
	Shown   []string // the fingerprints that the host has instead
}

func (e *HostKeyPinError) Error() string {
	return fmt.Sprintf("verify host key of %s: pinned is %s, it shows %s", e.Address, e.Pinned, strings.Join(e.Shown, ", "))
}

// Advice says what the operator can do.
func (e *HostKeyPinError) Advice() string {
	return "If the host was set up anew, change host_key in its ssh block.\nIf it was not, somebody may be standing in between."
}

// AuthError means that the host's SSH server let none of our keys in.
type AuthError struct {
	User    string
	Address string
	Tried   []Key    // what was offered, in that order
	Skipped []string // what was not, and why
	Banner  string   // what the server said before, if anything
	Err     error
}

// Key is a key that was offered to log in with.
type Key struct {
	Source      string // a file, or "agent"
	Type        string
	Fingerprint string
}

func (e *AuthError) Error() string {
	if len(e.Tried) == 0 {
		return fmt.Sprintf("log in to %s as %s: there is no key to offer", e.Address, e.User)
	}
	return fmt.Sprintf("log in to %s as %s: the server took none of %d keys", e.Address, e.User, len(e.Tried))
}

func (e *AuthError) Unwrap() error { return e.Err }

// Advice lists what was tried and what was not.
func (e *AuthError) Advice() string {
	var b strings.Builder
	for _, key := range e.Tried {
		fmt.Fprintf(&b, "tried    %s  %s %s\n", key.Source, key.Type, key.Fingerprint)
	}
	for _, skipped := range e.Skipped {
		fmt.Fprintf(&b, "skipped  %s\n", skipped)
	}
	if e.Banner != "" {
		fmt.Fprintf(&b, "server   %s\n", strings.TrimSpace(e.Banner))
	}
	if len(e.Tried) > 5 {
		b.WriteString("Servers stop listening after six keys: name the right one with identity_file.\n")
	}
	fmt.Fprintf(&b, "Put a public key of yours into ~%s/.ssh/authorized_keys on the host, or name another user or identity_file in its ssh block.", e.User)
	return b.String()
}

// ErrKeyEncrypted means that the identity file has a passphrase and the agent
// doesn't hold its key.
var ErrKeyEncrypted = errors.New("the key has a passphrase and the ssh agent doesn't hold it (ssh-add adds it)")

// SudoError means that the login may not become root without a password.
type SudoError struct {
	User   string
	Stderr string // sudo's own words; empty where sudo was not to be used
}

func (e *SudoError) Error() string {
	if e.Stderr == "" {
		return fmt.Sprintf("become root as %s: the login is not root, and sudo is set to none", e.User)
	}
	return fmt.Sprintf("become root as %s with sudo -n: %s", e.User, lastLine(e.Stderr))
}

// Advice says what the operator can do.
func (e *SudoError) Advice() string {
	return fmt.Sprintf("Log in as root, or let %s use sudo without a password:\n"+
		"  echo '%s ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/relayctl", e.User, e.User)
}

// NoExecError means that no folder was found on the host which takes a
// program and lets it run.
type NoExecError struct {
	Tried []*FolderError
}

// FolderError is why a folder could not be used.
type FolderError struct {
	Folder string
	Err    error
}

func (e *FolderError) Error() string { return fmt.Sprintf("%s: %v", e.Folder, e.Err) }

func (e *FolderError) Unwrap() error { return e.Err }

func (e *NoExecError) Error() string {
	var tried []string
	for _, attempt := range e.Tried {
		tried = append(tried, attempt.Error())
	}
	return "find a folder that lets programs run: " + strings.Join(tried, "; ")
}

// UnsupportedError means that relayctl has no program for this machine.
type UnsupportedError struct {
	System  string // as uname -s says
	Machine string // as uname -m says
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("%s on %s is not supported: hosts run Linux on x86_64 or aarch64", e.System, e.Machine)
}

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
	if said := lastLine(e.Stderr); said != "" {
		return fmt.Sprintf("start %s: %v: %s", e.Program, why, said)
	}
	return fmt.Sprintf("start %s: %v", e.Program, why)
}

func (e *StartError) Unwrap() []error { return []error{e.Err, e.Exit} }

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

// LostError means that the connection to the host ended by itself.
type LostError struct {
	Address string
	Err     error
}

func (e *LostError) Error() string {
	return fmt.Sprintf("connection to %s lost: %v", e.Address, e.Err)
}

func (e *LostError) Unwrap() error { return e.Err }

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:])
}
