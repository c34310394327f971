package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/relayctl/relayctl/test/lab"
)

// trouble is something wrong with a host that an apply runs into.
type trouble struct {
	host *lab.Host
	line string   // of bash: makes it, and something to do for apply
	says []string // what apply tells of it
	mend string   // line of bash
}

// TestTrouble lets applies run into full and read-only file systems, a package
// manager that can't, things in the way and a taken port. Each is told with its
// host, its line of the stack, its cause and what to do, and leaves nothing by
// half; once all is mended, apply ends where an undisturbed one does.
func TestTrouble(t *testing.T) {
	s := appliedSite(t)
	undisturbed := s.endState()

	s.step("the store full, the store read-only", func() { s.runsInto(s.storeTroubles()...) })
	s.step("no room for an upload, none for a program", func() { s.runsInto(s.programTroubles()...) })
	s.step("settings: no room, read-only", func() { s.runsInto(s.settingsTroubles()...) })
	s.step("an immutable file", func() { s.runsInto(s.immutable()) })
	s.step("things in the way", func() { s.runsInto(s.thingsInTheWay()...) })
	s.step("Caddy can't read its file", func() { s.runsInto(s.unreadable()) })
	s.step("packages", s.packageTroubles)
	s.step("a port taken meanwhile", s.portTaken)
	s.step("systemd missing", s.noSystemd)

	s.mustEqual(undisturbed, s.endState())
	s.mustAnswer(s.client(), s.key("laptop"), "stub")
}

// runsInto makes troubles on hosts, has an apply run into all of them, mends
// them, and has the next apply finish.
func (s *site) runsInto(all ...trouble) {
	s.t.Helper()
	for _, one := range all {
		lab.MustRun(s.t, one.host, smallDisk+one.line)
	}
	out := s.fails()
	for _, one := range all {
		want(s.t, out, append(one.says, "Error: "+one.host.Name+": ", s.blockOf(one.host))...)
		if left := lab.MustRun(s.t, one.host, traces); left != "" {
			s.t.Errorf("%s: left behind:\n%s", one.host.Name, left)
		}
		lab.MustRun(s.t, one.host, smallDisk+one.mend)
	}
	s.apply()
	s.mustBeDone()
}

// fails has an apply fail that says so.
func (s *site) fails(says ...string) string {
	s.t.Helper()
	r := s.relayctl("apply", "--yes", "--keys-out", "keys")
	if r.code != 1 {
		s.t.Errorf("exit code %d, want 1", r.code)
	}
	want(s.t, r.out, says...)
	return r.out
}

// blockOf is the line that begins a host's block in the stack file.
func (s *site) blockOf(h *lab.Host) string {
	if h == s.Edge {
		return `proxy "edge" {`
	}
	return fmt.Sprintf("worker %q {", h.Name)
}

// smallDisk puts a folder on a file system of its own that is full but for
// some KiB, and back.
const smallDisk = `
on_small() { # FOLDER SIZE FREE_KIB
  mkdir -p /run/small && mount -t tmpfs -o size=$2 small /run/small && cp -a $1/. /run/small/ &&
  chmod --reference=$1 /run/small && chown --reference=$1 /run/small && mount --bind /run/small $1
  dd if=/dev/zero of=/run/small/.filler bs=4k status=none
  truncate -s -${3}K /run/small/.filler
} 2>/dev/null
off_small() { # FOLDER
  rm /run/small/.filler && umount -l $1 && find $1 -mindepth 1 -delete && cp -a /run/small/. $1/ && umount /run/small
}
read_only() { mount --bind $1 $1 && mount -o remount,ro,bind $1; }
`

// traces lists what an apply that failed must not leave, also on file systems
// that are mounted somewhere.
const traces = `for n in $(seq 100); do pgrep --exact relay-host >/dev/null || break; sleep 0.1; done
pgrep --list-name --exact relay-host
flock --nonblock /var/lib/relayctl/lock true || echo the lock is held
find /etc/relay /etc/caddy /etc/systemd/system /var/lib/relayctl /usr/local/lib/relayctl \
  \( -name '*.relayctl-new' -o -name '*.new' -o -name '*.part' -o -name blobs \) 2>/dev/null
ls -d /tmp/relayctl-* /var/tmp/relayctl-* /root/relayctl-* /home/*/relayctl-* 2>/dev/null
true`

func (s *site) storeTroubles() []trouble {
	return []trouble{{
		host: s.Workers[0],
		line: "rm /etc/relay/worker.json; on_small /var/lib/relayctl 8M 0",
		says: []string{"no space left on the file system /var/lib/relayctl: 0 B free of 8.0 MiB", "du -xh --max-depth=2 /var/lib/relayctl"},
		mend: "off_small /var/lib/relayctl",
	}, {
		host: s.Workers[1],
		line: "rm /etc/relay/worker.json; read_only /var/lib/relayctl",
		says: []string{"take the lock: the file system /var/lib/relayctl is mounted read-only", "mount -o remount,rw /var/lib/relayctl"},
		mend: "umount -l /var/lib/relayctl",
	}}
}

func (s *site) programTroubles() []trouble {
	const lost = "rm -r /usr/local/lib/relayctl/relay-worker; "
	return []trouble{{
		host: s.Workers[0],
		line: lost + "on_small /var/lib/relayctl 8M 4000",
		says: []string{"upload program relay-worker: no space left on the file system /var/lib/relayctl: 3.9 MiB free of 8.0 MiB", "MiB needed"},
		mend: "off_small /var/lib/relayctl",
	}, {
		host: s.Workers[1],
		line: lost + "on_small /usr/local/lib 64M 2000",
		says: []string{"program relay-worker: no space left on the file system /usr/local/lib: 2.0 MiB free of 64.0 MiB", "MiB needed"},
		mend: "off_small /usr/local/lib",
	}}
}

func (s *site) settingsTroubles() []trouble {
	return []trouble{{
		host: s.Workers[0],
		line: "rm /etc/relay/worker.json; on_small /etc/relay 1M 0",
		says: []string{"file /etc/relay/worker.json: no space left on the file system /etc/relay: 0 B free of 1.0 MiB", " B needed"},
		mend: "off_small /etc/relay",
	}, {
		host: s.Workers[1],
		line: "rm /etc/relay/worker.json; read_only /etc",
		says: []string{"file /etc/relay/worker.json: the file system /etc is mounted read-only", "mount -o remount,rw /etc"},
		mend: "umount -l /etc",
	}}
}

func (s *site) immutable() trouble {
	return trouble{
		host: s.Workers[0],
		line: "echo '{}' > /etc/relay/worker.json; chattr +i /etc/relay/worker.json",
		says: []string{"/etc/relay/worker.json is immutable: somebody keeps it from being changed", "chattr -i /etc/relay/worker.json"},
		mend: "chattr -i /etc/relay/worker.json",
	}
}

// thingsInTheWay are those that the plan tells already.
func (s *site) thingsInTheWay() []trouble {
	return []trouble{{
		host: s.Edge,
		line: "systemctl mask --now caddy",
		says: []string{"unit caddy: it is masked, which keeps it from starting", "systemctl unmask caddy", "Nothing was changed. Clear what is in the way, then run apply again."},
		mend: "systemctl unmask caddy",
	}, {
		host: s.Workers[0],
		line: "rm /etc/relay/worker.json; mkdir /etc/relay/worker.json; mv /etc/relay/backends /srv/; ln -s /srv/backends /etc/relay/backends",
		says: []string{"file /etc/relay/worker.json: a directory stands in its place", "directory /etc/relay/backends: a symbolic link stands in its place"},
		mend: "rmdir /etc/relay/worker.json; rm /etc/relay/backends; mv /srv/backends /etc/relay/",
	}, {
		host: s.Workers[1],
		line: "systemctl stop relay-worker; cp -a /etc/passwd /root/; sed -i 's/^relay:.*/relay:x:1009:1009::\\/home\\/relay:\\/bin\\/bash/' /etc/passwd",
		says: []string{"user relay: it is a person's login (number 1009, /bin/bash), who could read the stack's secrets", "usermod --shell /usr/sbin/nologin relay"},
		mend: "mv /root/passwd /etc/passwd",
	}}
}

func (s *site) unreadable() trouble {
	return trouble{
		host: s.Edge,
		line: "chmod 0700 /etc/caddy; echo >> /etc/caddy/Caddyfile",
		says: []string{"file /etc/caddy/Caddyfile: caddy validate refused Caddyfile", "open /etc/caddy/Caddyfile: permission denied", "Caddy runs on as before", "namei -l /etc/caddy/Caddyfile"},
		mend: "chmod 0755 /etc/caddy",
	}
}

// packageTroubles has apt and dpkg fail in all ways, one after the other. In
// the end another one holds their locks for a while, and the apply waits.
func (s *site) packageTroubles() {
	lab.MustRun(s.t, s.Edge, `apt-get -q -y purge caddy && mkdir /root/debs && mv /var/cache/apt/archives/*.deb /root/debs/
echo 'Acquire::Retries "0";' > /etc/apt/apt.conf.d/99impatient`)
	for _, one := range append(s.networkTroubles(), s.dpkgTroubles()...) {
		lab.MustRun(s.t, s.Edge, smallDisk+one.line)
		out := s.fails(append(one.says, "Error: edge: ", s.blockOf(s.Edge), "what was not reached is as before")...)
		if _, told, _ := strings.Cut(out, "Error: "); strings.Count(told, "\n") > 30 {
			s.t.Errorf("the error has %d lines", strings.Count(told, "\n"))
		}
		lab.MustRun(s.t, s.Edge, smallDisk+one.mend)
	}
	lab.MustRun(s.t, s.Edge, `cat > /root/hold.py <<'E'
import fcntl, sys, time
f = open(sys.argv[1], "w")
fcntl.lockf(f, fcntl.LOCK_EX)
open("/run/held", "w")
time.sleep(1000)
E
systemd-run --quiet --unit=hold python3 /root/hold.py /var/lib/apt/lists/lock
until [ -e /run/held ]; do sleep 0.05; done`)
	out := s.applyUntil("package caddy: waiting for", func() { lab.MustRun(s.t, s.Edge, "systemctl stop hold") })
	want(s.t, out, "package caddy: waiting for /usr/bin/python3 /root/hold.py /var/lib/apt/lists/lock (pid ", "which holds /var/lib/apt/lists/lock")
	s.mustBeDone()
	lab.MustRun(s.t, s.Edge, "rm -r /root/debs /root/hold.py /etc/apt/apt.conf.d/99impatient")
}

func (s *site) networkTroubles() []trouble {
	return []trouble{{
		line: "cp /etc/resolv.conf /root/; echo nameserver 127.0.0.2 > /etc/resolv.conf",
		says: []string{"install package caddy: apt can't fetch from deb.debian.org: Temporary failure resolving 'deb.debian.org'", "getent hosts deb.debian.org"},
		mend: "cat /root/resolv.conf > /etc/resolv.conf; rm /root/resolv.conf",
	}, {
		line: "ip route show default > /root/route; ip route del default; cp /etc/hosts /root/hosts; echo 10.9.9.9 deb.debian.org >> /etc/hosts",
		says: []string{"install package caddy: apt can't fetch from deb.debian.org: Cannot initiate the connection to deb.debian.org:80", "Network is unreachable"},
		mend: "ip route add $(cat /root/route); cat /root/hosts > /etc/hosts; rm /root/hosts /root/route",
	}, {
		line: "on_small /var/cache/apt/archives 5M 100",
		says: []string{"install package caddy: no space left on the file system /var/cache/apt/archives: 100 KiB free of 5.0 MiB", "You don't have enough free space"},
		mend: "off_small /var/cache/apt/archives; cp /root/debs/*.deb /var/cache/apt/archives/",
	}}
}

func (s *site) dpkgTroubles() []trouble {
	return []trouble{{
		line: "mkdir -p /usr/share/caddy; on_small /usr/share/caddy 8K 0",
		says: []string{"install package caddy: no space left on the file system /usr/share/caddy: 0 B free of 8 KiB", "cannot copy extracted data for './usr/share/caddy/index.html'"},
		mend: "off_small /usr/share/caddy; rmdir /usr/share/caddy",
	}, {
		line: `mkdir -p /root/broken/DEBIAN && cat > /root/broken/DEBIAN/control <<'E'
Package: broken
Version: 1
Architecture: all
Maintainer: nobody <nobody@lab.test>
Depends: no-such-package
Description: needs what there is not
E
dpkg-deb --build /root/broken && dpkg --install /root/broken.deb; true`,
		says: []string{"install package caddy: dpkg has broken unpacked, but not configured", "broken : Depends: no-such-package but it is not installable", "apt-get --fix-broken install"},
		mend: "dpkg --purge broken; rm -r /root/broken /root/broken.deb",
	}, {
		line: "apt-mark hold caddy",
		says: []string{"install package caddy: it is held", "apt-mark unhold caddy"},
		mend: "apt-mark unhold caddy",
	}, {
		line: "mv /var/lib/caddy /root/caddy 2>/dev/null; touch /var/lib/caddy",
		says: []string{"install package caddy: dpkg has caddy half configured", "mkdir: cannot create directory '/var/lib/caddy': File exists", "dpkg --configure -a"},
		mend: "rm /var/lib/caddy; mv /root/caddy /var/lib/caddy 2>/dev/null; true",
	}}
}

// portTaken has somebody take the relay's port while apply installs a package:
// the plan saw it free.
func (s *site) portTaken() {
	lab.MustRun(s.t, s.Edge, `apt-get -q -y remove caddy; systemctl stop relay-server
cat > /root/take.py <<'E'
import os, socket, time
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", 8080))
s.listen()
with open("/run/taking", "w") as f: f.write(str(os.getpid()))
os.rename("/run/taking", "/run/taken")
time.sleep(1000)
E
echo 'DPkg::Pre-Invoke { "setsid python3 /root/take.py >/dev/null 2>&1 & until [ -e /run/taken ]; do sleep 0.05; done"; };' > /etc/apt/apt.conf.d/99taker`)
	s.fails("Error: edge: unit relay-server.service did not stay up: it stopped", "times, last ", s.blockOf(s.Edge),
		"listen tcp 127.0.0.1:8080: bind: address already in use (", "journalctl -u relay-server -n 50")
	lab.MustRun(s.t, s.Edge, "rm /etc/apt/apt.conf.d/99taker")
	s.fails("Error: edge: port 8080: held by python3 (pid ", "which no unit runs; relay-server needs it", s.blockOf(s.Edge))
	lab.MustRun(s.t, s.Edge, "kill $(cat /run/taken); rm /root/take.py")
	for _, w := range s.Workers { // by now they wait up to 30 s between two tries
		lab.MustRun(s.t, w, "systemctl restart relay-worker")
	}
	s.apply()
	s.mustBeDone()
}

// noSystemd has a worker answer as a container does whose pid 1 is sshd.
func (s *site) noSystemd() {
	h := s.Workers[1]
	lab.MustRun(s.t, h, `systemd-run --quiet --unit=bare unshare --mount --pid --fork --mount-proc \
  sh -c 'mount -t tmpfs none /run/systemd && exec /usr/sbin/sshd -D -p 2222'
until ss -Hltn | grep -q :2222; do sleep 0.05; done`)
	s.writeStack(s.stackOf(s.proxy(), s.worker(s.Workers[0]),
		s.workerAt(h.Name, h.Addr, fmt.Sprintf("port = 2222\n    host_key = %q", h.HostKeys[0])), laptop))
	s.stops([]string{"plan"}, "Error: gpu-2: systemd does not run on it: pid 1 is sshd", s.blockOf(h), "A container will do only where systemd is its pid 1.")
	lab.MustRun(s.t, h, "systemctl stop bare")
	s.writeStack(s.stack())
	s.mustBeDone()
}
