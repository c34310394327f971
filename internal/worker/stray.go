package worker

import (
	"context"
	"errors"
	"net"
	"net/http/httptrace"
	"sync/atomic"
)

// What an engine says beyond the end of an answer may be read with it, and the
// connection be given to the next request before net/http has seen it: then it
// takes that for the next answer. So a connection notes in which order was
// written and read.
type watched struct {
	net.Conn
	writes atomic.Int64 // that were begun
	heard  atomic.Int64 // of these when something was read last
}

func (w *watched) Write(p []byte) (int, error) {
	w.writes.Add(1)
	return w.Conn.Write(p)
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
