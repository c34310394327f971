// Package machine is the machine that relay-host works on: its commands,
// systemd, packages, accounts, files, processes and sockets. It knows nothing
// of stacks, nor of what relayctl asks.
package machine

import (
	"context"
	"net"
	"path/filepath"
)

// Config says which machine it is. Root, Runner and Systemd are required.
type Config struct {
	Root    string // "/"; a folder that looks like a machine, in tests
	Runner  Runner
	Systemd Systemd
	Sockets SocketLister // nil: nobody knows, and ports that systemd holds are told as such

	// Dial connects to local sockets and loopback addresses, the former by
	// their path below Root. Nil: the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Machine is one machine. It holds no state of its own.
type Machine struct {
	Runner  Runner
	Systemd Systemd

	root    string
	sockets SocketLister
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	open    func(ctx context.Context, path string, uids []int) (net.Conn, error) // a local socket; see openSocket
}

// New returns a machine to work on.
func New(config Config) *Machine {
	m := &Machine{Runner: config.Runner, Systemd: config.Systemd, root: config.Root, sockets: config.Sockets, dial: config.Dial}
	m.open = func(ctx context.Context, path string, _ []int) (net.Conn, error) { return m.dial(ctx, "unix", path) }
	if m.dial == nil {
		m.dial, m.open = (&net.Dialer{}).DialContext, openSocket
	}
	return m
}

// Path is where an absolute path of the machine stands for this process.
func (m *Machine) Path(absolute string) string { return filepath.Join(m.root, absolute) }
