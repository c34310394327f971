// Package host is relay-host: it looks at the machine it runs on and brings
// changes about, as relayctl asks over one byte stream. What it knows of the
// stack stands under /var/lib/relayctl; see docs/hostapi.md.
package host

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// Config says which machine a Host works on. Root, Version, Runner and Systemd
// are required.
type Config struct {
	Root    string // "/"; a folder that looks like a machine, in tests
	Version string // of relay-host, which is relayctl's
	Runner  Runner
	Systemd Systemd
	Sockets SocketLister // nil: nobody knows, and ports that systemd holds are told as such

	// Dial connects to local sockets and loopback addresses, the former by
	// their path below Root. Nil: the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Program is where relay-host's own program can be read, which has Digest,
	// so that it can install itself. Empty: it has to be put, like any other.
	Program, Digest string
}

// Host works on one machine for one conversation. Its methods are called one
// at a time.
type Host struct {
	root    string
	version string
	runner  Runner
	systemd Systemd
	sockets SocketLister
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	open    func(ctx context.Context, path string, uids []int) (net.Conn, error) // a local socket; see openSocket

	program, programDigest string // its own

	macKey  []byte   // made or read on first use
	session *session // while the lock is held
}

// session is what is remembered while the lock is held.
type session struct {
	lock      *lock
	stack     string
	number    int       // of this apply
	past      plan.Past // this apply, as the history will tell of it
	journal   stepJournal
	manifest  *plan.Manifest
	claimed   bool // there was no manifest before
	finished  bool // the apply was taken down
	forgotten bool // the stack has left this machine, and the lock's file with it
	packages  bool // a package was installed: files, users and units came along

	sequence  int                // rises with every change
	changed   map[plan.ID]int    // what this session changed, and when
	loaded    map[string]int     // when this session last saw a unit run with all its files
	replaced  map[plan.ID]former // what files and programs were before this session last swapped them
	restored  []string           // files whose originals were put back
	unitFiles bool               // systemd has not read them all yet
	intents   []string           // units whose restart this batch intended
}

// noteChange remembers that this session changed a thing.
func (s *session) noteChange(id plan.ID) {
	s.sequence++
	s.changed[id] = s.sequence
	if id.Kind == plan.KindFile && slices.ContainsFunc(unitPath, func(dir string) bool { return strings.HasPrefix(id.Name, dir+"/") }) {
		s.unitFiles = true
	}
}

// New returns a Host that has done nothing yet.
func New(config Config) *Host {
	h := &Host{
		root: config.Root, version: config.Version, runner: config.Runner, systemd: config.Systemd, sockets: config.Sockets,
		dial:    config.Dial,
		program: config.Program, programDigest: config.Digest,
	}
	h.open = func(ctx context.Context, path string, _ []int) (net.Conn, error) { return h.dial(ctx, "unix", path) }
	if h.dial == nil {
		h.dial, h.open = (&net.Dialer{}).DialContext, openSocket
	}
	return h
}

// Close gives the lock back, if it is held.
func (h *Host) Close() error {
	if h.session == nil {
		return nil
	}
	return h.letGo()
}

// path is where an absolute path of the machine stands for this process.
func (h *Host) path(absolute string) string { return filepath.Join(h.root, absolute) }

// Where things stand on a machine.
const (
	storeDir    = "/var/lib/relayctl"
	programsDir = "/usr/local/lib/relayctl"
	unitsDir    = "/etc/systemd/system"
)

func (h *Host) stored(parts ...string) string {
	return h.path(filepath.Join(append([]string{storeDir}, parts...)...))
}

// mac returns the key for the digests of secret content. Looking never saves
// one: keepMACKey does, on the first change.
func (h *Host) mac() ([]byte, error) {
	if h.macKey != nil {
		return h.macKey, nil
	}
	key, err := os.ReadFile(h.stored("mac.key"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		key = make([]byte, macKeySize)
		rand.Read(key)
	case err != nil:
		return nil, fmt.Errorf("read key for digests: %w", err)
	case len(key) != macKeySize:
		return nil, fmt.Errorf("read key for digests: %d bytes instead of %d", len(key), macKeySize)
	}
	h.macKey = key
	return key, nil
}

const macKeySize = 32

func (h *Host) keepMACKey() error {
	key, err := h.mac()
	if err != nil {
		return err
	}
	if _, err := os.Stat(h.stored("mac.key")); err == nil {
		return nil
	}
	return writeAtomically(h.stored("mac.key"), key, 0o600)
}

// requireSupported refuses systems that relayctl was not built for, by name.
func (h *Host) requireSupported() error {
	machine, err := h.Machine()
	if err != nil {
		return err
	}
	if machine.Init != "" {
		return &hostapi.Error{
			Code: hostapi.CodeUnsupported, Message: "systemd does not run here: pid 1 is " + machine.Init, Step: noStep,
		}
	}
	switch machine.System + " " + machine.Version {
	case "debian 12", "debian 13", "ubuntu 24.04":
		return nil
	}
	return &hostapi.Error{
		Code:    hostapi.CodeUnsupported,
		Message: machine.Pretty + " is not supported: hosts run Debian 12, Debian 13 or Ubuntu 24.04",
		Step:    noStep,
	}
}

// noStep is hostapi.Error.Step where there is none.
const noStep = -1

func badRequest(format string, args ...any) error {
	return &hostapi.Error{Code: hostapi.CodeBadRequest, Message: fmt.Sprintf(format, args...), Step: noStep}
}

// Runner runs commands on the machine.
type Runner interface {
	// Run returns what the command wrote to its standard output. The error is
	// a *CommandError when the command ran and failed, and wraps
	// exec.ErrNotFound when there is no such command.
	Run(ctx context.Context, command Command) ([]byte, error)
}

// Systemd is the machine's service manager.
type Systemd interface {
	// Units tells how units are, in the order of names.
	Units(ctx context.Context, names []string) ([]UnitState, error)
	// Job starts, stops, restarts or reloads a unit and waits until systemd
	// is done with it; ErrJobFailed when the unit would not.
	Job(ctx context.Context, verb JobVerb, unit string) error
	// Configure changes what systemd knows of a unit; the unit is not named
	// for ReloadUnitFiles.
	Configure(ctx context.Context, verb ConfigureVerb, unit string) error
}
