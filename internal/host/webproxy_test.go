package host_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/hostapi"
)

// What downloads is told of the machine's web proxy, and of nothing else that a
// login there would have.
func TestWebProxyOfTheMachineReachesApt(t *testing.T) {
	const own = "DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l UCF_FORCE_CONFFOLD=1"
	for _, test := range []struct{ name, file, want string }{
		{"none", "", ""},
		{"both cases", "http_proxy=http://proxy:3128\nHTTPS_PROXY=http://proxy:3128\n", "http_proxy=http://proxy:3128 HTTPS_PROXY=http://proxy:3128"},
		{"quoted, and past it", "http_proxy=\"http://proxy:3128\"\nno_proxy='localhost,.corp'\n", "http_proxy=http://proxy:3128 no_proxy=localhost,.corp"},
		{"exported", "export all_proxy=socks5h://proxy:1080\nexport ftp_proxy=http://proxy:1\n", "ftp_proxy=http://proxy:1 all_proxy=socks5h://proxy:1080"},
		{"a shell's $ is none", "http_proxy=http://u:a$$b@proxy\n", "http_proxy=http://u:a$$b@proxy"},
		{"turned off", "http_proxy=http://proxy\nhttp_proxy=\n", "http_proxy="},
		{"nothing else", "PATH=/opt/bin\nLD_PRELOAD=/tmp/x.so\nAPT_CONFIG=/tmp/x\nhttp_proxy_x=1\nDEBIAN_FRONTEND=dialog\n", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newMachine(t)
			m.Write("/etc/environment", test.file)
			m.Packages["caddy"].Listed = false
			m.lock().bring(caddyPackage)
			if got, want := strings.Join(m.Env["apt-get"], " "), strings.TrimSpace(own+" "+test.want); got != want {
				t.Errorf("apt-get has\n%s, want\n%s", got, want)
			}
			for _, name := range []string{"dpkg-query", "journalctl"} {
				if env := m.Env[name]; len(env) > 0 {
					t.Errorf("%s downloads nothing, and has %q", name, env)
				}
			}
		})
	}
}

// A machine whose logins find nothing in /etc/environment goes on without.
func TestWebProxyThatCanNotBeRead(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"a folder":         func(path string) error { return os.Mkdir(path, 0o755) },
		"a pipe":           func(path string) error { return syscall.Mkfifo(path, 0o644) },
		"a link to nought": func(path string) error { return os.Symlink("/nowhere", path) },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			if err := spoil(m.Path("/etc/environment")); err != nil {
				t.Fatal(err)
			}
			m.lock().bring(caddyPackage)
			if len(m.Env["apt-get"]) != 3 {
				t.Errorf("apt-get has %q", m.Env["apt-get"])
			}
		})
	}
}

// Logins follow a link, too.
func TestWebProxyBehindALink(t *testing.T) {
	m := newMachine(t)
	m.Write("/etc/environment.d/site", "http_proxy=http://proxy:3128\n")
	if err := os.Symlink("environment.d/site", m.Path("/etc/environment")); err != nil {
		t.Fatal(err)
	}
	m.lock().bring(caddyPackage)
	if !slices.Contains(m.Env["apt-get"], "http_proxy=http://proxy:3128") {
		t.Errorf("apt-get has %q", m.Env["apt-get"])
	}
}

// No form of a password is in an error, whatever apt says, nor in a command
// line of ours, nor in what is told of somebody else's.
func TestPasswordOfTheWebProxyIsMasked(t *testing.T) {
	encoded := base64.StdEncoding.EncodeToString([]byte("user:pass w0rd"))
	for _, test := range []struct {
		value  string
		says   string // apt
		hidden []string
	}{
		{"http://user:s3cr3t@proxy:3128", "Unsupported proxy configured: http://user:s3cr3t@proxy:3128", []string{"s3cr3t"}},
		{"http://user:s3cr3t@proxy:3128", "the password s3cr3t is wrong", []string{"s3cr3t"}},
		{"http://user:s3cr3t@proxy:3128/", "http://user:an0ther@mirror/debian 407", []string{"an0ther"}},
		{"http://user:pass%20w0rd@proxy", "Proxy-Authorization: Basic " + encoded + " for user:pass w0rd@proxy", []string{"w0rd", encoded}},
		{"user:s3cr3t@proxy:3128", "no scheme in user:s3cr3t@proxy:3128", []string{"s3cr3t"}},
		{"http://user:s3/cr@3t@proxy:3128", "Could not resolve http://user:s3/cr@3t@proxy:3128", []string{"s3/cr", "cr@3t"}},
		{"http://user:pw@proxy:3128", "http://user:pw@proxy:3128 and user:pw@proxy", []string{"pw@"}},
		{"http://t0ken-only@proxy:3128", "by t0ken-only@proxy:3128", []string{"t0ken-only"}},
		{"http://user:s%3cr3t@proxy", "bad escape in user:s%3cr3t@proxy", []string{"cr3t"}},
	} {
		for _, said := range []machine.CommandError{
			{Stderr: []string{"E: " + test.says}},
			{Stdout: []string{"Err:1 http://deb.debian.org/debian trixie InRelease", test.says}, Stderr: []string{"E: Some index files failed to download."}},
			{Stderr: []string{"W: " + test.says, "E: it broke"}},
		} {
			m := newMachine(t)
			m.Write("/etc/environment", "https_proxy='"+test.value+"'\n")
			said.Name, said.ExitCode = "apt-get", 100
			m.AptFails = &said
			s := m.lock()
			_, err := s.apply(s.plan(caddyPackage))
			var told *hostapi.Error
			if !errors.As(err, &told) {
				t.Fatalf("the error is %v", err)
			}
			shown := fmt.Sprintf("%s\n%s\n%q\n%q\n%+v", told.Message, told.Hint, told.Log, m.Commands, s.said)
			steps := m.Read(journalFile)
			if !strings.Contains(steps, "install package caddy") {
				t.Fatalf("the journal is %s", steps)
			}
			shown += steps
			for _, hidden := range test.hidden {
				if strings.Contains(shown, hidden) {
					t.Errorf("%s is shown:\n%s", hidden, shown)
				}
			}
			if !slices.Contains(m.Env["apt-get"], "https_proxy="+test.value) {
				t.Errorf("apt-get has %q", m.Env["apt-get"])
			}
		}
	}
}

func TestPasswordInACommandLineThatHoldsDpkg(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{"apt-get\x00-oAcquire::http::Proxy=http://user:s3cr3t@proxy", "apt-get -oAcquire::http::Proxy=http://(secret)@proxy (pid "},
		{"apt-get\x00-o\x00Dir::Etc::SourceParts=/etc/a\x00http://user:s3cr3t@proxy", "apt-get -o Dir::Etc::SourceParts=/etc/a http://(secret)@prox… (pid "},
	} {
		bubble(t, func(t *testing.T) {
			m := newMachine(t)
			m.Write("/var/lib/dpkg/lock-frontend", "")
			pid, release := holdLock(t, m.Path("/var/lib/dpkg/lock-frontend"))
			defer release()
			m.Write(fmt.Sprintf("/proc/%d/cmdline", pid), test.line+"\x00")
			s := m.lock()
			_, err := s.apply(s.plan(caddyPackage))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}
