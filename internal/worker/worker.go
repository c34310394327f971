// Package worker is relay-worker: it dials the relay, stays connected, and
// answers the relay's requests from engines on its own host.
package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/relayctl/relayctl/internal/protocol"
)

// Times of coming back. The wait before a try is random between nothing and a
// bound that doubles, so that workers that lost one relay together do not
// return together.
const (
	backoffBase = 250 * time.Millisecond
	backoffCap  = 30 * time.Second
	stableAfter = 10 * time.Second // a connection that held that long starts the bounds anew
)

// maxSessions bounds how many connections stand at once, however often the relay
// asks for another: one that answers, one more per drain or reload that its
// answers outlast.
const maxSessions = 4

// Config is what a Worker is made of.
type Config struct {
	Settings *Settings
	Version  string // of this program, for people
	Log      *slog.Logger
	Dial     DialFunc          // nil: as net.Dialer does
	Memory   int64             // bytes that the bodies of all requests may take together, 0: 1 GiB
	OnState  func(text string) // told of each change: "connected" or "connecting: REASON"; may be nil
}

// Worker is one worker.
type Worker struct {
	config   Config
	instance string
	reloaded chan struct{} // capacity 1: settings has changed
	sessions sync.WaitGroup
	memory   *semaphore.Weighted // bytes that the bodies of all requests may take together

	mu       sync.Mutex
	settings *Settings
	live     map[*session]bool
}

// New makes a Worker. It does nothing before Run.
func New(c Config) *Worker {
	if c.OnState == nil {
		c.OnState = func(string) {}
	}
	return &Worker{
		config:   c,
		instance: fmt.Sprintf("%016x", rand.Uint64()),
		reloaded: make(chan struct{}, 1),
		settings: c.Settings,
		live:     make(map[*session]bool),
		memory:   semaphore.NewWeighted(cmp.Or(c.Memory, maxRequest)),
	}
}

// Reload brings new settings in: a second connection is opened with them, and
// the first ends with its last answer.
func (w *Worker) Reload(s *Settings) {
	w.mu.Lock()
	w.settings = s
	w.mu.Unlock()
	select {
	case w.reloaded <- struct{}{}:
	default:
	}
}

func (w *Worker) current() *Settings {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.settings
}

// Run keeps the worker connected until ctx ends. Then it takes no new work,
// lets running answers finish for the settings' drain timeout, and returns
// when all it started has stopped.
func (w *Worker) Run(ctx context.Context) {
	hard, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var b backoff
	for ctx.Err() == nil {
		n, err := w.connect(ctx, hard, &b)
		if err != nil {
			break // only because ctx ended
		}
		w.stay(ctx, n, &b)
	}
	w.drain(hard)
	cut()
	w.sessions.Wait()
}

// stay waits until n has ended or another connection is wanted, and sets b to
// how soon.
func (w *Worker) stay(ctx context.Context, n *session, b *backoff) {
	began := time.Now()
	comeBack := time.Duration(-1)
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.reloaded:
			b.reset(0)
			return
		case d := <-n.drains:
			w.config.Log.Info("the relay asks to come back", "when", d.ComeBack, "within_ms", d.WithinMS)
			comeBack = max(backoffBase, time.Duration(min(d.WithinMS, 60_000))*time.Millisecond)
			if d.ComeBack == protocol.AtOnce && w.sessionsLive() < maxSessions {
				b.reset(comeBack)
				return
			}
		case <-n.ended:
			w.lost(n.err, began, comeBack, b)
			return
		}
	}
}

func (w *Worker) sessionsLive() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.live)
}

// lost decides how soon to come back after a connection has ended.
func (w *Worker) lost(reason error, began time.Time, comeBack time.Duration, b *backoff) {
	var closed *protocol.CloseError
	switch {
	case comeBack >= 0:
		b.reset(comeBack)
	case errors.As(reason, &closed) && closed.Code == protocol.CloseReplaced:
		b.tries = math.MaxInt8 // another process has the name: don't fight over it
	case time.Since(began) >= stableAfter || errors.As(reason, &closed) && closed.Code == protocol.CloseShutdown:
		b.reset(backoffBase)
	}
	w.config.Log.Warn("connection to the relay ended", "reason", reason)
	w.config.OnState("connecting: " + reason.Error())
}

// connect tries until a session stands; the error is ctx's.
func (w *Worker) connect(ctx, hard context.Context, b *backoff) (*session, error) {
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-w.reloaded: // what the new settings change may be what was wrong
			b.reset(0)
		case <-time.After(b.next()):
			n, err := w.try(ctx)
			if err == nil {
				w.start(hard, n)
				return n, nil
			}
			if ctx.Err() == nil {
				w.config.Log.Warn("can't connect", "tries", b.tries, "err", err)
				w.config.OnState("connecting: " + err.Error())
			}
		}
	}
}

func (w *Worker) try(ctx context.Context) (*session, error) {
	s := w.current()
	ws, err := dial(ctx, s, w.config.Dial)
	if err != nil {
		return nil, err
	}
	hello := protocol.WorkerHello{
		Program:  "relay-worker " + w.config.Version,
		Name:     s.Name,
		Instance: w.instance,
	}
	for _, m := range s.Models {
		hello.Models = append(hello.Models, protocol.Offer{Name: m.Name, Concurrency: m.Concurrency, Kind: m.Kind})
	}
	return w.greet(ctx, protocol.WebSocket(ws), s, hello)
}

// start serves n beside what else is live.
func (w *Worker) start(hard context.Context, n *session) {
	w.mu.Lock()
	w.live[n] = true
	w.mu.Unlock()
	w.config.OnState("connected")
	w.sessions.Go(func() {
		n.run(hard)
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.live, n)
	})
}

// drain asks the relay for no more work and waits for what runs: the relay
// closes each connection after its last answer.
func (w *Worker) drain(ctx context.Context) {
	w.mu.Lock()
	live := slices.Collect(maps.Keys(w.live))
	limit := w.settings.DrainTimeout
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, n := range live {
		n.conn.Drain(protocol.Drain{ComeBack: protocol.Never})
	}
	for _, n := range live {
		select {
		case <-n.ended:
		case <-ctx.Done():
			w.config.Log.Warn("stopping: answers did not finish in time", "within", limit.String())
			return
		}
	}
}

// backoff is how long to wait before the next try.
type backoff struct {
	tries int
	first time.Duration // bound of the first wait
}

// reset starts anew, with a first wait of at most first.
func (b *backoff) reset(first time.Duration) { b.tries, b.first = 0, first }

func (b *backoff) next() time.Duration {
	bound := b.first
	if b.tries > 0 {
		bound = min(backoffCap, backoffBase<<min(b.tries-1, 20))
	}
	b.tries++
	if bound <= 0 {
		return 0
	}
	return rand.N(bound)
}
