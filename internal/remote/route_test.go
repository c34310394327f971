package remote_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/relayctl/relayctl/internal/remote"
	"github.com/relayctl/relayctl/internal/remote/remotetest"
)

// fakeSSH is an ssh program that answers -G with these lines, and keeps its
// arguments in the file "args" beside it.
func fakeSSH(t *testing.T, lines ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ssh")
	text := "#!/bin/sh\necho \"$@\" > \"$(dirname \"$0\")/args\"\ncat <<'EOF'\n" + strings.Join(lines, "\n") + "\nEOF\n"
	if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestSSHConfigurationFillsIn(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{})
	d := trusting(t)
	known := d.KnownHosts[0]
	d.KnownHosts, d.AcceptNewHostKeys = nil, true
	d.SSH = fakeSSH(t,
		"user ops", "hostname 127.0.0.1", fmt.Sprintf("port %d", s.Port()), "identityfile "+s.KeyFile,
		"identitiesonly yes", "identityagent none", "userknownhostsfile "+known+" /nowhere/else",
		"hostkeyalias edge.internal", "proxyjump none")
	dial(t, d, remote.Target{Address: "edge"})
	content, err := os.ReadFile(known)
	want := "edge.internal " + string(ssh.MarshalAuthorizedKey(s.HostKeys[0]))
	if err != nil || string(content) != want {
		t.Errorf("known_hosts is %q, %v; want %q", content, err, want)
	}
	args, err := os.ReadFile(filepath.Join(filepath.Dir(d.SSH), "args"))
	if got := strings.TrimSpace(string(args)); err != nil || got != "-G -- edge" {
		t.Errorf("ssh was asked with %q, %v", got, err)
	}
}

func TestStackOverrulesSSHConfiguration(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{})
	d := trusting(t)
	d.SSH = fakeSSH(t, "user somebody", "hostname 127.0.0.1", "port 1", "identityfile /nowhere", "hashknownhosts yes")
	to := target(s)
	to.User = "ops"
	dial(t, d, to)
	args, err := os.ReadFile(filepath.Join(filepath.Dir(d.SSH), "args"))
	want := fmt.Sprintf("-G -l ops -p %d -- 127.0.0.1", s.Port())
	if got := strings.TrimSpace(string(args)); err != nil || got != want {
		t.Errorf("ssh was asked with %q, %v; want %q", got, err, want)
	}
	content, err := os.ReadFile(d.KnownHosts[0])
	if err != nil || !strings.HasPrefix(string(content), "|1|") {
		t.Errorf("known_hosts is %q, %v; want a hashed name", content, err)
	}
	d.AcceptNewHostKeys = false
	dial(t, d, to)
}

func TestBrokenSSHConfiguration(t *testing.T) {
	d := trusting(t)
	d.SSH = filepath.Join(t.TempDir(), "ssh")
	if err := os.WriteFile(d.SSH, []byte("#!/bin/sh\necho 'config line 3: Bad option' >&2\nexit 255\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := d.Dial(t.Context(), remote.Target{Address: "edge"})
	if err == nil || !strings.Contains(err.Error(), "config line 3: Bad option") {
		t.Errorf("error is %v, want ssh's own words", err)
	}
}

func TestNewDialerFindsTheUser(t *testing.T) {
	t.Setenv("SSH_AUTH_SOCK", "/run/agent")
	d, err := remote.NewDialer()
	if err != nil {
		t.Fatal(err)
	}
	if d.User == "" || d.Home != accountHome(t) || d.AgentSocket != "/run/agent" {
		t.Errorf("dialer is %+v", d)
	}
}

func TestTargetsThatAreNone(t *testing.T) {
	good := []remote.Target{
		{Address: "edge"}, {Address: "gpu-1.example.com"}, {Address: "10.0.0.1"}, {Address: "2001:db8::1"},
		{Address: "fe80::1%eth0"}, {Address: "local"}, {Address: "a", User: "ops@corp"}, {Address: "a", User: "machine$"},
		{Address: "a", Port: 65535}, {Address: "a", HostKey: "SHA256:" + strings.Repeat("a/+", 14) + "A"}, {Address: "a", Sudo: remote.SudoNone},
		{Address: "a", HostKey: "ssh-ed25519 SHA256:" + strings.Repeat("a", 43)}, {Address: "a", HostKey: "sk-ssh-ed25519@openssh.com SHA256:" + strings.Repeat("a", 43)},
	}
	for _, to := range good {
		if err := to.Check(); err != nil {
			t.Errorf("%+v is refused: %v", to, err)
		}
	}
	bad := []remote.Target{
		{}, {Address: "-oProxyCommand=reboot"}, {Address: "$(id)"}, {Address: "a;reboot"}, {Address: "a b"}, {Address: "a\nb"},
		{Address: "a/b"}, {Address: "a", User: "-l"}, {Address: "a", User: "`id`"}, {Address: "a", User: "a b"}, {Address: "a", Port: -1},
		{Address: "a", Port: 65536}, {Address: "a", HostKey: "MD5:aa"}, {Address: "a", HostKey: "SHA256:short"},
		{Address: "a", HostKey: "ssh-ed25519  SHA256:" + strings.Repeat("a", 43)}, {Address: "a", HostKey: "a b SHA256:" + strings.Repeat("a", 43)},
		{Address: "a", HostKey: " SHA256:" + strings.Repeat("a", 43)}, {Address: "a", HostKey: "SHA256:" + strings.Repeat("a", 43) + " (ED25519)"},
		{Address: "a", Sudo: "please"}, {Address: "a", IdentityFile: "a\nb"},
	}
	for _, to := range bad {
		_, dialled := (&remote.Dialer{}).Dial(t.Context(), to)
		if err := to.Check(); err == nil || dialled == nil || dialled.Error() != err.Error() {
			t.Errorf("%+v is taken: %v, dialled: %v", to, err, dialled)
		}
	}
}

// What is let through must be a plain word to ssh and to every shell.
func FuzzTarget(f *testing.F) {
	f.Add("edge", "ops")
	f.Add("fe80::1%eth0", "machine$")
	f.Fuzz(func(t *testing.T, address, user string) {
		if (remote.Target{Address: address, User: user}).Check() != nil {
			return
		}
		if strings.HasPrefix(address, "-") || strings.ContainsAny(address, " \t\r\n\x00'\"`$;&|<>(){}[]*?!#~\\/") {
			t.Errorf("address %q is let through", address)
		}
		if strings.HasPrefix(user, "-") || strings.ContainsAny(strings.TrimSuffix(user, "$"), " \t\r\n\x00'\"`$;&|<>(){}[]*?!#~\\/") {
			t.Errorf("user %q is let through", user)
		}
	})
}

// %k in a path is the host's alias for its key, or the name as the stack has it,
// as ssh -v shows with a ProxyCommand.
func TestPathsByTheKeysName(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{})
	key, err := os.ReadFile(s.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	for alias, name := range map[string]string{"none": "Edge", "Rack-3": "rack-3"} {
		folder := t.TempDir()
		write(t, filepath.Join(folder, name+" 127.0.0.1 Edge"), key)
		d := trusting(t)
		d.SSH = fakeSSH(t, "hostname 127.0.0.1", "hostkeyalias "+alias, "identityfile "+folder+"/%k %h %n")
		dial(t, d, remote.Target{Address: "Edge", Port: s.Port()})
	}
}

// ssh may wait for what a Match exec runs; it is not waited for without end.
func TestSSHConfigurationThatHangs(t *testing.T) {
	t.Parallel()
	d := trusting(t)
	d.Timeout = impatience
	d.SSH = filepath.Join(t.TempDir(), "ssh")
	if err := os.WriteFile(d.SSH, []byte("#!/bin/sh\nexec sleep 600\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx := soon(t)
	_, err := d.Dial(ctx, remote.Target{Address: "edge"})
	if ctx.Err() != nil || err == nil || !strings.Contains(err.Error(), "ssh -G did not come to an end, perhaps for a Match exec") {
		t.Errorf("error is %v", err)
	}
}
