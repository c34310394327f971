package relay

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/relayctl/relayctl/internal/openai"
)

// How a request ended. Every request ends in exactly one of them.
const (
	answered  = "answered"  // with all that the engine, or the relay itself, had to say
	refused   = "refused"   // by the relay, with an error instead of an answer
	cancelled = "cancelled" // by its client
	broken    = "broken"    // after part of the answer was delivered
)

var outcomes = []string{answered, refused, cancelled, broken}

// request is one client's request on its way through the relay.
type request struct {
	id      string
	cancel  context.CancelCauseFunc // ends it early, for a reason that its context then has
	stay    func() bool             // from now on it goes on when its client leaves
	path    string                  // of the route, from a closed list
	source  string                  // the address that it comes from
	start   time.Time
	key     string // the key's name
	probe   bool   // it is the probe's key
	model   string // only once it is known to be one of ours
	worker  string
	outcome string
	tear    bool // its answer was broken off, and its connection is to tell so
	status  int
	code    string // of the error, if one was sent
	err     error  // why, for the log only
	tries   int

	queued    time.Duration
	firstByte time.Duration // from the start
	bytesIn   int64
	bytesOut  int64
}

// handler serves a client's request, or refuses it.
type handler func(context.Context, *request, http.ResponseWriter, *http.Request) *openai.Error

// api wraps the handler of a client's route: an id, the gate, one line in the
// log and one count at the end.
func (s *Server) api(path string, h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		rq := &request{id: fmt.Sprintf("req_%08x%016x", rand.Uint32(), rand.Uint64()), path: path, source: sourceOf(r), start: time.Now()}
		s.metrics.received.Inc()
		defer s.done(rq)
		w.Header().Set("X-Request-Id", rq.id)
		ctx, cancel := context.WithCancelCause(context.WithoutCancel(r.Context()))
		defer cancel(nil)
		rq.cancel = cancel
		rq.stay = context.AfterFunc(r.Context(), func() { cancel(context.Cause(r.Context())) })
		defer rq.stay()
		refusal := errStopping.told
		if s.gate.enter(rq) {
			defer s.gate.leave(rq)
			refusal = h(ctx, rq, w, r)
		}
		if refusal != nil {
			rq.outcome, rq.status, rq.code = refused, refusal.Status, refusal.Code
			refusal.Write(w)
		}
	}
}

// done tells of a request that has ended: on a line of its own where it came
// with a good key, summed up where anybody could have made it. Nothing that a
// client wrote is in it: no prompt, no key, no name but those of the settings.
func (s *Server) done(rq *request) {
	took := time.Since(rq.start)
	s.metrics.finished(rq, took)
	if rq.key == "" {
		s.refusals.count(rq.source, rq.code)
		return
	}
	attrs := []slog.Attr{
		slog.String("id", rq.id),
		slog.String("path", rq.path),
		slog.String("key", rq.key),
		slog.String("model", rq.model),
		slog.String("worker", rq.worker),
		slog.String("outcome", rq.outcome),
		slog.Int("status", rq.status),
		slog.String("code", rq.code),
		slog.Int("tries", rq.tries),
		slog.Float64("queued_ms", ms(rq.queued)),
		slog.Float64("first_byte_ms", ms(rq.firstByte)),
		slog.Float64("took_ms", ms(took)),
		slog.Int64("bytes_in", rq.bytesIn),
		slog.Int64("bytes_out", rq.bytesOut),
	}
	if rq.err != nil {
		attrs = append(attrs, slog.String("err", rq.err.Error()))
	}
	s.log.LogAttrs(context.Background(), slog.LevelInfo, "request", attrs...)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
