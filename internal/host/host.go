// Package host is relay-host: it looks at the machine it runs on and brings
// changes about, as relayctl asks over one byte stream. What it knows of the
// stack stands under /var/lib/relayctl; see docs/hostapi.md.
package host

import (
	"github.com/relayctl/relayctl/internal/host/kind"
	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/host/store"
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

	// Kinds makes the handlers of the kinds of resources; nil: kind.All.
	Kinds func(kind.Env) kind.Kinds
}

// Host works on one machine for one conversation. Its methods are called one
// at a time.
type Host struct {
	*machine.Machine
	store   *store.Store
	kinds   kind.Kinds
	version string
	digest  string   // of its own program
	session *session // while the lock is held
}

// session is what is remembered while the lock is held.
type session struct {
	lock      *record.Lock
	journal   *record.Journal
	apply     record.Apply // that this session is for
	finished  bool         // its end was taken down
	forgotten bool         // the stack has left this machine, and the lock's file with it
	brought   bool         // something came that others come along with: files, users and units
	changed   bool         // anything was
	restored  []string     // files whose originals were put back
}

// look begins a look at the machine, as it is remembered in a journal.
func (h *Host) look(journal *record.Journal) *kind.Look {
	return &kind.Look{Kinds: h.kinds, Machine: h.Machine, Store: h.store, Journal: journal, Manifest: journal.Manifest()}
}

// remembered reads what this host remembers. Where held is true, somebody else
// is at work.
func (h *Host) remembered() (journal *record.Journal, held bool, err error) {
	if h.session != nil {
		return h.session.journal, false, nil
	}
	return record.Look(h.store.Folder())
}

// New returns a Host that has done nothing yet.
func New(config Config) *Host {
	h := &Host{Machine: config.Machine, store: store.New(config.Machine), version: config.Version, digest: config.Digest}
	kinds := config.Kinds
	if kinds == nil {
		kinds = kind.All
	}
	h.kinds = kinds(kind.Env{Machine: h.Machine, Store: h.store, Program: config.Program, Digest: config.Digest})
	return h
}

// Close gives the lock back, if it is held.
func (h *Host) Close() error {
	if h.session == nil {
		return nil
	}
	return h.letGo()
}

// Put takes a piece of a blob in. The last piece completes it.
func (h *Host) Put(params hostapi.Put, piece []byte) error {
	if h.session == nil {
		return errNotLocked()
	}
	return h.store.Put(params, piece)
}

// requireSupported refuses systems that relayctl was not built for, by name.
func (h *Host) requireSupported() error {
	is, err := h.Describe()
	if err != nil {
		return err
	}
	if is.Init != "" {
		return &hostapi.Error{
			Code: hostapi.CodeUnsupported, Message: "systemd does not run here: pid 1 is " + is.Init, Step: hostapi.NoStep,
		}
	}
	if !is.IsSupported() {
		return &hostapi.Error{
			Code:    hostapi.CodeUnsupported,
			Message: is.Pretty + " is not supported: hosts run " + plan.SupportedSystems,
			Step:    hostapi.NoStep,
		}
	}
	return nil
}

func errNotLocked() error {
	return &hostapi.Error{Code: hostapi.CodeNotLocked, Message: "the lock is not held", Step: hostapi.NoStep}
}
