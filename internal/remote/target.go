package remote

import (
	"fmt"
	"regexp"
	"strings"
)

// Local is the Address of the machine that relayctl itself runs on.
const Local = "local"

// Sudo says how a program on the host becomes root where the login is not.
type Sudo string

// The ways to become root.
const (
	SudoAuto Sudo = "auto" // sudo without a password, where the login is not root
	SudoNone Sudo = "none" // the login has to be root
)

// Target is one host as the stack file describes it. Every field but Address
// may be left zero: ssh's own configuration and its defaults fill in the rest.
type Target struct {
	Name         string // what the stack calls the host; used in messages only
	Address      string // a host name, an alias of ssh's configuration, an IP address, or Local
	User         string
	Port         int
	IdentityFile string // the one key to log in with; "~/" is the operator's home
	HostKey      string // pinned fingerprint, "SHA256:…" as ssh-keygen prints it; it replaces known_hosts
	Sudo         Sudo   // "" means SudoAuto
}

// Addresses and users go to ssh's command line and may be expanded by commands
// in its configuration, so nothing that a shell would act on is let through.
var (
	safeAddress = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$|^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9._-]+)?$`)
	safeUser    = regexp.MustCompile(`^[\pL\pN_][\pL\pM\pN._@+-]*(\\[\pL\pM\pN._@+-]+)?\$?$`)
	fingerprint = regexp.MustCompile(`^SHA256:[A-Za-z0-9+/]{43}$`)
)

// check refuses what can't be a target, before anything is done with it.
func (t Target) check() error {
	switch {
	case !safeAddress.MatchString(t.Address):
		return fmt.Errorf("address %q is neither a host name nor an IP address", t.Address)
	case t.User != "" && !safeUser.MatchString(t.User):
		return fmt.Errorf("user %q is not a login name", t.User)
	case t.Port < 0 || t.Port > 65535:
		return fmt.Errorf("port %d is not between 1 and 65535", t.Port)
	case t.HostKey != "" && !fingerprint.MatchString(t.HostKey):
		return fmt.Errorf("host_key %q is not a fingerprint as ssh-keygen -lf prints it, SHA256 and 43 characters", t.HostKey)
	case t.Sudo != "" && t.Sudo != SudoAuto && t.Sudo != SudoNone:
		return fmt.Errorf("sudo %q is neither %q nor %q", t.Sudo, SudoAuto, SudoNone)
	case strings.ContainsAny(t.IdentityFile, "\n\x00"):
		return fmt.Errorf("identity_file %q is not a path", t.IdentityFile)
	}
	return nil
}
