package remote

import "golang.org/x/crypto/ssh"

// KeepAlive is tested by itself, by the clock.
var KeepAlive = keepAlive

// Check tells whether Dial would take the target.
func (t Target) Check() error { return t.check() }

// Lists tells whether a known_hosts file lists a key for a host.
func Lists(file, name string, key ssh.PublicKey) bool {
	return readKnownHosts([]string{file}, name, name).find("", key) != nil
}

// Path is where the program stood when it was started.
func (s *Session) Path() string { return s.path }

// CloseWrite ends the program's input, on which it finishes by itself.
func (s *Session) CloseWrite() error { return s.process.stdin.Close() }
