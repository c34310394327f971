package e2e_test

import (
	"strings"
	"testing"

	"github.com/relayctl/relayctl/test/lab"
)

const sudoPassword = "correct horse battery"

// What becomes of sudo on a host: bash, as root.
const (
	// asksForPassword has sudo want admin's password, and PAM lock the account
	// at the third that is wrong.
	asksForPassword = "rm -f /etc/sudoers.d/*; echo 'admin ALL=(ALL) ALL' > /etc/sudoers.d/admin; echo 'admin:" + sudoPassword + "' | chpasswd\n" +
		"echo 'deny = 3' > /etc/security/faillock.conf\n" +
		"cat > /etc/pam.d/common-auth <<END\n" +
		"auth required pam_faillock.so preauth\n" +
		"auth [success=2 default=ignore] pam_unix.so nullok\n" +
		"auth [default=die] pam_faillock.so authfail\n" +
		"auth requisite pam_deny.so\n" +
		"auth sufficient pam_faillock.so authsucc\n" +
		"auth required pam_permit.so\n" +
		"END\n"
	// byRust puts sudo-rs in the place of sudo.
	byRust = "(apt-get update && apt-get install --yes sudo-rs) >/dev/null 2>&1; " +
		"mv /usr/bin/sudo /usr/bin/sudo.away; ln -s ../lib/cargo/bin/sudo /usr/bin/sudo; sudo --version 2>&1 | grep sudo-rs"
	// byDoas puts doas in its place.
	byDoas = "(apt-get update && apt-get install --yes opendoas) >/dev/null 2>&1; mv /usr/bin/sudo /usr/bin/sudo.away; command -v doas"
)

// failures is how many failed attempts PAM counts for admin.
func failures(t *testing.T, h *lab.Host) int {
	t.Helper()
	return strings.Count(lab.MustRun(t, h, "faillock --user admin")+"\n", " V\n")
}

// mustCount fails unless PAM counts so many failed attempts on each host.
func (s *site) mustCount(want int) {
	s.t.Helper()
	for _, h := range s.hosts() {
		if got := failures(s.t, h); got != want {
			s.t.Errorf("%s: %d failed attempts, want %d", h.Name, got, want)
		}
	}
}

// forgetFailures has PAM forget what failed.
func (s *site) forgetFailures() {
	s.t.Helper()
	for _, h := range s.hosts() {
		lab.MustRun(s.t, h, "faillock --user admin --reset")
	}
}

// withVariable runs relayctl with a variable in its environment.
func (s *site) withVariable(variable string, args ...string) result {
	s.t.Helper()
	cmd := s.command(args...)
	cmd.Env = append(cmd.Env, variable)
	out, err := cmd.CombinedOutput()
	return s.ran(cmd, out, err)
}

// TestSudoPassword brings a stack about where sudo wants a password: Debian's of
// both releases, and sudo-rs. PAM would lock the account at the third failure.
func TestSudoPassword(t *testing.T) {
	s := newSite(t)
	for _, h := range s.hosts() {
		lab.MustRun(t, h, asksForPassword)
	}
	lab.MustRun(t, s.Workers[1], byRust)
	s.secrets = append(s.secrets, sudoPassword)
	s.writeHome("password", sudoPassword+"\n")
	s.writeHome("wrong", "hunter2\n")
	const right, wrong = "--sudo-password-file=password", "--sudo-password-file=wrong"

	s.step("nobody can be asked", func() {
		for range 4 { // more often than a failure may be
			r := s.relayctl("plan")
			for _, h := range s.hosts() {
				want(s.t, r.out, "Error: "+h.Name+": become root as admin: sudo wants a password", "RELAYCTL_SUDO_PASSWORD")
			}
		}
		s.mustCount(0)
	})
	s.step("wrong once", func() {
		r := s.relayctl("plan", wrong)
		for _, h := range s.hosts() {
			want(s.t, r.out, "Error: "+h.Name+": become root as admin with the sudo password: ")
		}
		want(s.t, r.out, "with the sudo password: Sorry, try again.", "with the sudo password: sudo-rs: PAM error: Permission denied",
			"It was tried once and is not tried again, so that admin is not locked out.", "faillock --user admin")
		s.mustCount(1)
	})
	s.step("wrong again, then right", func() {
		s.relayctl("plan", wrong)
		s.mustCount(2)
		s.mustRelayctl("plan", right)
		s.mustCount(0)
	})
	s.step("a whole apply", func() {
		s.runUntil("ca internal: made", s.searchForSecrets, "apply", "--yes", "--keys-out", "keys", right)
		s.mustCount(0)
		s.mustAnswer(s.clientThatTrusts(s.mustRelayctl("ca", right)), s.key("laptop"), "stub")
	})
	s.step("by a variable", func() {
		if r := s.withVariable("RELAYCTL_SUDO_PASSWORD="+sudoPassword, "plan", "--detailed-exitcode"); r.code != 0 {
			s.t.Errorf("exit code %d", r.code)
		}
		for _, h := range s.hosts() {
			s.await(s.t, "no sudo on "+h.Name, func() bool { return lab.MustRun(s.t, h, "pgrep sudo || true") == "" })
		}
		want(s.t, s.mustRelayctl("history", right), "apply")
	})
	s.step("locked", func() {
		for range 3 {
			s.relayctl("plan", wrong)
		}
		s.mustCount(3)
		r := s.relayctl("plan", right)
		for _, h := range s.hosts() {
			want(s.t, r.out, "Error: "+h.Name+": become root as admin with the sudo password: ")
		}
		want(s.t, r.out, "sudo says the same of an account that is locked for a while", "faillock --user admin")
		s.forgetFailures()
		s.mustRelayctl("plan", right)
	})
}

// A way to root that wants a password, or would have one for nothing.
var waysToRoot = []obstacle{
	{"a lecture", admins + "Defaults lecture=always", "", nil},
	{"a lecture of a file", admins + "Defaults lecture=always, lecture_file=/etc/services", "", nil},
	{"a path of its own", admins + "Defaults secure_path=/nowhere", "", nil},
	{"a terminal of its own", admins + "Defaults use_pty", "", nil},
	{"no terminal of its own", admins + "Defaults !use_pty", "", nil},
	{"one attempt", admins + "Defaults passwd_tries=1", "", nil},
	{"a prompt of its own", admins + "Defaults !passprompt_override, passprompt=\"Passwort von %p:\"", "", nil},
	{"a log of what is read", admins + "Defaults log_input, log_output", "", nil},
	{"a line that makes no sense", admins + "Defaults", "", nil},
	{"no password at all", "admin ALL=(ALL) NOPASSWD: ALL", "", nil},
	{"no password for relay-host alone", admins + "admin ALL=(ALL) NOPASSWD: /usr/local/lib/relayctl/*, /tmp/*", "", nil},
	{"a terminal", admins + "Defaults requiretty", "",
		[]string{"become root as admin with sudo: sudo: sorry, you must have a tty to run sudo", "Defaults:admin !requiretty"}},
	{"other users", "", "",
		[]string{"become root as admin with sudo: admin is not in the sudoers file.", "let admin use sudo for every command", "admin ALL=(ALL) ALL"}},
	{"other commands", "admin ALL=(ALL) /usr/bin/id", "",
		[]string{"become root as admin with sudo: Sorry, user admin is not allowed to execute '/usr/bin/uname -sm' as root on edge.", "let admin use sudo for every command"}},
	{"the password of root", admins + "Defaults targetpw", "",
		[]string{"become root as admin with the sudo password: Sorry, try again.", "Is it the password of admin on this host?"}},
}

const admins = "admin ALL=(ALL) ALL\n"

// TestWaysToRoot has sudo want a password in all sorts of ways.
func TestWaysToRoot(t *testing.T) {
	s := bareSite(t)
	lab.MustRun(t, s.Edge, asksForPassword+"cp -r /etc/ssh /root/ssh; cp /etc/pam.d/common-auth /root/")
	s.secrets = append(s.secrets, sudoPassword)
	t.Cleanup(s.searchForSecrets)
	s.writeHome("password", sudoPassword+"\n")
	for _, way := range waysToRoot {
		way.spoil = "printf '%b\n' '" + way.spoil + "' > /etc/sudoers.d/admin"
		s.mustMeet(way)
	}
	for _, way := range []obstacle{
		{"another password", asksForPassword + "chage --lastday 0 admin", "chage --lastday $(date +%F) admin",
			[]string{"its login shell says: Password change required but no TTY available."}},
		{"PAM asks for more", asksForPassword + "sed -i '1i auth required pam_exec.so expose_authtok /bin/true' /etc/pam.d/common-auth", "cp /root/common-auth /etc/pam.d/", nil},
		{"one session at a time", "echo 'MaxSessions 1' >> /etc/ssh/sshd_config; " + restart, "cp /root/ssh/sshd_config /etc/ssh/; " + restart, nil},
		{"a shell that traces", "echo 'set -x' > /home/admin/.bashrc", asItWas, nil},
		{"doas", "echo 'permit nopass admin as root' > /etc/doas.conf; " + byDoas, "", nil},
		{"doas with a password", "echo 'permit admin as root' > /etc/doas.conf", "",
			[]string{"become root as admin with doas -n: doas: Authentication required", "doas takes a password from a terminal only.", "permit nopass admin as root"}},
		{"doas for others", "echo 'permit nopass root as root' > /etc/doas.conf", "",
			[]string{"become root as admin with doas -n: doas: Operation not permitted"}},
		{"neither", "rm /usr/bin/doas", "", []string{"become root as admin: neither sudo nor doas is installed"}},
	} {
		s.mustMeet(way)
	}
}

// mustMeet has an obstacle in the way of relayctl, which has a password for
// sudo.
func (s *site) mustMeet(one obstacle) {
	s.t.Helper()
	s.step(one.name, func() {
		lab.MustRun(s.t, s.Edge, one.spoil)
		if one.mend != "" {
			defer lab.MustRun(s.t, s.Edge, one.mend)
		}
		defer s.mustLeaveNothing(s.Edge)
		s.forgetFailures()
		r := s.relayctl("plan", "--sudo-password-file", "password")
		if (r.code == 0) != (one.says == nil) {
			s.t.Errorf("exit code %d", r.code)
		}
		want(s.t, r.out, one.says...)
		s.mustCount(0)
	})
}
