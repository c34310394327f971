package remote_test

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/relayctl/relayctl/internal/remote"
	"github.com/relayctl/relayctl/internal/remote/remotetest"
)

// fickle is an agent with moods.
type fickle struct {
	agent.Agent
	foreign []*agent.Key                                       // listed first
	list    error                                              // why it lists nothing
	sign    func(key ssh.PublicKey) (sign bool, failure error) // asked before it signs
}

func (f fickle) List() ([]*agent.Key, error) {
	keys, err := f.Agent.List()
	return append(f.foreign, keys...), errors.Join(err, f.list)
}

func (f fickle) Sign(key ssh.PublicKey, data []byte) (*ssh.Signature, error) {
	return f.SignWithFlags(key, data, 0)
}

func (f fickle) SignWithFlags(key ssh.PublicKey, data []byte, flags agent.SignatureFlags) (*ssh.Signature, error) {
	if f.sign != nil {
		if sign, failure := f.sign(key); !sign {
			return nil, failure
		}
	}
	return f.Agent.(agent.ExtendedAgent).SignWithFlags(key, data, flags)
}

func (fickle) Extension(string, []byte) ([]byte, error) { return nil, agent.ErrExtensionUnsupported }

func keyring(t *testing.T, keys ...any) agent.Agent {
	t.Helper()
	ring := agent.NewKeyring()
	for _, key := range keys {
		if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
			t.Fatal(err)
		}
	}
	return ring
}

func foreignKey(format string) *agent.Key {
	blob := ssh.Marshal(struct{ Format, Rest string }{format, "something"})
	return &agent.Key{Format: format, Blob: blob, Comment: "foreign"}
}

// Whatever the agent does, the keys in files are tried. Its own good keys are,
// too, beside those that are of no use.
func TestAgentThatFails(t *testing.T) {
	folder := t.TempDir()
	stale := serveSocket(t, func(net.Conn) {})
	gone := serveSocketOnce(t)
	refused := func(ssh.PublicKey) (bool, error) { return false, errors.New("the user said no") }
	mine := remotetest.NewKey(t, "ecdsa")
	says := func(text string) string {
		return serveSocket(t, func(conn net.Conn) { io.WriteString(conn, text) })
	}
	for name, test := range map[string]struct {
		socket  string
		skipped string
	}{
		"not there":          {filepath.Join(folder, "none"), "no such file"},
		"stale":              {gone, "connection refused"},
		"not a socket":       {write(t, filepath.Join(folder, "file"), nil), "agent: "},
		"a folder":           {folder, "agent: "},
		"hangs up":           {stale, "agent: "},
		"talks nonsense":     {says("HTTP/1.1 400 Bad Request\r\n\r\n"), "agent: "},
		"answers something":  {says("\x00\x00\x00\x05\x0c\xff\xff\xff\xff"), "agent: "},
		"a malformed key":    {says("\x00\x00\x00\x09\x0c\x00\x00\x00\x01\x00\x00\xff\xff"), "agent: "},
		"lists nothing":      {serveAgent(t, fickle{Agent: keyring(t), list: errors.New("locked")}), "agent: "},
		"says nothing":       {serveSocket(t, func(conn net.Conn) { io.Copy(io.Discard, conn) }), "it does not tell its keys"},
		"foreign keys":       {serveAgent(t, fickle{Agent: keyring(t), foreign: []*agent.Key{foreignKey("ssh-ed448"), foreignKey("ssh-ed25519")}}), "of type ssh-ed448, which relayctl does not know"},
		"signs nothing":      {serveAgent(t, fickle{Agent: keyring(t, mine), sign: refused}), ""},
		"dies when it signs": {serveDying(t, keyring(t, mine)), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := remotetest.Start(t, remotetest.Options{Authorized: []ssh.PublicKey{public(t, mine)}})
			d, to := trusting(t), target(s)
			d.AgentSocket, d.Timeout = test.socket, 6*time.Second
			content, err := os.ReadFile(s.KeyFile)
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(d.Home, ".ssh/id_ed25519"), content)
			to.IdentityFile = ""
			dial(t, d, to)
			to.IdentityFile = s.KeyFile
			dial(t, d, to)

			deaf := remotetest.Start(t, remotetest.Options{Refuse: true})
			to.Port, to.IdentityFile = deaf.Port(), ""
			refusal := dialError[*remote.AuthError](t, d, to)
			if told := strings.Join(refusal.Skipped, "\n"); !strings.Contains(told, test.skipped) {
				t.Errorf("skipped %q, want %q in it", told, test.skipped)
			}
		})
	}
}

// serveSocketOnce is a socket that nobody serves any more.
func serveSocketOnce(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "agent")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(folder, "s"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	listener.Close()
	return filepath.Join(folder, "s")
}

// serveDying serves an agent that hangs up when it is asked to sign.
func serveDying(t *testing.T, held agent.Agent) string {
	t.Helper()
	return serveSocket(t, func(conn net.Conn) {
		agent.ServeAgent(fickle{Agent: held, sign: func(ssh.PublicKey) (bool, error) {
			conn.Close()
			return false, errors.New("dead")
		}}, conn)
	})
}

// After a key that the agent does not sign with, its next one is tried
// (waveterm#3365), and why is told where none is taken.
func TestAgentRefusesOneKey(t *testing.T) {
	first, second := remotetest.NewKey(t, "ed25519"), remotetest.NewKey(t, "ed25519")
	s := remotetest.Start(t, remotetest.Options{Authorized: []ssh.PublicKey{public(t, first), public(t, second)}})
	d, to := trusting(t), target(s)
	to.IdentityFile = ""
	refuses := func(no any) func(ssh.PublicKey) (bool, error) {
		return func(key ssh.PublicKey) (bool, error) {
			return string(key.Marshal()) != string(public(t, no).Marshal()), errors.New("the user said no")
		}
	}
	d.AgentSocket = serveAgent(t, fickle{Agent: keyring(t, first, second), sign: refuses(first)})
	dial(t, d, to)
	d.AgentSocket = serveAgent(t, fickle{Agent: keyring(t, first), sign: refuses(first)})
	err := dialError[*remote.AuthError](t, d, to)
	if !strings.Contains(err.Advice(), "(can't sign: agent: failed to sign challenge)") {
		t.Errorf("advice is:\n%s", err.Advice())
	}
}

// An agent that waits for somebody to confirm is not the host's silence.
func TestAgentDoesNotSignInTime(t *testing.T) {
	t.Parallel()
	key := remotetest.NewKey(t, "ed25519")
	s := remotetest.Start(t, remotetest.Options{Authorized: []ssh.PublicKey{public(t, key)}})
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	d, to := trusting(t), target(s)
	d.Timeout = impatience
	d.AgentSocket = serveAgent(t, fickle{Agent: keyring(t, key), sign: func(ssh.PublicKey) (bool, error) {
		<-over
		return false, errors.New("nobody came")
	}})
	to.IdentityFile = ""
	err := dialError[*remote.AuthError](t, d, to)
	if err.Reason != remote.ReasonAgent || !strings.Contains(err.Error(), "the ssh agent does not sign in time") {
		t.Errorf("error is %v", err)
	}
}

// Files that are no private keys, or not to be read, stop only whoever named
// them in the stack, and then say what they are.
func TestIdentityFilesThatAreNone(t *testing.T) {
	folder := t.TempDir()
	key := remotetest.NewKey(t, "ed25519")
	pipe := filepath.Join(folder, "pipe")
	makePipe(t, pipe)
	for name, test := range map[string]struct{ file, says string }{
		"a folder":          {folder, "is a directory"},
		"a pipe":            {pipe, "is not a regular file"},
		"below a file":      {filepath.Join(write(t, filepath.Join(folder, "file"), nil), "id"), "not a directory"},
		"missing":           {filepath.Join(folder, "missing"), "no such file"},
		"empty":             {write(t, filepath.Join(folder, "empty"), nil), "read private key"},
		"cut":               {write(t, filepath.Join(folder, "cut"), []byte("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNza\n")), "read private key"},
		"with a passphrase": {remotetest.WriteKey(t, key, "secret"), "passphrase"},
		"PKCS #8 with one":  {write(t, filepath.Join(folder, "pkcs8"), []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIBAA==\n-----END ENCRYPTED PRIVATE KEY-----\n")), "passphrase"},
		"PEM with one":      {write(t, filepath.Join(folder, "pem"), []byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nMIIBAA==\n-----END RSA PRIVATE KEY-----\n")), "passphrase"},
		"PuTTY's":           {write(t, filepath.Join(folder, "id.ppk"), []byte("PuTTY-User-Key-File-3: ssh-ed25519\r\nEncryption: none\r\n")), "read private key: ssh: no key found"},
		"public":            {write(t, filepath.Join(folder, "id.pub"), publicText(public(t, key))), "it is a public key"},
	} {
		t.Run(name, func(t *testing.T) {
			s := remotetest.Start(t, remotetest.Options{})
			d, to := trusting(t), target(s)
			to.IdentityFile = test.file
			if _, err := d.Dial(t.Context(), to); err == nil || !strings.Contains(err.Error(), "use identity_file "+test.file) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error is %v, want %q in it", err, test.says)
			}
			to.IdentityFile = ""
			d.SSH = fakeSSH(t, "hostname 127.0.0.1", "identityfile none", "identityfile "+test.file, "identityfile "+s.KeyFile)
			dial(t, d, to)
			to.Port = remotetest.Start(t, remotetest.Options{Refuse: true}).Port()
			if told := strings.Join(dialError[*remote.AuthError](t, d, to).Skipped, "\n"); !strings.Contains(told, test.file) || !strings.Contains(told, test.says) {
				t.Errorf("skipped %q, want %q in it", told, test.says)
			}
		})
	}
}

// A private key is taken in any form that ssh takes.
func TestIdentityFilesOfAnyForm(t *testing.T) {
	folder := t.TempDir()
	pkcs8 := func(key any) (string, []byte) {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return "PRIVATE KEY", der
	}
	rsaKey, ecKey, edKey := remotetest.NewKey(t, "rsa").(*rsa.PrivateKey), remotetest.NewKey(t, "ecdsa").(*ecdsa.PrivateKey), remotetest.NewKey(t, "ed25519")
	for name, test := range map[string]struct {
		key  any
		form func() (string, []byte)
	}{
		"PKCS #1":          {rsaKey, func() (string, []byte) { return "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey) }},
		"PKCS #8":          {rsaKey, func() (string, []byte) { return pkcs8(rsaKey) }},
		"PKCS #8, ecdsa":   {ecKey, func() (string, []byte) { return pkcs8(ecKey) }},
		"PKCS #8, ed25519": {edKey, func() (string, []byte) { return pkcs8(edKey) }},
		"SEC 1": {ecKey, func() (string, []byte) {
			der, err := x509.MarshalECPrivateKey(ecKey)
			if err != nil {
				t.Fatal(err)
			}
			return "EC PRIVATE KEY", der
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := remotetest.Start(t, remotetest.Options{Authorized: []ssh.PublicKey{public(t, test.key)}})
			form, der := test.form()
			text := pem.EncodeToMemory(&pem.Block{Type: form, Bytes: der})
			d, to := trusting(t), target(s)
			for _, content := range []string{string(text), strings.ReplaceAll(string(text), "\n", "\r\n"), "a comment\n" + strings.TrimSpace(string(text))} {
				to.IdentityFile = write(t, filepath.Join(folder, "id"), []byte(content))
				dial(t, d, to)
			}
		})
	}
}

// The agent's socket may be named by a variable, or by tokens.
func TestAgentThatTheConfigurationNames(t *testing.T) {
	key := remotetest.NewKey(t, "ed25519")
	s := remotetest.Start(t, remotetest.Options{Authorized: []ssh.PublicKey{public(t, key)}})
	socket := startAgent(t, key)
	t.Setenv("OTHER_AGENT", socket)
	t.Setenv("OTHER_FOLDER", filepath.Dir(socket))
	for _, name := range []string{"$OTHER_AGENT", "${OTHER_FOLDER}/s", "%d/s", "~/s", "SSH_AUTH_SOCK"} {
		d, to := trusting(t), target(s)
		d.Home = filepath.Dir(socket)
		if name == "SSH_AUTH_SOCK" {
			d.AgentSocket = socket
		}
		d.SSH, to.IdentityFile = fakeSSH(t, "hostname 127.0.0.1", "identityagent "+name), ""
		dial(t, d, to)
	}
}
