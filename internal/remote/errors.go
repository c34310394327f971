package remote

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"
)

// UnreachableError means that no SSH server answered at Address: nothing was
// decided about the host, and trying again later may help.
type UnreachableError struct {
	Address string
	Reason  Reason
	Heard   string // the first line that came, or what the server last said at the log-in
	LogIn   bool   // the log-in had begun
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
	ReasonStuck   Reason = "it begins to speak SSH and falls silent before the log-in"
	ReasonLogIn   Reason = "it falls silent in the middle of the log-in"
	ReasonLost    Reason = "it hangs up before the log-in"
	ReasonNotSSH  Reason = "what answers does not speak SSH as we do"
)

// The reasons of an AuthError.
const (
	ReasonKeys    Reason = "the server did not take the key"
	ReasonMidway  Reason = "the server hangs up in the middle of the log-in"
	ReasonAccount Reason = "the server knows the key and refuses the account"
	ReasonMethod  Reason = "the server takes no keys"
	ReasonMore    Reason = "the server takes the key and wants more"
	ReasonAgent   Reason = "the ssh agent does not sign in time"
)

func (e *UnreachableError) Error() string {
	said, reason := "", e.Reason
	switch e.Reason {
	case ReasonName:
		if lookup := (*net.DNSError)(nil); errors.As(e.Err, &lookup) {
			said = lookup.Err
			if lookup.Server != "" {
				said += ", says " + lookup.Server
			}
		}
	case ReasonNotSSH:
		if e.Heard != "" {
			return fmt.Sprintf("reach %s: it does not begin to speak SSH, but says %q", e.Address, e.Heard)
		}
		said = plainly(e.Err)
	case ReasonLogIn:
		if e.Heard != "" {
			reason += Reason("; it says: " + sentence(e.Heard))
		}
	case ReasonLost:
		if e.LogIn {
			reason = "it hangs up in the middle of the log-in"
		}
		if !errors.Is(e.Err, io.EOF) {
			said = plainly(e.Err)
		}
	}
	if said != "" {
		said = ": " + said
	}
	return fmt.Sprintf("reach %s: %s%s", e.Address, reason, said)
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
	case ReasonSilent, ReasonStuck, ReasonLogIn:
		return "Its sshd hangs, or the whole host does. Look at it from its console: systemctl status ssh"
	case ReasonLost:
		if e.LogIn || e.Heard != "" {
			return "Its sshd ends the connection after it has begun to speak, or something in between does. Its log tells: journalctl -u ssh"
		}
		return "Its sshd may have too many connections at once (MaxStartups), or bans this machine. Its log tells: journalctl -u ssh"
	}
	if e.Heard == "" {
		return "Both have to know the same algorithms: is its SSH server very old, or unusually strict?"
	}
	return "Is it sshd that listens there? Another port is set by port in the host's ssh block. " +
		"If it is, it turns this machine away for now, for too many connections (MaxStartups) or failed log-ins. Its log tells: journalctl -u ssh"
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// HostKeyUnknownError means that neither a pin nor known_hosts says which key
// the host has.
type HostKeyUnknownError struct {
	Address     string // in known_hosts form
	KeyType     string
	Fingerprint string
	Listing     string   // the file that it would be listed in; "" where there is none
	Skipped     []string // what may be about the host and can't be read: "FILE:LINE: why"
}

func (e *HostKeyUnknownError) Error() string {
	return fmt.Sprintf("verify host key of %s: %s %s is not known%s", e.Address, e.KeyType, e.Fingerprint, skippedNote(e.Skipped))
}

// skippedNote tells what was not read, the first of it in full.
func skippedNote(skipped []string) string {
	switch len(skipped) {
	case 0:
		return ""
	case 1:
		return "; skipped: " + printable(skipped[0])
	}
	return fmt.Sprintf("; skipped: %s, and %d more", printable(skipped[0]), len(skipped)-1)
}

// maxSkipped bounds how many lines that were not read are told of.
const maxSkipped = 5

// skippedList tells what was not read, one a line.
func skippedList(skipped []string) string {
	var b strings.Builder
	for _, one := range skipped[:min(len(skipped), maxSkipped)] {
		fmt.Fprintf(&b, "skipped  %s\n", printable(one))
	}
	return b.String()
}

// Advice says what the operator can do.
func (e *HostKeyUnknownError) Advice() string {
	written := ""
	if e.Listing != "" {
		written = fmt.Sprintf(", or have it written to %s: relayctl plan --accept-new-host-keys", e.Listing)
	}
	return skippedList(e.Skipped) + fmt.Sprintf("On the host, ssh-keygen -lf /etc/ssh/ssh_host_%s_key.pub prints its fingerprint.\n"+
		"If that is %s, put host_key = %q into the host's ssh block%s", keyFileWord(e.KeyType), e.Fingerprint, e.Fingerprint, written)
}

// HostKeyChangedError means that known_hosts lists another key for the host:
// either it was set up anew, or somebody stands in between.
type HostKeyChangedError struct {
	Address     string // in known_hosts form
	KeyType     string
	Fingerprint string // of the key that the host showed
	File        string // where known_hosts lists another
	Line        int
	Skipped     []string // as in HostKeyUnknownError
}

func (e *HostKeyChangedError) Error() string {
	return fmt.Sprintf("verify host key of %s: it shows %s %s, %s:%d lists another%s",
		e.Address, e.KeyType, e.Fingerprint, e.File, e.Line, skippedNote(e.Skipped))
}

// Advice says what the operator can do.
func (e *HostKeyChangedError) Advice() string {
	return skippedList(e.Skipped) + fmt.Sprintf("If the host was set up anew, forget the old key and try again:\n  ssh-keygen -f '%s' -R '%s'\n"+
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

// AuthError means that the host's SSH server did not let us in.
type AuthError struct {
	User    string
	Address string
	Reason  Reason        // "" is ReasonKeys
	Tried   []Key         // what was to be offered, in that order
	Skipped []string      // what was not, and why
	Methods []string      // what the server takes instead of a key, or besides
	Banner  string        // all that the server said at the log-in; printable
	Said    string        // the last of it
	Waited  time.Duration // for a host that lets nobody in while it boots or goes down
	Err     error
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
	case e.Reason == ReasonMethod || e.Reason == ReasonMore:
		why += ": " + strings.Join(e.Methods, ", ")
	case e.Reason != "" && e.Reason != ReasonKeys:
	case len(e.Tried) == 0:
		why = "there is no key to offer"
	case len(e.Tried) > 1:
		why = fmt.Sprintf("the server took none of %d keys", len(e.Tried))
	default:
		why = string(ReasonKeys)
	}
	if e.Waited > 0 {
		why += fmt.Sprintf(", for %.0f s now", e.Waited.Seconds())
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
		fmt.Fprintf(&b, "skipped  %s\n", printable(skipped))
	}
	for line := range strings.Lines(e.Banner) {
		fmt.Fprintf(&b, "server   %s\n", strings.TrimSpace(line))
	}
	return b.String() + e.whatToDo()
}

func (e *AuthError) whatToDo() string {
	switch e.Reason {
	case ReasonAccount:
		if e.Waited > 0 {
			return "It lets only root in while it boots or goes down. If it stays so, its boot is stuck: systemctl list-jobs and the file /run/nologin tell."
		}
		return fmt.Sprintf("The key is right; the host does not let %s in: the account may have expired or be locked, or be kept out by PAM. Its log tells: journalctl -u ssh", e.User)
	case ReasonMidway:
		return "The host's log tells why: journalctl -u ssh"
	case ReasonMethod, ReasonMore:
		return "relayctl logs in with a key alone: let the host's sshd take one (PubkeyAuthentication, AuthenticationMethods), or name another user in its ssh block."
	case ReasonAgent:
		return "Does it wait for a confirmation or a touch, or does it hang? See what ssh-add -T says with the key's public half."
	}
	often := ""
	if len(e.Tried) >= authTries || len(e.Tried) > 1 && e.Tried[len(e.Tried)-1].Note == notReached {
		often = "Servers stop listening after six keys: name the right one with identity_file.\n"
	}
	return often + fmt.Sprintf("Put a public key of yours into ~%s/.ssh/authorized_keys on the host, or name another user or identity_file in its ssh block.\n"+
		"If it stands there, the host's log tells why it was not taken: journalctl -u ssh", e.User)
}

// ErrKeyEncrypted means that the identity file has a passphrase and the agent
// doesn't hold its key.
var ErrKeyEncrypted = errors.New("the key has a passphrase and the ssh agent doesn't hold it (ssh-add adds it)")

// plainly is an error of the network without the calls that met it.
func plainly(err error) string {
	var number syscall.Errno
	switch {
	case errors.Is(err, io.EOF):
		return "it hung up"
	case errors.As(err, &number):
		return number.Error()
	}
	return err.Error()
}
