package remote

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Local is the Address of the machine that relayctl itself runs on.
const Local = "local"

// Sudo says how a program on the host becomes root where the login is not.
type Sudo string

// The ways to become root.
const (
	SudoAuto     Sudo = "auto"     // by sudo where the login is not root, with a password where it wants one
	SudoPassword Sudo = "password" // the same, and it is known to want one
	SudoNone     Sudo = "none"     // the login has to be root
)

// Target is one host as the stack file describes it. Every field but Address
// may be left zero: ssh's own configuration and its defaults fill in the rest.
type Target struct {
	Name         string // what the stack calls the host; used in messages only
	Address      string // a host name, an alias of ssh's configuration, an IP address, or Local
	User         string
	Port         int
	IdentityFile string // the key to log in with; "~/" is the operator's home
	// BesidesOthers has IdentityFile be offered first, and then the keys that
	// ssh's configuration names: else it is the only one.
	BesidesOthers bool
	HostKey       string // pinned fingerprint, "SHA256:…" as ssh-keygen prints it, or "ssh-ed25519 SHA256:…"; it replaces known_hosts
	Sudo          Sudo   // "" means SudoAuto

	// Jump are the hosts that the way leads through, the first to be reached
	// first; none means those that ssh's configuration has.
	Jump   []Target
	Direct bool // through no other host, whatever ssh's configuration says

	// KnownOnly refuses a host whose key is not known, also where the Dialer
	// accepts new ones.
	KnownOnly bool
}

// Addresses and users go to ssh's command line and may be expanded by commands
// in its configuration, so nothing that a shell would act on is let through.
var (
	safeAddress = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$|^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9._-]+)?$`)
	safeUser    = regexp.MustCompile(`^[\pL\pN_][\pL\pM\pN._@+-]*(\\[\pL\pM\pN._@+-]+)?\$?$`)
	hostKey     = regexp.MustCompile(`^([a-z0-9@.-]+ )?SHA256:[A-Za-z0-9+/]{43}$`)
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
	case t.HostKey != "" && !hostKey.MatchString(t.HostKey):
		return fmt.Errorf("host_key %q is not a fingerprint as ssh-keygen -lf prints it, SHA256 and 43 characters, with or without the key's type before it", t.HostKey)
	case !slices.Contains([]Sudo{"", SudoAuto, SudoPassword, SudoNone}, t.Sudo):
		return fmt.Errorf("sudo %q is none of %q, %q and %q", t.Sudo, SudoAuto, SudoPassword, SudoNone)
	case strings.ContainsAny(t.IdentityFile, "\n\x00"):
		return fmt.Errorf("identity_file %q is not a path", t.IdentityFile)
	}
	return nil
}

// pin is the pinned key's type, where it is told, and its fingerprint.
func (t Target) pin() (kind, fingerprint string) {
	if kind, fingerprint, ok := strings.Cut(t.HostKey, " "); ok {
		return kind, fingerprint
	}
	return "", t.HostKey
}

// pins reports whether a key is the pinned one. Its fingerprint covers its type.
func (t Target) pins(key ssh.PublicKey) bool {
	_, fingerprint := t.pin()
	return ssh.FingerprintSHA256(key) == fingerprint
}
