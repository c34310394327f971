package relay

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"

	"github.com/relayctl/relayctl/internal/openai"
	"github.com/relayctl/relayctl/internal/protocol"
)

// connect takes a worker's WebSocket and serves it until it ends.
func (s *Server) connect(w http.ResponseWriter, r *http.Request) {
	worker, hash, refusal := s.knock(r)
	if refusal != nil {
		s.metrics.connects.WithLabelValues("refused").Inc()
		if refusal.Status == http.StatusUpgradeRequired {
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "websocket")
		}
		refusal.Write(w)
		return
	}
	upgrader := websocket.Upgrader{
		HandshakeTimeout: protocol.HelloTimeout,
		ReadBufferSize:   16 << 10,
		WriteBufferSize:  4 << 10,
		Subprotocols:     []string{protocol.Subprotocol},
		Error: func(w http.ResponseWriter, _ *http.Request, status int, reason error) {
			refuseConnect(status, "bad_handshake", reason.Error()).Write(w)
		},
	}
	s.running.Add(1) // the HTTP server forgets this handler with the upgrade
	defer s.running.Done()
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		s.log.Info("worker's handshake failed", "worker", worker.Name, "err", err)
		return
	}
	s.welcome(r, worker, hash, protocol.WebSocket(ws))
}

func refuseConnect(status int, code, text string) *openai.Error {
	return invalidError(status, code, "", text)
}

// knock decides before any upgrade whether a worker may come in.
func (s *Server) knock(r *http.Request) (*WorkerFile, string, *openai.Error) {
	if !websocket.IsWebSocketUpgrade(r) {
		return nil, "", refuseConnect(http.StatusUpgradeRequired, "upgrade_required", "workers connect here by WebSocket")
	}
	worker, hash := s.current().ring.worker(r.Header)
	who, source := hash, sourceOf(r)
	if worker == nil {
		who = source
	}
	offered := websocket.Subprotocols(r)
	switch {
	case !s.mayConnect(who):
		s.refusals.count(source, "too_many_connections")
		return nil, "", refuseConnect(http.StatusTooManyRequests, "too_many_connections", "this worker connects again and again: come back later")
	case worker == nil:
		s.refusals.count(source, "invalid_secret")
		return nil, "", refuseConnect(http.StatusUnauthorized, "invalid_secret", "no worker secret that is good here")
	case !slices.Contains(offered, protocol.Subprotocol):
		text := fmt.Sprintf("this relay speaks %s, the worker %s", protocol.Subprotocol, strings.Join(offered, ", "))
		return nil, "", refuseConnect(http.StatusBadRequest, "unknown_subprotocol", text)
	case s.gate.closed():
		return nil, "", errStopping.told
	}
	return worker, hash, nil
}

// A worker may connect this often: in one go, and then every second.
const (
	connectBurst = 30
	connectEvery = time.Second
)

// maxConnecting bounds of how many it is known how often they connect. Beyond
// it, all is forgotten.
const maxConnecting = 10_000

// mayConnect reports whether one does not connect too often: the hash of a good
// secret, or the address that a wrong one comes from.
func (s *Server) mayConnect(who string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	limiter := s.connects[who]
	if limiter == nil {
		if len(s.connects) >= maxConnecting {
			clear(s.connects)
		}
		limiter = rate.NewLimiter(rate.Every(connectEvery), connectBurst)
		s.connects[who] = limiter
	}
	return limiter.Allow()
}

// welcome exchanges HELLO and serves the worker until its connection ends.
func (s *Server) welcome(r *http.Request, worker *WorkerFile, hash string, t protocol.Transport) {
	defer t.Close()
	ctx := r.Context()
	hello, err := protocol.Receive(ctx, t)
	name := cmp.Or(worker.Name, hello.Name) // by hand, one secret is every worker's
	if err == nil && (hello.Name != name || !protocol.ValidWorker(name)) {
		text := fmt.Sprintf("this secret is that of worker %q, not of %.64q", name, hello.Name)
		err = protocol.Refuse(t, protocol.CloseName, text)
	}
	if err != nil {
		s.metrics.connects.WithLabelValues("refused").Inc()
		s.log.Warn("worker refused", "worker", worker.Name, "from", r.RemoteAddr, "err", err)
		return
	}
	_, notes := s.current().allowed(worker, hello.Models)
	answer := protocol.RelayHello{Program: "relay-server " + s.version, Notes: notes}
	if err := protocol.Answer(ctx, t, hello, answer); err != nil {
		s.log.Warn("worker left during its greeting", "worker", name, "err", err)
		return
	}
	l := &link{name: name, hash: hash, hello: hello, from: r.RemoteAddr, since: time.Now()}
	l.direct = len(r.Header.Values("X-Forwarded-For")) == 0 // a reverse proxy says for whom it speaks
	l.conn = protocol.NewConn(t, protocol.Config{PeerWindow: hello.Window, OnDrain: func(d protocol.Drain) {
		if s.retire(ctx, l, protocol.CloseDrained, "drained") {
			s.log.Info("worker drains", "worker", l.name, "come_back", d.ComeBack)
		}
	}})
	s.serve(ctx, l, notes)
}

// serve has l take requests until it ends. An older connection of its worker
// gets no new work and is closed when its last answer has ended.
func (s *Server) serve(ctx context.Context, l *link, notes []string) {
	s.metrics.connects.WithLabelValues("connected").Inc()
	s.log.Info("worker connected", "worker", l.name, "from", l.from, "program", l.hello.Program, "not_taken", notes)
	s.mu.Lock()
	older := s.scheduler.arrive(l)
	s.settle(l)
	s.mu.Unlock()
	if older != nil && older.hello.Instance == l.hello.Instance {
		s.retire(ctx, older, protocol.CloseDrained, "a newer connection took over")
	} else if older != nil {
		s.log.Warn("another process took a worker's name", "worker", l.name, "from", l.from, "before", older.from)
		s.retire(ctx, older, protocol.CloseReplaced, "another process connected as "+l.name)
	}
	err := l.conn.Run(ctx)
	s.scheduler.depart(l)
	s.metrics.connects.WithLabelValues("ended").Inc()
	s.log.Info("worker disconnected", "worker", l.name, "from", l.from, "reason", err)
}

// settle lets l serve what the settings in force allow it, or disconnects it
// where its secret is no longer good. It is called with mu held, so that no
// older settings are the last word.
func (s *Server) settle(l *link) {
	st := s.current()
	worker := st.ring.workers[l.hash]
	if worker == nil || worker.Name != "" && worker.Name != l.name {
		s.scheduler.leave(l)
		l.conn.Close(protocol.CloseRevoked, "the secret is no longer good")
		return
	}
	offers, _ := st.allowed(worker, l.hello.Models)
	s.scheduler.join(l, offers)
}

// retire gives l no new work and closes it when its last answer has ended;
// false where that was begun before.
func (s *Server) retire(ctx context.Context, l *link, code protocol.CloseCode, text string) bool {
	if !s.scheduler.retire(l) {
		return false
	}
	s.running.Go(func() {
		s.scheduler.waitIdle(ctx, []*link{l}) // also returns when l has ended
		l.conn.Close(code, text)
	})
	return true
}
