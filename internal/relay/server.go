// Package relay is relay-server: it takes clients' requests, and hands each to
// a worker that is connected, has a free slot and serves the model.
package relay

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/relayctl/relayctl/internal/protocol"
)

// startTime is for how long after a start workers are taken to be on their
// way back, so that a restart costs clients a moment and no error.
const startTime = 3 * time.Second

// Config is what a Server is made of.
type Config struct {
	Settings *Settings
	Version  string // of this program, for people
	Log      *slog.Logger
}

// Server is a relay.
type Server struct {
	version   string
	log       *slog.Logger
	started   time.Time
	state     atomic.Pointer[state]
	scheduler *scheduler
	metrics   *metrics
	refusals  *refusals

	bodies, smallBodies budget

	running sync.WaitGroup // listeners, worker connections and what belongs to them
	failed  chan error     // capacity 1: a listener broke
	gate    *gate          // clients' requests
	probes  sync.Map       // by model, a chan struct{} of capacity 1: what is in it has its turn

	mu       sync.Mutex
	connects map[string]*rate.Limiter // by who connects, see mayConnect
	doors    []*door                  // while it serves: for the API, metrics and admin
	endHold  context.CancelFunc       // of the latest drain: only that one ends its hold
}

// state is what one set of settings comes to.
type state struct {
	settings *Settings
	ring     *keyring
}

// maxNotes is how many notes on its offer a worker is sent: they must fit into
// one frame.
const maxNotes = 16

// allowed picks the offers that the settings let a worker serve, and says
// which it left out, the first maxNotes of them.
func (st *state) allowed(worker *WorkerFile, offers []protocol.Offer) (taken []protocol.Offer, notes []string) {
	for _, offer := range offers {
		switch {
		case !protocol.ValidModel(offer.Name):
			notes = append(notes, fmt.Sprintf("model %.128q is no valid name", offer.Name))
		case !st.settings.AnyModel && !slices.Contains(worker.Models, offer.Name):
			notes = append(notes, fmt.Sprintf("model %q is not one this worker may serve", offer.Name))
		default:
			if most, ok := worker.Concurrency[offer.Name]; ok {
				offer.Concurrency = min(offer.Concurrency, most)
			}
			taken = append(taken, offer)
		}
	}
	return taken, notes[:min(len(notes), maxNotes)]
}

// New makes a Server. It does nothing before Serve.
func New(c Config) *Server {
	s := &Server{
		version:  c.Version,
		log:      c.Log,
		started:  time.Now(),
		refusals: &refusals{log: c.Log},
		failed:   make(chan error, 1),
		gate:     newGate(),
		connects: make(map[string]*rate.Limiter),
		endHold:  func() {},
	}
	s.scheduler = newScheduler(func() int { return s.current().settings.Relay.MaxQueue })
	s.metrics = newMetrics(s.scheduler)
	s.apply(c.Settings)
	return s
}

func (s *Server) current() *state { return s.state.Load() }

// apply makes settings those in force.
func (s *Server) apply(settings *Settings) {
	s.state.Store(&state{settings, newKeyring(settings)})
	s.scheduler.list(settings.Workers, settings.AnyModel)
	s.bodies.setLimit(max(8*int64(settings.Relay.MaxBody), 256<<20))
	s.smallBodies.setLimit(64 << 20)
}

// Reload brings new settings in: keys count from now on, workers whose secret
// is gone are disconnected, all other connections stay, also where the relay
// listens somewhere else afterwards. After an error all is as before.
func (s *Server) Reload(settings *Settings) error {
	if err := s.move(s.current().settings.Relay, settings.Relay); err != nil {
		return fmt.Errorf("reload settings: %w", err)
	}
	s.apply(settings)
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.connects, func(hash string, _ *rate.Limiter) bool { return s.current().ring.workers[hash] == nil })
	for _, l := range s.scheduler.connected() {
		s.settle(l)
	}
	return nil
}

// Serve serves until ctx ends, then lets running answers finish for the
// settings' drain timeout, and ends the rest. It returns when all it started
// has stopped, and closes the listeners.
func (s *Server) Serve(ctx context.Context, ls Listeners) error {
	hard, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(errStopping)
	s.scheduler.expectAll(time.Now().Add(startTime))
	doors := []*door{
		{server: s.httpServer(hard, s.routes())},
		{server: s.httpServer(hard, s.metrics.handler())},
		{server: s.httpServer(hard, s.adminRoutes())},
	}
	s.mu.Lock()
	for i, l := range []net.Listener{ls.API, ls.Metrics, ls.Admin} {
		s.open(doors[i], l)
	}
	s.doors = doors
	s.mu.Unlock()
	var err error
	select {
	case <-ctx.Done():
	case err = <-s.failed:
	}
	s.finish(hard)
	s.closeLinks(hard)
	cut(errStopping)
	s.mu.Lock()
	s.doors = nil // no listener is opened any more
	s.mu.Unlock()
	for _, d := range doors {
		shutdown(d.server)
	}
	s.running.Wait()
	s.refusals.tell()
	return err
}

// shutdown waits for the last handlers of server, which have little left to
// do.
func shutdown(server *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		server.Close()
	}
}

func (s *Server) httpServer(base context.Context, h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		BaseContext:       func(net.Listener) context.Context { return base },
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       bodyStall,
		WriteTimeout:      clientStall, // counts from a request's start; answers push it on as they go
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,

		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// finish refuses new requests, lets running ones end for the drain timeout, and
// then cuts the rest.
func (s *Server) finish(ctx context.Context) {
	limit := time.Duration(s.current().settings.Relay.DrainTimeout)
	s.gate.close()
	if running := s.gate.count(); running > 0 {
		s.log.Info("stopping: running requests may finish", "running", running, "within", limit.String())
	}
	if left := s.gate.wait(ctx, limit); left > 0 {
		s.log.Warn("stopping: requests did not finish in time", "running", left)
		s.gate.cut(errStopping)
		s.gate.wait(ctx, time.Second)
	}
}

// closeLinks says goodbye to the workers.
func (s *Server) closeLinks(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for _, l := range s.scheduler.connected() {
		l.conn.Close(protocol.CloseShutdown, "the relay stops")
		select {
		case <-l.conn.Done():
		case <-ctx.Done():
		}
	}
}
