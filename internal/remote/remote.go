// Package remote is the way to one host: over SSH, or as a child process where
// the host is this machine. It knows how to get there, whose key to expect, how
// to become root and how to start a program of ours, bringing it along where
// the host doesn't have it. What is then said to the program is not its matter.
package remote

import (
	"bufio"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Host is an open way to one host. It is closed by Close.
type Host struct {
	target  Target
	who     login
	way     machine
	greetIn time.Duration // how long a program may take to greet

	counters   *counters
	background sync.WaitGroup
}

// machine is what can be done on a host, as the login user.
type machine interface {
	// start runs a command of plain words, each free of what a shell acts on.
	start(command []string) (*process, error)
	// withFolders calls use with a way to put files, which ends with it.
	withFolders(use func(folders) error) error
	// close ends everything.
	close() error
}

// login is who runs the commands.
type login struct {
	user string
	root bool
}

// folders puts programs into private folders.
type folders interface {
	// home is the login user's home folder.
	home() (string, error)
	// put makes folder, which only the login user may ever enter, with a packed
	// program in it that they may run; or it fails and leaves nothing. It fails
	// where anything stands there, or others could exchange it.
	put(folder, name string, content io.Reader) error
	// remove takes both away again, packed or not, and tells whether the
	// unpacked program still stood there.
	remove(folder, name string) (stood bool, err error)
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

// Stats counts what a Host has done so far.
type Stats struct {
	Connections int64 // made, those for finding a pinned key included
	Programs    int64 // commands started
	Uploads     int64 // SFTP sessions opened
	Sent        int64 // bytes, on the wire
	Received    int64 // bytes, on the wire
}

type counters struct {
	connections, programs, uploads, sent, received atomic.Int64
}

// Target is the host as Dial was told of it.
func (h *Host) Target() Target { return h.target }

// Stats counts what was done so far.
func (h *Host) Stats() Stats {
	c := h.counters
	return Stats{c.connections.Load(), c.programs.Load(), c.uploads.Load(), c.sent.Load(), c.received.Load()}
}

// Close ends every session and the connection. It returns when all that the
// Host had started on this machine has stopped.
func (h *Host) Close() error {
	err := h.way.close()
	h.background.Wait()
	return err
}
