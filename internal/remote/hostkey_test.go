package remote_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/relayctl/relayctl/internal/remote"
	"github.com/relayctl/relayctl/internal/remote/remotetest"
)

var allHostKeys = remotetest.Options{HostKeys: []string{"rsa", "ecdsa", "ed25519"}}

// strict is a Dialer that believes nothing but these lines of known_hosts.
func strict(t *testing.T, lines ...string) *remote.Dialer {
	t.Helper()
	d := trusting(t)
	d.AcceptNewHostKeys = false
	if err := os.WriteFile(d.KnownHosts[0], []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

func listed(s *remotetest.Server, key ssh.PublicKey) string {
	return knownhosts.Line([]string{fmt.Sprintf("127.0.0.1:%d", s.Port())}, key) + "\n"
}

func TestEachListedKeyIsAskedFor(t *testing.T) {
	s := remotetest.Start(t, allHostKeys)
	for _, key := range s.HostKeys {
		t.Run(key.Type(), func(t *testing.T) {
			dial(t, strict(t, listed(s, key)), target(s))
		})
	}
}

func TestUnknownHostKey(t *testing.T) {
	s := remotetest.Start(t, allHostKeys)
	d := strict(t)
	err := dialErrorOf(t, remote.HostKeyUnknown, d, target(s))
	fingerprint := ssh.FingerprintSHA256(s.HostKeys[2]) // as ssh would have asked for
	if want := fmt.Sprintf("verify host key of [127.0.0.1]:%d: ssh-ed25519 %s is not known", s.Port(), fingerprint); err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}
	for _, word := range []string{fmt.Sprintf("host_key = %q", "ssh-ed25519 "+fingerprint), d.KnownHosts[0], "--accept-new-host-keys", "ssh_host_ed25519_key.pub"} {
		if !strings.Contains(err.Advice(), word) {
			t.Errorf("%q is not in the advice:\n%s", word, err.Advice())
		}
	}
	if content, _ := os.ReadFile(d.KnownHosts[0]); len(content) > 0 {
		t.Errorf("known_hosts was written to: %q", content)
	}
}

// What known_hosts says beside that the key is not known helps to know it.
func TestUnknownHostKeyIsListedOtherwise(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{})
	key, other := keyText(s.HostKeys[0]), public(t, remotetest.NewKey(t, "ecdsa"))
	for name, test := range map[string]struct{ lines, says string }{
		"under another name":   {"# mine\nedge.example.com,10.0.0.9 " + key, ":2  the same key, for edge.example.com,10.0.0.9\n"},
		"under a hashed name":  {knownhosts.HashHostname("edge") + " " + key, ":1  the same key, for a name that is hashed\n"},
		"with another port":    {"[127.0.0.1]:1 " + key, ":1  the same key, for [127.0.0.1]:1\n"},
		"under many names":     {strings.Repeat("x,", 1<<12) + "edge " + key, ",x,x,…\n"},
		"by an authority":      {"@cert-authority * " + keyText(other), ":1  @cert-authority " + described(other) + ", which has not certified this key\n"},
		"revoked for another":  {"@revoked other " + key, ""},
		"an authority's key":   {"@cert-authority other " + key, ""},
		"another's, a comment": {"other " + keyText(other) + " " + key, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := strict(t, test.lines)
			advice := dialErrorOf(t, remote.HostKeyUnknown, d, target(s)).Advice()
			listed, _, _ := strings.Cut(advice, "On the host, ")
			if test.says == "" && listed != "" || !strings.HasSuffix(listed, test.says) ||
				test.says != "" && !strings.HasPrefix(listed, "listed   "+d.KnownHosts[0]+":") || len(listed) > 600 {
				t.Errorf("advice is:\n%s\nwant in it: %s", advice, test.says)
			}
		})
	}
}

// A changed key is told with both fingerprints and where the listed one stands.
func TestChangedHostKey(t *testing.T) {
	s := remotetest.Start(t, allHostKeys)
	for i, kind := range allHostKeys.HostKeys {
		t.Run(kind, func(t *testing.T) {
			listedKey := public(t, remotetest.NewKey(t, kind))
			d := strict(t, "# a comment\n", listed(s, listedKey))
			d.AcceptNewHostKeys = true // takes new keys, never changed ones
			changed := dialErrorOf(t, remote.HostKeyChanged, d, target(s))
			want := fmt.Sprintf("verify host key of [127.0.0.1]:%d: listed is %s (%s:2), it shows %s",
				s.Port(), described(listedKey), d.KnownHosts[0], described(s.HostKeys[i]))
			if diff := cmp.Diff(want, changed.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func described(key ssh.PublicKey) string { return key.Type() + " " + ssh.FingerprintSHA256(key) }

// The advice about a changed key names every line that is to go, of whichever
// file and type; what it says to do for that does it. One of the lines is
// hashed, another for more names, and one file has a name that a shell would
// take for something else.
func TestChangedHostKeyIsForgotten(t *testing.T) {
	keygen, err := exec.LookPath("ssh-keygen")
	if err != nil {
		t.Skip("there is no ssh-keygen")
	}
	s := remotetest.Start(t, remotetest.Options{})
	old, oldRSA := public(t, remotetest.NewKey(t, "ed25519")), public(t, remotetest.NewKey(t, "rsa"))
	name := fmt.Sprintf("[127.0.0.1]:%d", s.Port())
	d := strict(t, "other "+keyText(old)+"\n", name+" "+keyText(old)+"\n", knownhosts.HashHostname(name)+" "+keyText(oldRSA)+"\n")
	second := write(t, filepath.Join(t.TempDir(), "it's $HOME"), []byte("other,"+name+" "+keyText(oldRSA)+"\n"))
	d.KnownHosts = append(d.KnownHosts, second, filepath.Join(t.TempDir(), "missing"))
	d.AcceptNewHostKeys = true
	advice := dialErrorOf(t, remote.HostKeyChanged, d, target(s)).Advice()
	for _, want := range []string{
		fmt.Sprintf("listed   %s:2  %s\n", d.KnownHosts[0], described(old)),
		fmt.Sprintf("listed   %s:3  %s\n", d.KnownHosts[0], described(oldRSA)),
		fmt.Sprintf("listed   %s:1  %s, for other,%s\n", second, described(oldRSA), name),
		"Either the host was set up anew, or another machine answers at its address, or somebody stands in between,",
		"If that is " + ssh.FingerprintSHA256(s.HostKeys[0]) + ", forget the listed lines:\n",
		fmt.Sprintf("put host_key = %q into the host's ssh block", described(s.HostKeys[0])),
	} {
		if !strings.Contains(advice, want) {
			t.Errorf("%q is not in the advice:\n%s", want, advice)
		}
	}
	ran := 0
	for line := range strings.Lines(advice) {
		if command, ok := strings.CutPrefix(line, "  ssh-keygen "); ok {
			if out, err := exec.Command("/bin/sh", "-c", "exec "+keygen+" "+command).CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s", command, err, out)
			}
			ran++
		}
	}
	if ran != 2 {
		t.Errorf("%d commands for two files:\n%s", ran, advice)
	}
	dial(t, d, target(s))
	if content, _ := os.ReadFile(d.KnownHosts[0]); !strings.HasPrefix(string(content), "other ") {
		t.Errorf("the line of another host went, too: %q", content)
	}
}

// A host that is listed with a type of key that it no longer has must not look
// like one that speaks no SSH.
func TestListedKeyTypeIsGone(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{HostKeys: []string{"ecdsa"}})
	signer, err := ssh.NewSignerFromKey(remotetest.NewKey(t, "ed25519"))
	if err != nil {
		t.Fatal(err)
	}
	dialErrorOf(t, remote.HostKeyChanged, strict(t, listed(s, signer.PublicKey())), target(s))
}

func TestRevokedHostKey(t *testing.T) {
	authority := signer(t, remotetest.NewKey(t, "ecdsa"))
	s := remotetest.Start(t, remotetest.Options{HostAuthority: authority, HostNames: []string{"127.0.0.1"}})
	trusted := "@cert-authority * " + keyText(authority.PublicKey()) + "\n"
	for name, test := range map[string]struct{ lines, says string }{
		"its key":           {listed(s, s.HostKeys[0]) + "@revoked * " + keyText(s.HostKeys[0]), described(s.HostKeys[0])},
		"its certified key": {trusted + "@revoked * " + keyText(s.HostKeys[0]), described(s.HostKeys[0])},
		"its authority":     {trusted + "@revoked * " + keyText(authority.PublicKey()), "the authority of its certificate, " + described(authority.PublicKey()) + ","},
	} {
		t.Run(name, func(t *testing.T) {
			d := strict(t, test.lines)
			d.AcceptNewHostKeys = true
			revoked := dialErrorOf(t, remote.HostKeyRevoked, d, target(s))
			want := fmt.Sprintf("verify host key of [127.0.0.1]:%d: %s is marked @revoked at %s:2", s.Port(), test.says, d.KnownHosts[0])
			if diff := cmp.Diff(want, revoked.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if !strings.Contains(revoked.Advice(), "stolen or out of use") {
				t.Errorf("advice is %q", revoked.Advice())
			}
		})
	}
}

// A pin is found whatever other keys the host has: at once where its type is
// told or known_hosts has it, else with no more connections than a firewall
// lets through.
func TestPinnedHostKey(t *testing.T) {
	s := remotetest.Start(t, allHostKeys)
	for i, key := range s.HostKeys {
		fingerprint := ssh.FingerprintSHA256(key)
		other := public(t, remotetest.NewKey(t, "rsa"))
		for name, test := range map[string]struct {
			pin, lines  string
			connections int
		}{
			"with its type":                 {described(key), "", 1},
			"listed":                        {fingerprint, listed(s, key), 1},
			"listed among others":           {fingerprint, "* " + keyText(other) + "\n" + listed(s, key) + "@revoked * " + keyText(other) + "\n", 1},
			"listed without the port":       {fingerprint, "127.0.0.1 " + keyText(key), 1},
			"with its type, another listed": {described(key), listed(s, other), 1},
			"alone":                         {fingerprint, "", len(s.HostKeys) - i},
			"alone, another listed":         {fingerprint, listed(s, other), len(s.HostKeys) - i},
		} {
			t.Run(key.Type()+" "+name, func(t *testing.T) {
				to := target(s)
				to.HostKey = test.pin
				d := strict(t, test.lines)
				d.AcceptNewHostKeys = true // a pin leaves nothing to accept
				before := s.Connections()
				dial(t, d, to)
				if n := s.Connections() - before; n != test.connections {
					t.Errorf("%d connections, want %d", n, test.connections)
				}
				if content, _ := os.ReadFile(d.KnownHosts[0]); string(content) != test.lines {
					t.Errorf("a pinned key was listed: %q", content)
				}
			})
		}
	}
}

// Where no key is the pinned one, the error has each that was shown.
func TestPinnedHostKeyIsAnother(t *testing.T) {
	all, two := remotetest.Start(t, allHostKeys), remotetest.Start(t, remotetest.Options{HostKeys: []string{"ecdsa", "ed25519"}})
	other := "SHA256:" + strings.Repeat("A", 43)
	for name, test := range map[string]struct {
		server      *remotetest.Server
		pin, says   string
		connections int
	}{
		"each is another": {all, other, fmt.Sprintf("it shows %s, %s, %s", described(all.HostKeys[2]), described(all.HostKeys[1]), described(all.HostKeys[0])), 3},
		"both are others": {two, other, fmt.Sprintf("it shows %s, %s", described(two.HostKeys[1]), described(two.HostKeys[0])), 3},
		"with its type":   {all, "ssh-rsa " + other, "it shows " + described(all.HostKeys[0]), 1},
		"of no such type": {two, "ssh-rsa " + other, "it has no key of that type, only for ecdsa-sha2-nistp256, ssh-ed25519", 1},
		"of another type": {all, "ssh-rsa " + ssh.FingerprintSHA256(all.HostKeys[1]), "it shows " + described(all.HostKeys[0]), 1},
	} {
		t.Run(name, func(t *testing.T) {
			to := target(test.server)
			to.HostKey = test.pin
			d := trusting(t) // a pin leaves nothing to trust
			before := test.server.Connections()
			err := dialErrorOf(t, remote.HostKeyPinned, d, to)
			want := fmt.Sprintf("verify host key of [127.0.0.1]:%d: pinned is %s, %s", test.server.Port(), test.pin, test.says)
			if diff := cmp.Diff(want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if n := test.server.Connections() - before; n != test.connections {
				t.Errorf("%d connections, want %d", n, test.connections)
			}
		})
	}
}

// HostKeyAlgorithms of ssh's configuration bounds what is asked for, and orders
// it where known_hosts lists nothing; want is the type of the key that is then
// listed, or what the error says.
func TestHostKeyAlgorithms(t *testing.T) {
	all, rsa := remotetest.Start(t, allHostKeys), remotetest.Start(t, remotetest.Options{HostKeys: []string{"rsa"}})
	const byDefault = "ssh-ed25519-cert-v01@openssh.com,rsa-sha2-512-cert-v01@openssh.com,ssh-ed25519,ecdsa-sha2-nistp256,sk-ssh-ed25519@openssh.com,rsa-sha2-512,rsa-sha2-256"
	for name, test := range map[string]struct {
		server       *remotetest.Server
		allowed, pin string
		want         string
	}{
		"as by default":            {all, byDefault, "", "ssh-ed25519"},
		"one":                      {all, "rsa-sha2-256", "", "ssh-rsa"},
		"another order":            {all, "ecdsa-sha2-nistp256,ssh-ed25519", "", "ecdsa-sha2-nistp256"},
		"certificates first":       {all, "ssh-rsa-cert-v01@openssh.com,ssh-ed25519-cert-v01@openssh.com,rsa-sha2-512", "", "ssh-rsa"},
		"that the host has not":    {rsa, "ssh-ed25519,ecdsa-sha2-nistp256", "", "it has keys for rsa-sha2-256, rsa-sha2-512, ssh-rsa, and was asked for ssh-ed25519, ecdsa-sha2-nistp256"},
		"that nobody knows":        {all, "ssh-dss,ssh-xmss@openssh.com", "", "relayctl knows none of the algorithms that HostKeyAlgorithms of ssh's configuration has"},
		"without the pinned type":  {all, "ssh-ed25519", described(all.HostKeys[0]), "the pinned key is of type ssh-rsa, which relayctl does not know, or HostKeyAlgorithms of ssh's configuration does not have"},
		"without the pinned key's": {all, "ssh-ed25519", ssh.FingerprintSHA256(all.HostKeys[0]), "it shows " + described(all.HostKeys[2])},
	} {
		t.Run(name, func(t *testing.T) {
			d, to := trusting(t), target(test.server)
			d.SSH, to.HostKey = fakeSSH(t, "hostname 127.0.0.1", "hostkeyalgorithms "+test.allowed), test.pin
			host, err := d.Dial(t.Context(), to)
			if err == nil {
				host.Close()
				content, _ := os.ReadFile(d.KnownHosts[0])
				if words := strings.Fields(string(content)); len(words) != 3 || words[1] != test.want {
					t.Errorf("listed is %q, want a key of type %s", content, test.want)
				}
				return
			}
			if !strings.Contains(err.Error(), test.want) || as[*remote.Error](t, err).Advice() == "" {
				t.Errorf("error is %v, want %q in it", err, test.want)
			}
		})
	}
	listedFirst := strict(t, listed(all, all.HostKeys[0]))
	listedFirst.SSH = fakeSSH(t, "hostname 127.0.0.1", "hostkeyalgorithms "+byDefault)
	dial(t, listedFirst, target(all))
}

// Whoever answers, through whatever the way leads, a host is known by the name
// that was meant: never by the address that the connection ends at (k0sctl#813).
func TestHostIsKnownByItsName(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{})
	other := public(t, remotetest.NewKey(t, "ed25519"))
	through := func(d *remote.Dialer) *remote.Dialer {
		d.Connect = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", s.Port()))
		}
		return d
	}
	to := remote.Target{Address: "gpu-1.example.com", IdentityFile: s.KeyFile}
	key := keyText(s.HostKeys[0])
	dial(t, through(strict(t, "gpu-1.example.com "+key+"\n127.0.0.1 "+keyText(other)+"\n")), to)
	dialErrorOf(t, remote.HostKeyUnknown, through(strict(t, "127.0.0.1 "+key+"\n"+listed(s, s.HostKeys[0]))), to)
	d := through(trusting(t))
	dial(t, d, to)
	content, err := os.ReadFile(d.KnownHosts[0])
	if want := "gpu-1.example.com " + key + "\n"; err != nil || string(content) != want {
		t.Errorf("known_hosts is %q, %v; want %q", content, err, want)
	}
}

// A target that must be known is not taken on trust, whatever the Dialer does,
// and nobody is told that it could be.
func TestKnownOnly(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{})
	d, to := trusting(t), target(s)
	to.KnownOnly = true
	unknown := dialErrorOf(t, remote.HostKeyUnknown, d, to)
	if content, _ := os.ReadFile(d.KnownHosts[0]); len(content) > 0 || strings.Contains(unknown.Advice(), "--accept") {
		t.Errorf("known_hosts is %q, the advice\n%s", content, unknown.Advice())
	}
}

func TestNewHostKeysAreListed(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{})
	d := trusting(t)
	d.KnownHosts = []string{filepath.Join(t.TempDir(), "ssh", "known_hosts")}
	var mu sync.Mutex
	var told []remote.NewHostKey
	d.OnNewHostKey = func(key remote.NewHostKey) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, key)
	}
	dial(t, d, target(s))
	want := []remote.NewHostKey{{
		Host:        "edge",
		Address:     fmt.Sprintf("[127.0.0.1]:%d", s.Port()),
		KeyType:     "ssh-ed25519",
		Fingerprint: ssh.FingerprintSHA256(s.HostKeys[0]),
		File:        d.KnownHosts[0],
	}}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	content, err := os.ReadFile(d.KnownHosts[0])
	if diff := cmp.Diff(listed(s, s.HostKeys[0]), string(content)); err != nil || diff != "" {
		t.Errorf("known_hosts, %v (-want +got):\n%s", err, diff)
	}
	info, err := os.Stat(d.KnownHosts[0])
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("known_hosts is %v, %v; want 0600", info.Mode(), err)
	}
	d.AcceptNewHostKeys = false
	dial(t, d, target(s))
	if len(told) != 1 {
		t.Errorf("told %d times, want once", len(told))
	}
}

func TestListingKeepsWhatStandsThere(t *testing.T) {
	first, second := remotetest.Start(t, remotetest.Options{}), remotetest.Start(t, remotetest.Options{})
	unended := strings.TrimSuffix(listed(first, first.HostKeys[0]), "\n")
	d := strict(t, unended)
	d.AcceptNewHostKeys = true
	dial(t, d, target(second))
	content, err := os.ReadFile(d.KnownHosts[0])
	want := unended + "\n" + listed(second, second.HostKeys[0])
	if diff := cmp.Diff(want, string(content)); err != nil || diff != "" {
		t.Errorf("known_hosts, %v (-want +got):\n%s", err, diff)
	}
}

func TestListingSideBySide(t *testing.T) {
	d := trusting(t)
	var dials sync.WaitGroup
	for range 8 {
		s := remotetest.Start(t, remotetest.Options{})
		dials.Go(func() {
			host, err := d.Dial(t.Context(), target(s))
			if err != nil {
				t.Error(err)
				return
			}
			host.Close()
		})
	}
	dials.Wait()
	content, err := os.ReadFile(d.KnownHosts[0])
	if lines := strings.Count(string(content), "\n"); err != nil || lines != 8 {
		t.Errorf("known_hosts has %d lines, %v; want 8", lines, err)
	}
	if _, err := knownhosts.New(d.KnownHosts...); err != nil {
		t.Error(err)
	}
}
