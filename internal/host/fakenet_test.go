package host_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/relayctl/relayctl/internal/host"
	"github.com/relayctl/relayctl/internal/host/machine"
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

// dial connects to what serve serves.
func (m *debian) dial(ctx context.Context, network, address string) (net.Conn, error) {
	l := m.listeners[address]
	if l == nil || m.caddyListens[address] && address != m.path(strings.TrimPrefix(m.caddyTakesOrders(), "unix/")) && address != strings.Replace(m.caddyTakesOrders(), "localhost", "127.0.0.1", 1) {
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

// serve answers HTTP at an address until the test ends.
func serve(t testing.TB, m *debian, address string, handler http.HandlerFunc) *pipeListener {
	t.Helper()
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	m.listeners[address] = l
	server := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(l) }()
	t.Cleanup(func() { server.Close(); l.Close(); <-done })
	return l
}

// serveSocket answers HTTP on a local socket, which has a name to be seen by.
func serveSocket(t testing.TB, m *debian, path string, handler http.HandlerFunc) {
	t.Helper()
	if err := os.WriteFile(m.path(path), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	serve(t, m, m.path(path), handler)
}

// networked is a relay-host that asks over the real network.
func networked(m *debian) *host.Host {
	return host.New(host.Config{Machine: machine.New(machine.Config{Root: m.root, Runner: m, Systemd: m.systemd}), Version: "1.0.0"})
}
