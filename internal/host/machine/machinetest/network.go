package machinetest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
)

// pipeListener takes connections that are made in memory.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// Accept implements net.Listener.
func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// dial connects to what Serve serves.
func (m *Machine) dial(ctx context.Context, network, address string) (net.Conn, error) {
	l := m.listeners[address]
	if l == nil || m.Caddy.listens[address] && address != m.Path(strings.TrimPrefix(m.CaddyTakesOrders(), "unix/")) && address != strings.Replace(m.CaddyTakesOrders(), "localhost", "127.0.0.1", 1) {
		return nil, fmt.Errorf("dial %s %s: %w", network, address, syscall.ECONNREFUSED)
	}
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Serve answers HTTP at an address until the test ends.
func (m *Machine) Serve(address string, handler http.HandlerFunc) {
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	m.listeners[address] = l
	server := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(l) }()
	m.T.Cleanup(func() { server.Close(); l.Close(); <-done })
}

// ServeSocket answers HTTP on a local socket, which has a name to be seen by.
func (m *Machine) ServeSocket(path string, handler http.HandlerFunc) {
	m.T.Helper()
	if err := os.WriteFile(m.Path(path), nil, 0o600); err != nil {
		m.T.Fatal(err)
	}
	m.Serve(m.Path(path), handler)
}
