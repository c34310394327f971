// Package remote is the way to one host: over SSH, or as a child process where
// the host is this machine. It knows how to get there, whose key to expect, how
// to become root and how to start a program of ours, bringing it along where
// the host doesn't have it. What is then said to the program is not its matter.
package remote

import (
	"bufio"
	"time"

	"github.com/relayctl/relayctl/internal/secret"
)

// Host is an open way to one host. It is closed by Close.
type Host struct {
	target  Target
	user    string // who runs the commands
	root    bool   // which is root
	doas    bool   // else it becomes root by doas, since there is no sudo
	refused error  // why a sudo password that was tried did not make root; nil: none was, or it did
	way     machine
	greetIn time.Duration // how long a program may take to greet
}

// machine is what can be done on a host, as the login user.
type machine interface {
	// start runs a command of plain words, each free of what a shell acts on.
	start(command []string) (*process, error)
	// withFiles calls use with a way to put files, which ends with it.
	withFiles(use func(hostFiles) error) error
	// close ends everything, and returns when it has ended.
	close() error
}

// Program is what Start runs on the host.
type Program struct {
	Name   string // relay-host: its file name, and its folder under InstallRoot
	Source Source

	// Greet reads the program's greeting from its standard output, past
	// whatever a login shell prints before, and returns the digest of itself
	// that the program tells. It may be called for two starts in a row, of
	// which the last one counts.
	Greet func(r *bufio.Reader) (digest string, err error)

	// SudoPassword is what sudo gets where it wants a password; zero: nothing.
	// The program may find it as the first line of its standard input: sudo
	// leaves it there where it wants none.
	SudoPassword secret.Value

	// Uploading, where not nil, is told how far the program's upload is.
	Uploading func(sent, total int64)
}

// Source carries a program for each architecture, as Go names them.
type Source interface {
	// Digest is what the program's greeting has to tell.
	Digest(arch string) (string, error)
	// Packed is the program as gzip packs it.
	Packed(arch string) ([]byte, error)
}

// InstallRoot is where the programs stand on a host: NAME/current/NAME below.
const InstallRoot = "/usr/local/lib/relayctl"

// User is who the login is.
func (h *Host) User() string { return h.user }

// Close ends every session and the connection. It returns when all that the
// Host had started on this machine has stopped.
func (h *Host) Close() error { return h.way.close() }
