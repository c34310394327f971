package bench_test

import (
	"context"
	"net"
	"sync"
)

// memoryListener takes connections that are made in memory.
type memoryListener struct {
	address *net.TCPAddr
	conns   chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func newMemoryListener(port int) *memoryListener {
	return &memoryListener{
		address: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port},
		conns:   make(chan net.Conn), closed: make(chan struct{}),
	}
}

// dial makes a connection.
func (l *memoryListener) dial(ctx context.Context) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener.
func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *memoryListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *memoryListener) Addr() net.Addr { return l.address }
