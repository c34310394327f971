package worker_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/relayctl/relayctl/internal/protocol"
	"github.com/relayctl/relayctl/internal/secret"
	"github.com/relayctl/relayctl/internal/worker"
)

// handRelay is a relay's end of the protocol, played by a test, on a network
// in memory so that it can stand in a synctest bubble.
type handRelay struct {
	t      *testing.T
	conns  chan net.Conn
	closed chan struct{}
	links  chan *handLink // one for each connection that was let in
	dials  []time.Time    // when each was tried
	server *http.Server

	mu     sync.Mutex
	refuse int // a status to refuse with, 0 to let in
	down   bool
}

// handLink is one worker's connection.
type handLink struct {
	conn   *protocol.Conn
	hello  protocol.WorkerHello
	secret string
	drains chan protocol.Drain
	ended  chan error
}

func newHandRelay(t *testing.T) *handRelay {
	r := &handRelay{t: t, conns: make(chan net.Conn), closed: make(chan struct{}), links: make(chan *handLink, 100)}
	r.server = &http.Server{Handler: r}
	go r.server.Serve(r)
	return r
}

func (r *handRelay) Accept() (net.Conn, error) {
	select {
	case c := <-r.conns:
		return c, nil
	case <-r.closed:
		return nil, net.ErrClosed
	}
}

func (r *handRelay) Close() error   { return nil }
func (r *handRelay) Addr() net.Addr { return &net.TCPAddr{} }

func (r *handRelay) stop() {
	close(r.closed)
	r.server.Close()
}

// next is the next connection, once the worker has settled in it.
func (r *handRelay) next() *handLink {
	l := <-r.links
	synctest.Wait()
	return l
}

// set has the relay refuse with a status, or not be there at all.
func (r *handRelay) set(refuse int, down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse, r.down = refuse, down
}

func (r *handRelay) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	r.mu.Lock()
	r.dials = append(r.dials, time.Now())
	down := r.down
	r.mu.Unlock()
	if down {
		return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	}
	a, b := net.Pipe()
	select {
	case r.conns <- b:
		return a, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (r *handRelay) tries() []time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]time.Time(nil), r.dials...)
}

func (r *handRelay) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	refuse := r.refuse
	r.mu.Unlock()
	if refuse != 0 {
		w.WriteHeader(refuse)
		io.WriteString(w, `{"error":{"message":"no worker secret that is good here"}}`)
		return
	}
	u := websocket.Upgrader{Subprotocols: []string{protocol.Subprotocol}}
	ws, err := u.Upgrade(w, q, nil)
	if err != nil {
		return
	}
	t := protocol.WebSocket(ws)
	hello, err := protocol.Receive(q.Context(), t)
	if err == nil {
		err = protocol.Answer(q.Context(), t, hello, protocol.RelayHello{Program: "hand relay"})
	}
	if err != nil {
		t.Close()
		return
	}
	l := &handLink{hello: hello, secret: q.Header.Get("Authorization"), drains: make(chan protocol.Drain, 10), ended: make(chan error, 1)}
	l.conn = protocol.NewConn(t, protocol.Config{PeerWindow: hello.Window, OnDrain: func(d protocol.Drain) { l.drains <- d }})
	r.links <- l
	l.ended <- l.conn.Run(context.WithoutCancel(q.Context()))
}

// settings are a worker's for this relay.
func (r *handRelay) settings(models ...worker.Model) *worker.Settings {
	return &worker.Settings{
		Name:         "gpu-1",
		Relay:        &url.URL{Scheme: "http", Host: "relay.test"},
		Secret:       secret.New("the-first-secret"),
		DrainTimeout: time.Minute,
		Models:       models,
	}
}

// start runs a worker; stop ends it and waits.
func (r *handRelay) start(s *worker.Settings) (w *worker.Worker, states <-chan string, stop func()) {
	said := make(chan string, 1000)
	w = worker.New(worker.Config{Settings: s, Version: "test", Log: slog.New(slog.DiscardHandler), Dial: r.dial, OnState: func(state string) { said <- state }})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx)
	}()
	return w, said, func() {
		cancel()
		<-done
	}
}

// model is a model at an engine.
func model(t testing.TB, name, backend string) worker.Model {
	t.Helper()
	u, err := url.Parse(backend)
	if err != nil {
		t.Fatal(err)
	}
	return worker.Model{Name: name, Backend: u, Concurrency: 2, Kind: "chat"}
}
