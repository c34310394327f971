// Package engine is a stand-in for vLLM: an OpenAI-compatible server that
// behaves as vLLM does wherever relayctl, its relay and its worker could tell,
// and that can be told to misbehave. It computes nothing.
//
// What is imitated was observed on vLLM 0.32: connections are refused while
// the model loads; the key guards /v1, /v2 and /inference only; a stream is
// one event per token after a first one with the role; /health and /v1/models
// go on answering while the engine hangs; a dead engine ends the program with
// status 0.
package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// Config says how a Stub behaves.
type Config struct {
	// Listen and Control are the addresses of the API and of the control
	// port. An empty Control means none.
	Listen, Control string
	// Key guards the API; empty leaves it open.
	Key string
	// Models are the served names, the first of them the model's own.
	Models []string
	// LoadTime is how long connections are refused after the start.
	LoadTime time.Duration
	// Tokens is the length of an answer when the request sets no limit; 0
	// means 16.
	Tokens int
	// FirstToken is the time to the first token, Interval that between two.
	FirstToken, Interval time.Duration
	// ShutdownTimeout is vLLM's --shutdown-timeout: how long answers that run
	// may go on when the program is asked to end. 0, the default there, stops
	// the engine at once but waits for clients to hang up.
	ShutdownTimeout time.Duration
	// Moods are ways of other engines.
	Moods Moods
	// Log takes the lines by which vLLM tells its phases. Nil drops them.
	Log *log.Logger
}

// Stub is the engine. Make one with New.
type Stub struct {
	config  Config
	created time.Time
	engine  *gate // where tokens are made
	died    chan struct{}
	dieOnce sync.Once
	counts  counters
	loader  loader
}

// New makes a Stub that serves nothing yet.
func New(c Config) (*Stub, error) {
	if len(c.Models) == 0 {
		return nil, errors.New("start engine: no model is named")
	}
	if c.Tokens < 0 || c.LoadTime < 0 || c.FirstToken < 0 || c.Interval < 0 || c.ShutdownTimeout < 0 || c.Moods.Wake < 0 || c.Moods.LeastTokens < 0 {
		return nil, errors.New("start engine: a count or a duration is negative")
	}
	c.Tokens = cmp.Or(c.Tokens, 16)
	return &Stub{config: c, created: time.Now(), engine: newGate(), died: make(chan struct{})}, nil
}

// ErrDied is what Serve returns after the engine died. vLLM exits with status
// 0 then.
var ErrDied = errors.New("engine died")

// Serve loads, then serves until ctx ends or the engine dies.
func (s *Stub) Serve(ctx context.Context) error {
	stopControl, err := s.serveControl(ctx)
	if err != nil {
		return err
	}
	defer stopControl()

	s.logf("non-default args: {'model': '%s'}", s.config.Models[0])
	s.logf("Starting to load model %s...", s.config.Models[0])
	select {
	case <-time.After(s.config.LoadTime):
	case <-ctx.Done():
		return nil
	case <-s.died:
		return ErrDied
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.config.Listen)
	if err != nil {
		return fmt.Errorf("start engine: %w", err)
	}
	s.logf("Starting vLLM server on http://%s", listener.Addr())
	s.logf("Application startup complete.")
	return s.serveAPI(ctx, listener)
}

func (s *Stub) logf(format string, args ...any) {
	if s.config.Log != nil {
		s.config.Log.Printf(format, args...)
	}
}

// serveAPI serves on listener until ctx ends, then ends as vLLM does.
func (s *Stub) serveAPI(ctx context.Context, listener net.Listener) error {
	server := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve engine: %w", err)
	case <-s.died:
		server.Close()
		<-served
		return ErrDied
	case <-ctx.Done():
	}
	s.drain(server)
	<-served
	return nil
}

// drain ends the server. While answers run to their end, health and models
// still answer, so the listener stays open for them.
func (s *Stub) drain(server *http.Server) {
	s.logf("Waiting for connections to close. (CTRL+C to force quit)")
	if s.config.ShutdownTimeout == 0 {
		s.engine.shut()
		server.Shutdown(context.Background()) // for as long as clients stay
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.config.ShutdownTimeout)
	defer cancel()
	s.counts.awaitIdle(ctx)
	if err := server.Shutdown(ctx); err != nil {
		server.Close()
	}
}

// Hang makes every completion wait, those that run included, until Unhang.
// Everything else goes on answering.
func (s *Stub) Hang() { s.engine.shut() }

// Unhang lets completions go on.
func (s *Stub) Unhang() { s.engine.open() }

// Die ends Serve at once, connections and all.
func (s *Stub) Die() { s.dieOnce.Do(func() { close(s.died) }) }

// gate is passed while it is open.
type gate struct {
	mu     sync.Mutex
	opened chan struct{} // closed while the gate is open
}

func newGate() *gate {
	g := &gate{opened: make(chan struct{})}
	close(g.opened)
	return g
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.opened:
		g.opened = make(chan struct{})
	default:
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.opened:
	default:
		close(g.opened)
	}
}

// pass waits until the gate is open or ctx ends.
func (g *gate) pass(ctx context.Context) error {
	g.mu.Lock()
	opened := g.opened
	g.mu.Unlock()
	select {
	case <-opened:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
