package e2e_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relayctl/relayctl/test/lab"
)

// What systemd writes into /run/nologin.
const (
	booting = `echo '"System is booting up. Unprivileged users are not permitted to log in yet. Please come back later. For technical details, see pam_nologin(8)."' > /run/nologin; `
	restart = "systemctl restart ssh"
)

// accounts are obstacles that sshd or PAM tell of.
var accounts = []obstacle{
	{"the account has expired", "chage --expiredate 1 admin", "chage --expiredate -1 admin",
		[]string{"log in to ", " as admin: the server knows the key and refuses the account; it says: Your account has expired", "journalctl -u ssh"}},
	{"the host is maintained", "echo 'Back at 6.' > /run/nologin", "rm /run/nologin",
		[]string{" as admin: the server knows the key and refuses the account; it says: Back at 6."}},
	{"the password has to be changed", "chage --lastday 0 admin", "chage --lastday $(date +%F) admin",
		[]string{"run a command as admin: its login shell says: Password change required but no TTY available."}},
	{"a wrong ChrootDirectory", `printf 'Match User admin\n  ChrootDirectory /home/admin\n' >> /etc/ssh/sshd_config; ` + restart, restoreSSHD,
		[]string{" lost right after the log-in: ", "ChrootDirectory"}},
	{"a banner, and no key", `echo 'Only for the staff of ACME.' > /etc/issue.net; mv /home/admin/.ssh/authorized_keys /root/; echo 'Banner /etc/issue.net' >> /etc/ssh/sshd_config; ` + restart,
		"mv /root/authorized_keys /home/admin/.ssh/; " + restoreSSHD,
		[]string{"the server did not take the key; it says: Only for the staff of ACME.", "~admin/.ssh/authorized_keys"}},
	{"the host boots", booting + "systemd-run --quiet --on-active=4 --timer-property=AccuracySec=1s rm /run/nologin", "rm -f /run/nologin", nil},
}

// TestWayPastTheAccount has a host that knows the key and does not let the
// account in, or not yet.
func TestWayPastTheAccount(t *testing.T) {
	s := bareSite(t)
	lab.MustRun(t, s.Edge, "cp /etc/ssh/sshd_config /root/")
	s.meet(accounts)
	s.step("waiting is told", func() {
		lab.MustRun(s.t, s.Edge, booting)
		s.runUntil("waiting for it to let users log in: System is booting up", func() { lab.MustRun(s.t, s.Edge, "rm /run/nologin") }, "plan")
	})
	s.step("root does not wait", func() {
		lab.MustRun(s.t, s.Edge, booting)
		defer lab.MustRun(s.t, s.Edge, "rm /run/nologin")
		s.writeStack(strings.Replace(s.stackOf(s.proxy(), laptop), `"admin"`, `"root"`, 1))
		s.mustRelayctl("plan")
	})
	s.step("a line of known_hosts is cut", func() {
		s.writeHome(".ssh/known_hosts", "other ssh-ed25519 AAAAC3Nza\n<<<<<<< HEAD\n"+s.readHome(".ssh/known_hosts"))
		s.mustRelayctl("plan")
	})
}

// TestWayByCertificate has a host that takes keys by their certificates only.
func TestWayByCertificate(t *testing.T) {
	s := bareSite(t)
	key, authority := filepath.Join(s.home, "id"), filepath.Join(s.home, "authority")
	keygen := func(args ...string) {
		s.t.Helper()
		if out, err := exec.Command("ssh-keygen", append([]string{"-q"}, args...)...).CombinedOutput(); err != nil {
			s.t.Fatalf("ssh-keygen: %v: %s", err, out)
		}
	}
	keygen("-t", "ed25519", "-N", "", "-f", key)
	keygen("-t", "ed25519", "-N", "", "-f", authority)
	lab.MustRun(t, s.Edge, "echo '"+strings.TrimSpace(s.readHome("authority.pub"))+"' > /etc/ssh/authority.pub; "+
		"echo 'TrustedUserCAKeys /etc/ssh/authority.pub' >> /etc/ssh/sshd_config; "+restart)
	s.writeStack(strings.Replace(s.stackOf(s.proxy(), laptop), s.SSHKeyFile, key, 1))
	for _, one := range []struct {
		name, valid string
		says        []string // nil: it logs in
	}{
		{"valid", "-1h:+1h", nil},
		{"expired", "-2h:-1h", []string{"the server took none of 2 keys", "id-cert.pub ssh-ed25519-cert-v01@openssh.com SHA256:", "(expired 2"}},
	} {
		s.step(one.name, func() {
			keygen("-s", authority, "-I", "test", "-n", "admin", "-V", one.valid, key+".pub")
			r := s.relayctl("plan")
			if (r.code == 0) != (one.says == nil) {
				s.t.Errorf("exit code %d", r.code)
			}
			want(s.t, r.out, one.says...)
		})
	}
}
