package worker

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/relayctl/relayctl/internal/openai"
	"github.com/relayctl/relayctl/internal/protocol"
)

// DialFunc opens a network connection, as net.Dialer.DialContext does.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// session is one connection to the relay with the settings it was made by.
type session struct {
	conn     *protocol.Conn
	settings *Settings
	engines  map[string]*engine
	log      *slog.Logger
	drains   chan protocol.Drain // what the relay asks for, the newest
	ended    chan struct{}       // closed after err is set
	err      error
}

// dial opens a WebSocket to the relay of s.
func dial(ctx context.Context, s *Settings, dialer DialFunc) (*websocket.Conn, error) {
	d := websocket.Dialer{
		NetDialContext:   dialer,
		Proxy:            http.ProxyFromEnvironment,
		HandshakeTimeout: 15 * time.Second,
		TLSClientConfig:  &tls.Config{RootCAs: s.Roots, MinVersion: tls.VersionTLS12},
		Subprotocols:     []string{protocol.Subprotocol},
		ReadBufferSize:   16 << 10,
		WriteBufferSize:  protocol.MaxMessage, // a message leaves in one piece
	}
	u := *s.Relay
	u.Scheme = map[string]string{"http": "ws", "https": "wss"}[u.Scheme]
	u.Path = strings.TrimRight(u.Path, "/") + protocol.ConnectPath
	header := http.Header{"Authorization": {"Bearer " + s.Secret.Reveal()}}
	ws, response, err := d.DialContext(ctx, u.String(), header)
	switch {
	case errors.Is(err, websocket.ErrBadHandshake) && response != nil:
		return nil, fmt.Errorf("dial %s: %w", u.Redacted(), refusedBy(response))
	case err != nil:
		return nil, fmt.Errorf("dial %s: %w", u.Redacted(), err)
	case ws.Subprotocol() != protocol.Subprotocol:
		ws.Close()
		return nil, fmt.Errorf("dial %s: the server there does not speak %s", u.Redacted(), protocol.Subprotocol)
	}
	return ws, nil
}

// refusedBy is a relay that answered, and did not let the worker in, with its
// reason.
func refusedBy(response *http.Response) error {
	data, _ := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	text := cmp.Or(openai.ErrorText(data), http.StatusText(response.StatusCode))
	return fmt.Errorf("the relay refused with status %d: %s", response.StatusCode, text)
}

// greet makes a session on a fresh connection.
func (w *Worker) greet(ctx context.Context, t protocol.Transport, s *Settings, hello protocol.WorkerHello) (*session, error) {
	theirs, err := protocol.Greet(ctx, t, hello)
	if err != nil {
		t.Close()
		return nil, fmt.Errorf("greet relay: %w", err)
	}
	n := &session{
		settings: s,
		engines:  make(map[string]*engine),
		log:      w.config.Log,
		drains:   make(chan protocol.Drain, 1),
		ended:    make(chan struct{}),
	}
	streams := 64 // more than the relay may use: it frees a slot before this end has heard of it
	for _, m := range s.Models {
		n.engines[m.Name] = newEngine(m, w.memory, w.config.Log)
		streams += 2 * m.Concurrency
	}
	n.conn = protocol.NewConn(t, protocol.Config{
		PeerWindow: theirs.Window,
		Serve:      n.serve,
		MaxStreams: streams,
		OnDrain:    n.onDrain,
	})
	n.log.Info("connected", "relay", s.Relay.String(), "program", theirs.Program)
	for _, note := range theirs.Notes {
		n.log.Warn("the relay says: " + note)
	}
	return n, nil
}

// run serves requests until the connection ends.
func (n *session) run(ctx context.Context) {
	n.err = n.conn.Run(ctx)
	for _, e := range n.engines {
		e.kept.CloseIdleConnections()
	}
	close(n.ended)
}

func (n *session) serve(ctx context.Context, s *protocol.Stream) {
	e := n.engines[s.Request().Model]
	if e == nil {
		s.Reset(protocol.ResetRefused, "this worker does not serve that model")
		return
	}
	e.serve(ctx, s)
}

// onDrain keeps the newest wish of the relay. Only the connection's reader calls
// it.
func (n *session) onDrain(d protocol.Drain) {
	select {
	case <-n.drains:
	default:
	}
	n.drains <- d
}
