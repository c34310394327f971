package e2e_test

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/relayctl/relayctl/test/lab"
)

// obstacle is something on the way to a bare host.
type obstacle struct {
	name  string
	spoil string   // what brings it about: bash, as root on the host
	mend  string   // what takes it away again
	says  []string // nil: it is no obstacle
}

// On a bare host, where relayctl may bring its program: each becomes a file
// system of its own.
const (
	mountTmp        = "mount -t tmpfs -o mode=1777,%[1]s tmpfs /tmp\n"
	mountVarTmp     = "mount -t tmpfs -o mode=1777,%[1]s tmpfs /var/tmp\n"
	mountHome       = "mount -t tmpfs -o uid=1500,mode=700,%[1]s tmpfs /home/admin\n" + "cp -a /root/admin-ssh /home/admin/.ssh\n"
	unmountAll      = "for dir in /tmp /var/tmp /home/admin; do umount $dir || true; done"
	sudoers         = "printf 'admin ALL=(ALL) NOPASSWD: ALL\\n%s\\n' > /etc/sudoers.d/admin"
	goodSudoers     = "printf 'admin ALL=(ALL) NOPASSWD: ALL\\n' > /etc/sudoers.d/admin"
	asItWas         = "rm -f /home/admin/.bashrc; usermod --shell /bin/bash admin"
	restoreSSHD     = "cp /root/sshd_config /etc/ssh/sshd_config; systemctl restart ssh"
	withoutPassword = "Or log in as root, or let admin use sudo without a password and without a terminal."
)

// What a server made for tests shows as well stands with package remote.
var obstacles = []obstacle{
	{"sudo wants a password", "echo 'admin ALL=(ALL) ALL' > /etc/sudoers.d/admin", goodSudoers,
		[]string{"become root as admin: sudo wants a password", "--sudo-password-file FILE or RELAYCTL_SUDO_PASSWORD", withoutPassword, "admin ALL=(ALL) NOPASSWD: ALL"}},
	{"sudo is for others", "rm /etc/sudoers.d/admin", goodSudoers,
		[]string{"become root as admin: sudo wants a password", withoutPassword}},
	{"sudo wants a terminal", fmt.Sprintf(sudoers, "Defaults requiretty"), goodSudoers,
		[]string{"become root as admin with sudo: sudo: sorry, you must have a tty to run sudo", "Defaults:admin !requiretty"}},
	{"the advice is followed", fmt.Sprintf(sudoers, "Defaults requiretty\\nDefaults:admin !requiretty"), goodSudoers, nil},
	{"sudo gives terminals", fmt.Sprintf(sudoers, "Defaults use_pty"), goodSudoers, nil},
	{"sudo lectures", fmt.Sprintf(sudoers, "Defaults lecture=always"), goodSudoers, nil},
	{"sudo has a path of its own", fmt.Sprintf(sudoers, "Defaults secure_path=/nowhere:/usr/bin"), goodSudoers, nil},
	{"no sudo", "mv /usr/bin/sudo /usr/bin/sudo.away", "mv /usr/bin/sudo.away /usr/bin/sudo",
		[]string{"become root as admin: neither sudo nor doas is installed", "apt-get install sudo"}},
	{"programs may not run in one folder", fmt.Sprintf(mountTmp, "noexec"), unmountAll, nil},
	{"programs may run in one folder only", fmt.Sprintf(mountTmp+mountHome, "noexec"), unmountAll, nil},
	{"programs may run nowhere", fmt.Sprintf(mountTmp+mountVarTmp+mountHome, "noexec"), unmountAll,
		[]string{"bring relay-host: none of /tmp, /home/admin, /var/tmp takes a program and lets it run",
			"/tmp: sudo: unable to execute relay-host: Permission denied", "must not be mounted noexec"}},
	{"one folder is full", fmt.Sprintf(mountTmp, "size=1m"), unmountAll, nil},
	{"one folder has room for the packed program only", fmt.Sprintf(mountTmp, "size=6m"), unmountAll, nil},
	{"all folders are full", fmt.Sprintf(mountTmp+mountVarTmp+mountHome, "size=1m"), unmountAll,
		[]string{"none of /tmp, /home/admin, /var/tmp", "/tmp: no space left on device", "MiB free"}},
	{"one folder is read-only", fmt.Sprintf(mountTmp, "ro"), unmountAll, nil},
	{"two folders are read-only, one is full", fmt.Sprintf(mountTmp+mountVarTmp, "ro") + fmt.Sprintf(mountHome, "size=1m"), unmountAll,
		[]string{"/tmp: read-only file system", "/home/admin: no space left on device"}},
	{"no login", "usermod --shell /usr/sbin/nologin admin", asItWas,
		[]string{"run a command as admin: its login shell says: This account is currently not available."}},
	{"a start-up file ends the shell", "echo 'exit 3' > /home/admin/.bashrc", asItWas,
		[]string{"run a command as admin: its login shell does not do it: exit status 3", "~/.bashrc"}},
	{"a start-up file traces", "echo 'set -x' > /home/admin/.bashrc", asItWas, nil},
	{"a start-up file prints", "echo 'echo Welcome' > /home/admin/.bashrc", asItWas,
		[]string{"bring relay-host by SFTP: what answers is not SFTP", "A start-up file of admin's login shell"}},
	{"no SFTP", "sed -i s/^Subsystem/#Subsystem/ /etc/ssh/sshd_config; systemctl restart ssh", restoreSSHD,
		[]string{"bring relay-host by SFTP: the host's sshd offers none", "Subsystem sftp internal-sftp"}},
	{"sshd turns connections away", "echo 'MaxStartups 1:100:1' >> /etc/ssh/sshd_config; systemctl restart ssh; " +
		"setsid bash -c 'exec 3<>/dev/tcp/127.0.0.1/22; read -u 3; sleep 600' </dev/null >/dev/null 2>&1 & for n in $(seq 100); do ss -Htn state established dport = :22 | grep --quiet . && break; sleep 0.1; done",
		"pkill --full '^sleep 600'; " + restoreSSHD,
		[]string{"reach ", ":22: it ", "(MaxStartups)", "journalctl -u ssh"}},
}

// TestWay has a bare host on which the way to root is obstructed in all sorts
// of ways. The message tells what is in the way and what to do; nothing stays.
func TestWay(t *testing.T) {
	s := bareSite(t)
	lab.MustRun(t, s.Edge, "cp -a /home/admin/.ssh /root/admin-ssh; cp /etc/ssh/sshd_config /root/; rm -f /etc/sudoers.d/*; "+goodSudoers)
	s.meet(obstacles)
	s.mustRelayctl("plan")
}

// meet has each obstacle in the way once, and says what relayctl has to say.
func (s *site) meet(obstacles []obstacle) {
	s.t.Helper()
	for _, one := range obstacles {
		s.step(one.name, func() {
			lab.MustRun(s.t, s.Edge, one.spoil)
			defer lab.MustRun(s.t, s.Edge, one.mend)
			defer s.mustLeaveNothing(s.Edge)
			r := s.relayctl("plan")
			if one.says == nil {
				if r.code != 0 {
					s.t.Errorf("exit code %d, want 0", r.code)
				}
				return
			}
			if r.code != 1 {
				s.t.Errorf("exit code %d, want 1", r.code)
			}
			want(s.t, r.out, append([]string{"Error: edge: ", `proxy "edge" {`}, one.says...)...)
		})
	}
}

// bareSite is a site with the proxy host alone.
func bareSite(t *testing.T) *site {
	t.Helper()
	s := emptySite(t)
	s.Edge = s.Boot(lab.Spec{Name: "edge", Suite: lab.Trixie})
	s.know(s.Edge)
	s.writeStack(s.stackOf(s.proxy(), laptop))
	return s
}

// stall carries connections to an address until as many bytes have gone there
// as it is told, and then nothing any more.
type stall struct {
	port  int
	after atomic.Int64
}

func newStall(t *testing.T, address string, after int64) *stall {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	s := &stall{port: listener.Addr().(*net.TCPAddr).Port}
	s.after.Store(after)
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", address)
			if err != nil {
				near.Close()
				continue
			}
			t.Cleanup(func() { near.Close(); far.Close() })
			go s.carry(far, near, &s.after)
			go s.carry(near, far, &s.after)
		}
	}()
	return s
}

// carry copies while left is above 0; both directions use it up.
func (s *stall) carry(to io.Writer, from io.Reader, left *atomic.Int64) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if left.Add(-int64(n)) < 0 {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// TestUploadThatStalls has the line die for good in the middle of bringing a
// program: at first contact, which leaves a part of it that a later one takes
// away, and in an apply.
func TestUploadThatStalls(t *testing.T) {
	s := newSite(t)
	worker := s.Workers[1]
	line := newStall(t, net.JoinHostPort(worker.Addr, "22"), 1<<20)
	s.writeStack(s.stackOf(s.proxy(), s.worker(s.Workers[0]),
		s.workerAt("gpu-2", "127.0.0.1", "port = "+strconv.Itoa(line.port)+"\n    host_key = \""+worker.HostKeys[0]+"\""), laptop))

	s.step("at first contact", func() {
		began := time.Now()
		r := s.relayctl("plan")
		if took := time.Since(began); r.code != 1 || took > giveUpLimit {
			s.t.Errorf("exit code %d after %v", r.code, took)
		}
		want(s.t, r.out, "Error: gpu-2: ", "connection to 127.0.0.1:"+strconv.Itoa(line.port)+" lost: nothing came for 21 s", "Is the host still up")
	})
	s.step("what it leaves is swept", func() {
		left := lab.MustRun(s.t, worker, "ls -d /tmp/relayctl-*")
		if strings.Count(left, "\n") != 0 {
			s.t.Fatalf("left behind: %q", left)
		}
		lab.MustRun(s.t, worker, "pkill --signal KILL --full '^sshd(-session)?: admin' || true; touch --date='2 hours ago' "+left+" "+left+"/*; "+
			"ln -s /etc /tmp/relayctl-"+strings.Repeat("0", 32))
		line.after.Store(1 << 40)
		s.mustRelayctl("plan")
		if now := lab.MustRun(s.t, worker, "ls -d /tmp/relayctl-*; ls -d /etc"); now != "/tmp/relayctl-"+strings.Repeat("0", 32)+"\n/etc" {
			s.t.Errorf("there still is %q", now)
		}
		lab.MustRun(s.t, worker, "rm /tmp/relayctl-*")
	})
	s.step("in an apply", func() {
		s.apply()
		lab.MustRun(s.t, worker, "rm -r /usr/local/lib/relayctl/relay-worker")
		line.after.Store(1 << 20)
		began := time.Now()
		r := s.relayctl("apply", "--yes", "--keys-out", "keys")
		if took := time.Since(began); r.code != 1 || took > giveUpLimit {
			s.t.Errorf("exit code %d after %v", r.code, took)
		}
		want(s.t, r.out, "gpu-2  program relay-worker: uploading", "Error: gpu-2: ", "for 30s", "Run apply again when mended")
		lab.MustRun(s.t, worker, "for n in $(seq 1200); do pgrep --exact relay-host >/dev/null || break; sleep 0.1; done")
		line.after.Store(1 << 40)
		s.apply()
		s.mustBeDone()
		s.mustBeFree()
	})
}
