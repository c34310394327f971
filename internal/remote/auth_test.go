package remote_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/relayctl/relayctl/internal/remote"
	"github.com/relayctl/relayctl/internal/remote/remotetest"
)

// startAgent serves an ssh agent that holds keys, and returns its socket.
func startAgent(t *testing.T, keys ...any) string {
	t.Helper()
	ring := agent.NewKeyring()
	for _, key := range keys {
		if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
			t.Fatal(err)
		}
	}
	return serveAgent(t, ring)
}

// serveAgent serves an agent, and returns its socket.
func serveAgent(t *testing.T, held agent.Agent) string {
	t.Helper()
	return serveSocket(t, func(conn net.Conn) { agent.ServeAgent(held, conn) })
}

// serveSocket serves each connection to a socket of its own.
func serveSocket(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "agent") // a socket's path may not be long
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(folder, "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		listener.Close()
		os.RemoveAll(folder)
	})
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				serve(conn)
				conn.Close()
			}()
		}
	}()
	return socket
}

func signer(t *testing.T, key any) ssh.Signer {
	t.Helper()
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func public(t *testing.T, key any) ssh.PublicKey {
	t.Helper()
	return signer(t, key).PublicKey()
}

func makePipe(t *testing.T, file string) {
	t.Helper()
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLogInWithAgent(t *testing.T) {
	key := remotetest.NewKey(t, "ecdsa")
	s := remotetest.Start(t, remotetest.Options{Authorized: []ssh.PublicKey{public(t, key)}})
	d := trusting(t)
	d.AgentSocket = startAgent(t, remotetest.NewKey(t, "ed25519"), key)
	to := target(s)
	to.IdentityFile = ""
	dial(t, d, to)
}

func TestLogInWithDefaultKey(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{})
	d := trusting(t)
	if err := os.Mkdir(filepath.Join(d.Home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(s.KeyFile, filepath.Join(d.Home, ".ssh/id_ed25519")); err != nil {
		t.Fatal(err)
	}
	to := target(s)
	to.IdentityFile = ""
	dial(t, d, to)
	to.IdentityFile = "~/.ssh/id_ed25519"
	dial(t, d, to)
}

// An agent that holds many keys must not use up the server's six tries before
// the named one is offered.
func TestNamedKeyIsOfferedAlone(t *testing.T) {
	var keys []any
	for range 8 {
		keys = append(keys, remotetest.NewKey(t, "ed25519"))
	}
	key := remotetest.NewKey(t, "ed25519")
	s := remotetest.Start(t, remotetest.Options{Authorized: []ssh.PublicKey{public(t, key)}})
	d := trusting(t)
	d.AgentSocket = startAgent(t, append(keys, key)...)
	to := target(s)
	to.IdentityFile = remotetest.WriteKey(t, key, "a passphrase that only the agent was told")
	dial(t, d, to)

	to.IdentityFile = ""
	err := dialError[*remote.AuthError](t, d, to)
	if len(err.Tried) != 9 || !strings.Contains(err.Advice(), "identity_file") {
		t.Errorf("tried %d keys, with the advice:\n%s", len(err.Tried), err.Advice())
	}
}

func TestNamedKeyIsTheOnlyOne(t *testing.T) {
	key := remotetest.NewKey(t, "ed25519")
	s := remotetest.Start(t, remotetest.Options{Authorized: []ssh.PublicKey{public(t, key)}})
	d := trusting(t)
	d.AgentSocket = startAgent(t, key)
	to := target(s)
	to.IdentityFile = remotetest.WriteKey(t, remotetest.NewKey(t, "ed25519"), "")
	err := dialError[*remote.AuthError](t, d, to)
	if len(err.Tried) != 1 || err.Tried[0].Source != to.IdentityFile {
		t.Errorf("tried %+v, want the named key alone", err.Tried)
	}
}

// A server that hangs up after six keys has refused them; one that hangs up
// before may have other reasons.
func TestServerHangsUpInTheMiddleOfLogIn(t *testing.T) {
	for _, count := range []int{2, 6} {
		var keys []any
		for range count {
			keys = append(keys, remotetest.NewKey(t, "ed25519"))
		}
		offered, started := 0, make(chan *remotetest.Server, 1)
		s := remotetest.Start(t, remotetest.Options{On: func(point string) {
			if point != "auth" {
				return
			}
			if offered++; offered == count {
				(<-started).Drop()
			}
		}})
		started <- s
		d := trusting(t)
		d.AgentSocket = startAgent(t, keys...)
		to := target(s)
		to.IdentityFile = ""
		if count < 6 {
			if err := dialError[*remote.UnreachableError](t, d, to); err.Reason != remote.ReasonLost {
				t.Errorf("reason is %q", err.Reason)
			}
			continue
		}
		dialError[*remote.AuthError](t, d, to)
	}
}

func TestKeyThatOnlyTheAgentHas(t *testing.T) {
	key := remotetest.NewKey(t, "ed25519")
	s := remotetest.Start(t, remotetest.Options{Authorized: []ssh.PublicKey{public(t, key)}})
	d := trusting(t)
	d.AgentSocket = startAgent(t, key)
	file := filepath.Join(t.TempDir(), "id.pub")
	if err := os.WriteFile(file, ssh.MarshalAuthorizedKey(public(t, key)), 0o644); err != nil {
		t.Fatal(err)
	}
	to := target(s)
	for _, name := range []string{file, strings.TrimSuffix(file, ".pub")} {
		to.IdentityFile = name
		dial(t, d, to)
	}
}

func TestEncryptedKeyWithoutAgent(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{})
	to := target(s)
	to.IdentityFile = remotetest.WriteKey(t, remotetest.NewKey(t, "ed25519"), "secret")
	_, err := trusting(t).Dial(t.Context(), to)
	if !errors.Is(err, remote.ErrKeyEncrypted) || !strings.Contains(err.Error(), to.IdentityFile) {
		t.Errorf("error is %v", err)
	}
}

func TestMissingKey(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{})
	to := target(s)
	to.IdentityFile = "~/.ssh/no-such-key"
	_, err := trusting(t).Dial(t.Context(), to)
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
}

func TestRefusedLogIn(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{Refuse: true, Banner: "log in as ubuntu\n"})
	err := dialError[*remote.AuthError](t, trusting(t), target(s))
	if len(err.Tried) != 1 || err.Tried[0].Source != s.KeyFile || err.User != "ops" {
		t.Errorf("error is %+v", err)
	}
	if !strings.Contains(err.Advice(), "log in as ubuntu") || !strings.Contains(err.Advice(), err.Tried[0].Fingerprint) {
		t.Errorf("advice is:\n%s", err.Advice())
	}
}

func TestNoKeyAtAll(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{})
	d := trusting(t)
	d.AgentSocket = filepath.Join(t.TempDir(), "gone")
	to := target(s)
	to.IdentityFile = ""
	err := dialError[*remote.AuthError](t, d, to)
	if len(err.Tried) != 0 || len(err.Skipped) != 1 || !strings.Contains(err.Error(), "no key to offer") {
		t.Errorf("error is %+v", err)
	}
}
