package worker

import (
	"context"
	"errors"
	"net"
	"net/http/httptrace"
	"sync/atomic"
	"syscall"
	"time"
)

// dialTime is how long an engine may take to accept a connection.
const dialTime = 5 * time.Second

// watched is a connection to an engine.
//
// An engine may end it before it has read all of a request, and have answered:
// what is written then counts as written, since what is read tells the end, and
// net/http reads no answer after a failed write.
//
// What an engine says beyond the end of an answer may be read with it, and the
// connection be given to the next request before net/http has seen it: then it
// takes that for the next answer. So the connection notes in which order was
// written and read.
type watched struct {
	net.Conn
	writes atomic.Int64 // that were begun
	heard  atomic.Int64 // of these when something was read last
}

func dialEngine(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: dialTime}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &watched{Conn: c}, nil
}

func (w *watched) Write(p []byte) (int, error) {
	w.writes.Add(1)
	n, err := w.Conn.Write(p)
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return len(p), nil
	}
	return n, err
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if n > 0 {
		w.heard.Store(w.writes.Load())
	}
	return n, err
}

// errStray is an answer to nobody.
var errStray = errors.New("it said more than one answer to the request before")

// callTrace is what has to be known of the connection that a request went out on.
type callTrace struct {
	kept     atomic.Bool // from a request before
	answered atomic.Bool // a byte has come
	stray    atomic.Bool // which was there before the request was

	conn   *watched
	before int64 // writes that were not this request's
}

func (t *callTrace) within(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: t.gotConn, GotFirstResponseByte: t.gotByte})
}

func (t *callTrace) gotConn(c httptrace.GotConnInfo) {
	conn := c.Conn
	if over, ok := conn.(interface{ NetConn() net.Conn }); ok { // TLS
		conn = over.NetConn()
	}
	if t.conn, _ = conn.(*watched); t.conn != nil {
		t.before = t.conn.writes.Load()
	}
	t.kept.Store(c.Reused)
	t.answered.Store(false) // net/http itself may try again on another one
	t.stray.Store(false)
}

func (t *callTrace) gotByte() {
	if t.kept.Load() && t.conn != nil && t.conn.heard.Load() <= t.before {
		t.stray.Store(true)
		t.conn.Close()
		return
	}
	t.answered.Store(true)
}
