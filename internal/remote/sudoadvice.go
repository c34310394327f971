package remote

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/relayctl/relayctl/internal/secret"
)

// sudoTroubles are what sudo and sudo-rs say that tells what to do; %[1]s in
// what that is stands for the user. What they say decides nothing else.
var sudoTroubles = []struct {
	says   []string // any of these
	advice string
}{
	{[]string{"must have a tty"}, "Log in as root, or let %[1]s use sudo without a terminal. As root on the host:\n" +
		"  echo 'Defaults:%[1]s !requiretty' >> /etc/sudoers.d/relayctl"},
	{[]string{"not in the sudoers file", "is not allowed to", "may not run sudo", "I'm afraid I can't do that"},
		"Log in as root, or let %[1]s use sudo for every command. As root on the host:\n" +
			"  echo '%[1]s ALL=(ALL) ALL' > /etc/sudoers.d/relayctl"},
	{[]string{"expired", "account validation failure", "Account validation failure", "token manipulation"},
		"The password or the account of %[1]s has expired, or is locked. As root on the host:\n" +
			"  chage -l %[1]s     tells which\n" +
			"  passwd %[1]s       sets another password"},
}

// sudoRefuses is why sudo ran nothing, by what it said.
func (h *Host) sudoRefuses(complaint string, password secret.Value) error {
	for _, trouble := range sudoTroubles {
		for _, says := range trouble.says {
			if strings.Contains(complaint, says) {
				return &Error{Kind: SudoRefuses, What: fmt.Sprintf("become root as %s with sudo: %s", h.user, lastLine(complaint)),
					Next: fmt.Sprintf(trouble.advice, h.user)}
			}
		}
	}
	if !password.IsZero() {
		return h.passwordRefused(complaint)
	}
	return &Error{Kind: SudoRefuses, What: fmt.Sprintf("become root as %s with sudo: %s", h.user, lastLine(complaint)),
		Next: "Log in as root, or " + h.withoutPassword()}
}

// passwordRefused is that sudo did not take the password.
func (h *Host) passwordRefused(said string) error {
	return &Error{
		Kind: SudoRefuses,
		What: fmt.Sprintf("become root as %s with the sudo password: %s", h.user, cmp.Or(lastLine(said), "sudo does not take it")),
		Next: fmt.Sprintf("It was tried once and is not tried again, so that %[1]s is not locked out. Is it the password of %[1]s on this host? "+
			"sudo says the same of an account that is locked for a while; as root on the host: faillock --user %[1]s", h.user),
	}
}

// withoutPassword tells how to let sudo do without a password.
func (h *Host) withoutPassword() string {
	return fmt.Sprintf("let %[1]s use sudo without a password and without a terminal. As root on the host:\n"+
		"  echo '%[1]s ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/relayctl\n"+
		"  echo 'Defaults:%[1]s !requiretty' >> /etc/sudoers.d/relayctl", h.user)
}
