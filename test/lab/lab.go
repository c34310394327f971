// Package lab gives tests real hosts: Debian machines with systemd, sshd and
// apt, run by systemd-nspawn on this one, each lab in a network of its own.
//
// A test takes a lab with New and boots hosts in it; everything is removed
// when the test ends. A program takes one with Open and removes it with Close.
// What a killed run left behind is swept when the next lab is opened.
package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Suites that a host can run: Debian 12 and 13.
const (
	Bookworm = "bookworm"
	Trixie   = "trixie"
)

// Options says how Open sets a lab up.
type Options struct {
	// Keep leaves the lab standing when this process ends. Such a lab is
	// removed by Close or by RemoveKept, never by a sweep.
	Keep bool
	// Logf is told about steps that take long. Nil means silence.
	Logf func(format string, args ...any)
}

// Lab is a network with hosts in it.
type Lab struct {
	// Dir is the lab's own folder, gone after Close.
	Dir string
	// SSHKeyFile is the private key that every user of every host accepts.
	SSHKeyFile string

	slot    *slot
	machine machine
	cache   cache
	logf    func(string, ...any)
	key     sshKey

	closing sync.Mutex // held by Close

	mu    sync.Mutex // guards what follows
	hosts []*Host
	names []hostName
}

// Open makes a lab without hosts. It needs root; see Check for the rest.
func Open(ctx context.Context, o Options) (*Lab, error) {
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	if err := ready(); err != nil {
		return nil, err
	}
	m, err := findMachine(ctx)
	if err != nil {
		return nil, err
	}
	s, err := acquireSlot(ctx, m, o.Keep)
	if err != nil {
		return nil, err
	}
	l := &Lab{Dir: s.dir, slot: s, machine: m, cache: openCache(o.Logf), logf: o.Logf}
	if err := l.furnish(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// furnish gives a fresh lab its key and its network.
func (l *Lab) furnish(ctx context.Context) error {
	var err error
	if l.key, err = newSSHKey(); err != nil {
		return err
	}
	l.SSHKeyFile = filepath.Join(l.Dir, "id_ed25519")
	if err := os.WriteFile(l.SSHKeyFile, l.key.private, 0o600); err != nil {
		return fmt.Errorf("write lab key: %w", err)
	}
	if err := l.writeNames(); err != nil {
		return err
	}
	return l.slot.connect(ctx)
}

// Close removes the hosts, the network and the folder. A second call does
// nothing.
func (l *Lab) Close() error {
	l.closing.Lock()
	defer l.closing.Unlock()
	return l.slot.release(l.cache)
}

// BootAll makes and starts hosts side by side and waits until each answers on
// SSH and has finished booting. Base images that are missing are built first.
func (l *Lab) BootAll(ctx context.Context, specs ...Spec) ([]*Host, error) {
	hosts, err := l.enlistAll(specs)
	if err != nil {
		return nil, err
	}
	if err := l.startAll(ctx, hosts, (*Host).furnish); err != nil {
		return nil, err
	}
	return hosts, nil
}

// startAll gives hosts their disks and starts them, side by side.
func (l *Lab) startAll(ctx context.Context, hosts []*Host, furnish func(*Host, context.Context) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, h := range hosts {
		g.Go(func() error {
			if err := furnish(h, ctx); err != nil {
				return fmt.Errorf("set up host %s: %w", h.Name, err)
			}
			return h.Start(ctx)
		})
	}
	return g.Wait()
}

// Boot is BootAll for one host.
func (l *Lab) Boot(ctx context.Context, spec Spec) (*Host, error) {
	hosts, err := l.BootAll(ctx, spec)
	if err != nil {
		return nil, err
	}
	return hosts[0], nil
}

// enlistAll gives each spec its place in the lab.
func (l *Lab) enlistAll(specs []Spec) ([]*Host, error) {
	hosts := make([]*Host, len(specs))
	for i, spec := range specs {
		h, err := l.enlist(spec)
		if err != nil {
			return nil, err
		}
		hosts[i] = h
	}
	return hosts, l.writeNames()
}

// enlist gives a spec its place in the lab: a name and an address.
func (l *Lab) enlist(spec Spec) (*Host, error) {
	if err := spec.check(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, other := range l.hosts {
		if other.Name == spec.Name {
			return nil, fmt.Errorf("boot host %s: the lab has a host of that name", spec.Name)
		}
	}
	if len(l.hosts) == maxHosts {
		return nil, fmt.Errorf("boot host %s: the lab has %d hosts, the most there can be", spec.Name, maxHosts)
	}
	h := newHost(l, spec, l.slot.address(len(l.hosts)))
	l.hosts = append(l.hosts, h)
	l.names = append(l.names, hostName{spec.Name, h.Addr})
	return h, nil
}
