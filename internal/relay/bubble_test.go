package relay_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/gorilla/websocket"

	"github.com/relayctl/relayctl/internal/protocol"
	"github.com/relayctl/relayctl/internal/relay"
	"github.com/relayctl/relayctl/internal/secret"
	"github.com/relayctl/relayctl/internal/worker"
)

// network is a network in memory with one listener, so that a relay can run in
// a synctest bubble.
type network struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newNetwork() *network {
	return &network{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (n *network) Accept() (net.Conn, error) {
	select {
	case c := <-n.conns:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

func (n *network) Close() error {
	n.once.Do(func() { close(n.closed) })
	return nil
}

func (n *network) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080} }

func (n *network) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	a, b := net.Pipe()
	select {
	case n.conns <- onLoopback{b}:
		return a, nil
	case <-n.closed:
		return nil, &net.OpError{Op: "dial", Err: net.ErrClosed}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// onLoopback is a connection from this machine.
type onLoopback struct{ net.Conn }

func (onLoopback) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 40000} }

func (n *network) client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: n.dial, DisableCompression: true}}
}

// bubble is a relay inside a synctest bubble.
type bubble struct {
	*running
	t       *testing.T
	network *network
	client  *http.Client
	metrics *http.Client
	direct  bool // workers that join have no reverse proxy in front of them
}

// inMemory starts a relay on a network in memory. It must be called in a
// bubble; stop ends all it started.
func inMemory(t *testing.T, st *stack) (b *bubble, stop func()) {
	t.Helper()
	return inMemoryLogging(t, st, quiet(t))
}

func inMemoryLogging(t *testing.T, st *stack, log *slog.Logger) (b *bubble, stop func()) {
	t.Helper()
	n, metrics := newNetwork(), newNetwork()
	r := serveLogging(t, st.load(t), relay.Listeners{API: n, Metrics: metrics}, "http://relay.test", log)
	b = &bubble{running: r, t: t, network: n, client: n.client(), metrics: metrics.client()}
	return b, func() {
		r.stop()
		b.client.CloseIdleConnections()
		b.metrics.CloseIdleConnections()
	}
}

// handWorker is a worker's end of the protocol, played by a test.
type handWorker struct {
	conn   *protocol.Conn
	hello  protocol.RelayHello
	drains chan protocol.Drain
	ended  chan error
	stop   func() // ends the connection and waits for all of it
}

// join connects a worker that answers with serve.
func (b *bubble) join(name string, serve func(context.Context, *protocol.Stream), offers ...protocol.Offer) *handWorker {
	b.t.Helper()
	w, err := b.tryJoin(workerSecret(name), protocol.WorkerHello{Name: name, Instance: name, Models: offers}, serve)
	if err != nil {
		b.t.Fatal(err)
	}
	return w
}

func (b *bubble) tryJoin(s secret.Value, hello protocol.WorkerHello, serve func(context.Context, *protocol.Stream)) (*handWorker, error) {
	return b.joinOver(b.network.dial, s, hello, serve)
}

// joinOver joins over connections that dial opens.
func (b *bubble) joinOver(dial worker.DialFunc, s secret.Value, hello protocol.WorkerHello, serve func(context.Context, *protocol.Stream)) (*handWorker, error) {
	d := websocket.Dialer{NetDialContext: dial, Subprotocols: []string{protocol.Subprotocol}}
	header := http.Header{"Authorization": {"Bearer " + s.Reveal()}}
	if !b.direct {
		header.Set("X-Forwarded-For", "192.0.2.1")
	}
	ws, _, err := d.DialContext(b.t.Context(), "ws://relay.test"+protocol.ConnectPath, header)
	if err != nil {
		return nil, err
	}
	transport := protocol.WebSocket(ws)
	w := &handWorker{drains: make(chan protocol.Drain, 10), ended: make(chan error, 1)}
	if w.hello, err = protocol.Greet(b.t.Context(), transport, hello); err != nil {
		transport.Close()
		return nil, err
	}
	w.conn = protocol.NewConn(transport, protocol.Config{
		PeerWindow: w.hello.Window, MaxStreams: 1000, Serve: serve, OnDrain: func(d protocol.Drain) { w.drains <- d },
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	w.stop = func() {
		cancel()
		<-done
	}
	go func() {
		defer close(done)
		w.ended <- w.conn.Run(ctx)
		cancel()
	}()
	synctest.Wait() // until the relay lists it
	return w, nil
}

func offer(model string, concurrency int) protocol.Offer {
	return protocol.Offer{Name: model, Concurrency: concurrency, Kind: "chat"}
}

// reply is what came of a request.
type reply struct {
	status int
	header http.Header
	body   string
	err    error // of reading the body
}

// ask asks for a completion and reads all of the answer.
func (b *bubble) ask(ctx context.Context, key secret.Value, body string) reply {
	return b.send(ctx, key, strings.NewReader(body))
}

// send asks with a body that comes as it comes.
func (b *bubble) send(ctx context.Context, key secret.Value, body io.Reader) reply {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, b.URL+"/v1/chat/completions", body)
	if err != nil {
		return reply{err: err}
	}
	r.Header.Set("X-Api-Key", key.Reveal())
	response, err := b.client.Do(r)
	if err != nil {
		return reply{err: err}
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	return reply{response.StatusCode, response.Header, string(data), err}
}

// askLater asks in the background.
func (b *bubble) askLater(ctx context.Context, body string) <-chan reply {
	done := make(chan reply, 1)
	go func() { done <- b.ask(ctx, laptopKey, body) }()
	return done
}

// answerWith is a worker that answers every request with text.
func answerWith(text string) func(context.Context, *protocol.Stream) {
	return func(ctx context.Context, s *protocol.Stream) {
		s.Respond(ctx, protocol.ResponseHead{Status: 200, Header: []protocol.Field{{"Content-Type", "application/json"}}}, []byte(text), true)
	}
}

// hang is a worker that never answers.
func hang(ctx context.Context, _ *protocol.Stream) { <-ctx.Done() }

// eventStream begins an event stream with one event.
func eventStream(ctx context.Context, s *protocol.Stream, event string) error {
	return s.Respond(ctx, protocol.ResponseHead{Status: 200, Header: []protocol.Field{{"Content-Type", "text/event-stream"}}}, []byte(event), false)
}

const askM = `{"model":"m","messages":[]}`
