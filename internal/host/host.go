// Package host is relay-host: it looks at the machine it runs on and brings
// changes about, as relayctl asks over one byte stream. What it knows of the
// stack stands under /var/lib/relayctl; see docs/hostapi.md.
package host

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// Config says what a Host is. Machine and Version are required.
type Config struct {
	Machine *machine.Machine // that it works on
	Version string           // of relay-host, which is relayctl's

	// Program is where relay-host's own program can be read, which has Digest,
	// so that it can install itself. Empty: it has to be put, like any other.
	Program, Digest string
}

// Host works on one machine for one conversation. Its methods are called one
// at a time.
type Host struct {
	*machine.Machine
	version string

	program, programDigest string // its own

	macKey  []byte   // made or read on first use
	session *session // while the lock is held
}

// session is what is remembered while the lock is held.
type session struct {
	lock      *record.Lock
	journal   *record.Journal
	apply     record.Apply // that this session is for
	finished  bool         // its end was taken down
	forgotten bool         // the stack has left this machine, and the lock's file with it
	packages  bool         // a package was installed: files, users and units came along
	changed   bool         // anything was
	restored  []string     // files whose originals were put back
	unitFiles bool         // systemd has not read them all yet
}

// noteChange remembers what follows from a change.
func (s *session) noteChange(change plan.Change) {
	s.changed = s.changed || change.Counts()
	if change.ID.Kind == plan.KindFile && machine.IsUnitFile(change.ID.Name) {
		s.unitFiles = true
	}
}

// look begins a look at the machine, as it is remembered in this session.
func (h *Host) look() *look { return h.newLook(h.session.journal) }

// newApplied is the manifest's entry for a fact that an apply left.
func newApplied(fact plan.Fact, number int) plan.Applied {
	return plan.Applied{ID: fact.ID, Have: fact.Have, Number: number, Time: time.Now().UTC().Truncate(time.Second)}
}

func (s *session) newApplied(fact plan.Fact) plan.Applied { return newApplied(fact, s.apply.Number) }

// remembered reads what this host remembers. Where held is true, somebody else
// is at work.
func (h *Host) remembered() (journal *record.Journal, held bool, err error) {
	if h.session != nil {
		return h.session.journal, false, nil
	}
	return record.Look(h.stored())
}

// New returns a Host that has done nothing yet.
func New(config Config) *Host {
	return &Host{
		Machine: config.Machine, version: config.Version, program: config.Program, programDigest: config.Digest,
	}
}

// Close gives the lock back, if it is held.
func (h *Host) Close() error {
	if h.session == nil {
		return nil
	}
	return h.letGo()
}

func (h *Host) stored(parts ...string) string {
	return h.Path(filepath.Join(append([]string{plan.StoreDir}, parts...)...))
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
	return machine.WriteAtomically(h.stored("mac.key"), key, 0o600)
}

// requireSupported refuses systems that relayctl was not built for, by name.
func (h *Host) requireSupported() error {
	is, err := h.Describe()
	if err != nil {
		return err
	}
	if is.Init != "" {
		return &hostapi.Error{
			Code: hostapi.CodeUnsupported, Message: "systemd does not run here: pid 1 is " + is.Init, Step: noStep,
		}
	}
	if !is.IsSupported() {
		return &hostapi.Error{
			Code:    hostapi.CodeUnsupported,
			Message: is.Pretty + " is not supported: hosts run " + plan.SupportedSystems,
			Step:    noStep,
		}
	}
	return nil
}

// noStep is hostapi.Error.Step where there is none.
const noStep = -1

func badRequest(format string, args ...any) error {
	return &hostapi.Error{Code: hostapi.CodeBadRequest, Message: fmt.Sprintf(format, args...), Step: noStep}
}
