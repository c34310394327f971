// Package remotetest is an SSH server for tests: it runs in the test's own
// process, shows the host keys and has the moods that a test asks for, and
// serves a temporary folder as the host's root.
package remotetest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// Options are the server's moods. The zero Options are a host that lets in
// Server.KeyFile, with one ed25519 host key, sudo without password, and no
// delay.
type Options struct {
	HostKeys   []string        // "ed25519", "ecdsa", "rsa"; nil means the first
	Authorized []ssh.PublicKey // who may log in beside Server.KeyFile
	Refuse     bool            // let nobody in, Server.KeyFile included
	Banner     string

	Authority     ssh.PublicKey            // signs user certificates that are let in
	HostAuthority ssh.Signer               // signs a certificate for each host key
	HostNames     []string                 // that those certificates are made out for
	Account       func(user string) string // asked once a key is proven, as PAM is: what it says is told, and the connection ended; "" lets in
	MoreThanKey   bool                     // ask for a password as well
	PasswordOnly  bool                     // take no keys
	Password      string                   // is right, where one is taken; "" means none is
	SudoPassword  string                   // is right for sudo, where it wants one
	MaxSessions   int                      // that may be open at once on a connection, as sshd counts them; 0 means any number
	Questions     []string                 // ask these for it, in place of SSH's own method; Password answers each
	EndSession    bool                     // end the connection after the log-in, as for a bad ChrootDirectory

	Listener net.Listener // on a TCP address, whatever carries the bytes; nil means a free port of 127.0.0.1

	RTT    time.Duration      // of the simulated network, from the first byte after TCP's own handshake on
	Silent bool               // accept connections and say nothing
	On     func(point string) // called at "accept", "auth", "session", "exec", "sftp" and, once the folder stands, "mkdir", before the answer

	Uname    string                      // what uname -sm prints; "" means Linux x86_64
	Sudo     Sudo                        // what sudo does
	SudoSays string                      // what SudoSays says
	Doas     Doas                        // what doas -n does
	NoExec   []string                    // folders that don't let programs run
	NoSFTP   bool                        // refuse the subsystem
	NoKill   bool                        // pass no signals on
	Forward  bool                        // let connections through to other addresses
	Connect  Connect                     // makes them; nil means TCP
	Heedless bool                        // SFTP makes folders as its umask says, whatever mode is asked for
	Umask    os.FileMode                 // of SFTP's session
	Owner    func(name string) (uid int) // of the host's files; nil: who runs the test
	Shell    bool                        // run commands as this machine's own /bin/sh does, whatever is below Server.Root
	Program  Program                     // runs in place of every file of the host; nil: the files under Server.Root do
	Noise    string                      // what the login shell prints before any command's output
	Traces   bool                        // it shows the commands that it runs, as for set -x
	Chatty   bool                        // it prints Noise before SFTP, too
	NoLogin  bool                        // the login shell is nologin
	Hang     bool                        // the login shell waits for input before it runs anything
	LoginDir string                      // the login user's home; "" means /home/ops
}

// Program runs in the test's own process and returns an exit status. Its input
// ends when the client lets go or the server stops; closing it ends a Read that
// waits.
type Program func(stdin io.ReadCloser, stdout io.Writer) int

// Connect connects a server to an address.
type Connect func(address string) (net.Conn, error)

// Server is a host of its own.
type Server struct {
	Root     string // the folder that stands for the host's /
	KeyFile  string // a private key that is let in
	HostKeys []ssh.PublicKey

	options  Options
	config   *ssh.ServerConfig
	listener net.Listener
	frozen   chan struct{} // closed by Freeze
	freeze   sync.Once
	stopped  chan struct{}
	running  sync.WaitGroup

	connections atomic.Int64
	channels    atomic.Int64
	forwarded   atomic.Int64
	guesses     atomic.Int64

	sudoFailures atomic.Int64

	mu       sync.Mutex
	conns    map[net.Conn]bool
	commands []string
	packets  []byte
}

// Start starts a server that runs until the test ends.
func Start(t testing.TB, options Options) *Server {
	t.Helper()
	s := &Server{
		Root:    t.TempDir(),
		options: options,
		frozen:  make(chan struct{}),
		stopped: make(chan struct{}),
		conns:   map[net.Conn]bool{},
	}
	if s.options.LoginDir == "" {
		s.options.LoginDir = "/home/ops"
	}
	for _, folder := range []string{"/tmp", "/var/tmp", s.options.LoginDir} {
		if err := os.MkdirAll(filepath.Join(s.Root, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	client := NewKey(t, "ed25519")
	s.KeyFile = WriteKey(t, client, "")
	s.config = s.serverConfig(t, client)
	s.listener = options.Listener
	if s.listener == nil {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s.listener = listener
	}
	s.running.Go(s.accept)
	t.Cleanup(s.stop)
	return s
}

// Port is where the server listens.
func (s *Server) Port() int { return s.listener.Addr().(*net.TCPAddr).Port }

// Connections is how many connections were accepted so far.
func (s *Server) Connections() int { return int(s.connections.Load()) }

// Channels is how many sessions were opened so far.
func (s *Server) Channels() int { return int(s.channels.Load()) }

// Commands are the command lines that were started so far.
func (s *Server) Commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.commands...)
}

// Packets are the types of SFTP's packets that came so far.
func (s *Server) Packets() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.packets)
}

// Freeze lets nothing through in either direction any more, as a host does
// that lost its power.
func (s *Server) Freeze() { s.freeze.Do(func() { close(s.frozen) }) }

// Drop breaks all connections, as a host does that reboots.
func (s *Server) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		conn.Close()
	}
}

// Path is where the host's file name stands in the test's file system.
func (s *Server) Path(name string) string { return filepath.Join(s.Root, name) }

func (s *Server) stop() {
	close(s.stopped)
	s.listener.Close()
	s.Drop()
	s.running.Wait()
}

func (s *Server) serverConfig(t testing.TB, client any) *ssh.ServerConfig {
	t.Helper()
	signer, err := ssh.NewSignerFromKey(client)
	if err != nil {
		t.Fatal(err)
	}
	authorized := map[string]bool{string(signer.PublicKey().Marshal()): true}
	for _, key := range s.options.Authorized {
		authorized[string(key.Marshal())] = true
	}
	checker := ssh.CertChecker{IsUserAuthority: func(authority ssh.PublicKey) bool {
		return s.options.Authority != nil && bytes.Equal(authority.Marshal(), s.options.Authority.Marshal())
	}}
	config := &ssh.ServerConfig{
		PublicKeyCallback: func(conn ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			s.at("auth")
			if _, ok := key.(*ssh.Certificate); ok && !s.options.Refuse {
				return checker.Authenticate(conn, key)
			}
			if s.options.Refuse || !authorized[string(key.Marshal())] {
				return nil, errors.New("not let in")
			}
			return nil, nil
		},
	}
	answers := s.answers()
	if s.options.PasswordOnly {
		config.PublicKeyCallback, config.PasswordCallback, config.KeyboardInteractiveCallback = nil, answers.PasswordCallback, answers.KeyboardInteractiveCallback
	}
	if s.options.MoreThanKey {
		config.VerifiedPublicKeyCallback = func(ssh.ConnMetadata, ssh.PublicKey, *ssh.Permissions, string) (*ssh.Permissions, error) {
			return nil, &ssh.PartialSuccessError{Next: answers}
		}
	}
	if s.options.Banner != "" {
		config.BannerCallback = func(ssh.ConnMetadata) string { return s.options.Banner }
	}
	kinds := s.options.HostKeys
	if kinds == nil {
		kinds = []string{"ed25519"}
	}
	for _, kind := range kinds {
		signer, err := ssh.NewSignerFromKey(NewKey(t, kind))
		if err != nil {
			t.Fatal(err)
		}
		config.AddHostKey(signer)
		if s.options.HostAuthority != nil {
			config.AddHostKey(s.hostCertificate(t, signer))
		}
		s.HostKeys = append(s.HostKeys, signer.PublicKey())
	}
	return config
}

// answers are the methods by which a person logs in.
func (s *Server) answers() ssh.ServerAuthCallbacks {
	check := func(given string) error {
		s.guesses.Add(1)
		if s.options.Password == "" || given != s.options.Password {
			return errors.New("not let in")
		}
		return nil
	}
	if s.options.Questions == nil {
		return ssh.ServerAuthCallbacks{PasswordCallback: func(_ ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			return nil, check(string(password))
		}}
	}
	return ssh.ServerAuthCallbacks{KeyboardInteractiveCallback: func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
		given, err := ask("", "", s.options.Questions, make([]bool, len(s.options.Questions)))
		for _, one := range given {
			err = errors.Join(err, check(one))
		}
		return nil, err
	}}
}

// Guesses is how many passwords were tried so far.
func (s *Server) Guesses() int { return int(s.guesses.Load()) }

// Forwarded is how many connections were let through so far.
func (s *Server) Forwarded() int { return int(s.forwarded.Load()) }

// hostCertificate is a host key with a certificate for it.
func (s *Server) hostCertificate(t testing.TB, key ssh.Signer) ssh.Signer {
	t.Helper()
	cert := &ssh.Certificate{CertType: ssh.HostCert, ValidPrincipals: s.options.HostNames, ValidBefore: ssh.CertTimeInfinity}
	return Certify(t, cert, key, s.options.HostAuthority)
}

// Certify has an authority sign a certificate for a key.
func Certify(t testing.TB, cert *ssh.Certificate, key, authority ssh.Signer) ssh.Signer {
	t.Helper()
	cert.Key = key.PublicKey()
	if err := cert.SignCert(rand.Reader, authority); err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewCertSigner(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func (s *Server) at(point string) {
	if s.options.On != nil {
		s.options.On(point)
	}
}

// NewKey makes a private key: "ed25519", "ecdsa" or "rsa".
func NewKey(t testing.TB, kind string) any {
	t.Helper()
	var key any
	var err error
	switch kind {
	case "ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case "ecdsa":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "rsa":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		err = fmt.Errorf("no such kind of key: %q", kind)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// WriteKey writes a private key into a file of its own, encrypted where there
// is a passphrase.
func WriteKey(t testing.TB, key any, passphrase string) string {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(key, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "id")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
