package remote_test

import (
	"fmt"
	"os"
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
	for _, word := range []string{fmt.Sprintf("host_key = %q", fingerprint), d.KnownHosts[0], "--accept-new-host-keys", "ssh_host_ed25519_key.pub"} {
		if !strings.Contains(err.Advice(), word) {
			t.Errorf("%q is not in the advice:\n%s", word, err.Advice())
		}
	}
	if content, _ := os.ReadFile(d.KnownHosts[0]); len(content) > 0 {
		t.Errorf("known_hosts was written to: %q", content)
	}
}

func TestChangedHostKey(t *testing.T) {
	s := remotetest.Start(t, allHostKeys)
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		t.Run(kind, func(t *testing.T) {
			signer, err := ssh.NewSignerFromKey(remotetest.NewKey(t, kind))
			if err != nil {
				t.Fatal(err)
			}
			d := strict(t, "# a comment\n", listed(s, signer.PublicKey()))
			d.AcceptNewHostKeys = true // takes new keys, never changed ones
			changed := dialErrorOf(t, remote.HostKeyChanged, d, target(s))
			for _, want := range []string{": it shows " + signer.PublicKey().Type() + " SHA256:", ", " + d.KnownHosts[0] + ":2 lists another"} {
				if !strings.Contains(changed.Error(), want) {
					t.Errorf("error is %v, want %q in it", changed, want)
				}
			}
			command := fmt.Sprintf("ssh-keygen -f '%s' -R '[127.0.0.1]:%d'", d.KnownHosts[0], s.Port())
			if !strings.Contains(changed.Advice(), command) {
				t.Errorf("%q is not in the advice:\n%s", command, changed.Advice())
			}
		})
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
	s := remotetest.Start(t, remotetest.Options{})
	revoked := dialErrorOf(t, remote.HostKeyRevoked, strict(t, "@revoked "+listed(s, s.HostKeys[0])), target(s))
	if want := ssh.FingerprintSHA256(s.HostKeys[0]) + " is marked as revoked at "; !strings.Contains(revoked.Error(), want) || !strings.HasSuffix(revoked.Error(), ":1") {
		t.Errorf("error is %v, want %q and line 1 in it", revoked, want)
	}
}

func TestPinnedHostKey(t *testing.T) {
	s := remotetest.Start(t, allHostKeys)
	for _, key := range s.HostKeys {
		t.Run(key.Type(), func(t *testing.T) {
			to := target(s)
			to.HostKey = ssh.FingerprintSHA256(key)
			d := strict(t)
			dial(t, d, to)
			if content, _ := os.ReadFile(d.KnownHosts[0]); len(content) > 0 {
				t.Errorf("a pinned key was listed: %q", content)
			}
		})
	}
}

func TestPinnedHostKeyIsAnother(t *testing.T) {
	s := remotetest.Start(t, allHostKeys)
	to := target(s)
	to.HostKey = "SHA256:" + strings.Repeat("A", 43)
	d := trusting(t) // a pin leaves nothing to trust
	err := dialErrorOf(t, remote.HostKeyPinned, d, to)
	want := fmt.Sprintf("verify host key of [127.0.0.1]:%d: pinned is %s, it shows %s, %s, %s", s.Port(), to.HostKey,
		ssh.FingerprintSHA256(s.HostKeys[2]), ssh.FingerprintSHA256(s.HostKeys[1]), ssh.FingerprintSHA256(s.HostKeys[0]))
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
	if s.Connections() > 4 {
		t.Errorf("%d connections for three keys", s.Connections())
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
