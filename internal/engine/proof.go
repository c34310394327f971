package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/stack"
)

// Proof is whether the stack's own relay answers clients, and what every model
// answered when asked for one token.
type Proof struct {
	URL string // that clients use
	// Route led to the relay; empty: none did, or nobody looked.
	Route Route
	// Detours say why the routes before Route did not work.
	Detours []string
	// Err says why no route led to the relay; then every model has an error
	// with this cause.
	Err    *NoToken
	Models []ModelProof // by name
}

// OK reports whether the relay was reached and all models answered.
func (p Proof) OK() bool { return p.failure() == nil && p.Route != "" }

// failure is the first thing that went wrong; nil: nothing did.
func (p Proof) failure() error {
	if p.Err != nil {
		return p.Err
	}
	for _, model := range p.Models {
		if model.Err != nil {
			return model.Err
		}
	}
	return nil
}

// ModelProof is one model's answer.
type ModelProof struct {
	Model      string
	Route      Route
	FirstToken time.Duration
	// Detours say why the routes before Route did not work.
	Detours []string
	// Err says why no token came, by any route; nil: it came.
	Err *NoToken
}

// NoToken is why a model gave no token: ErrNoToken. Without a model it is why no
// route led to the relay: ErrNoRelay.
type NoToken struct {
	Model   string
	Summary string   // one line: "the relay says 503: no worker serves llama3-8b"
	Log     []string // what relay and workers say about it, or what each route led to
	Hint    string

	cause error
}

func (e *NoToken) Error() string { return strings.TrimPrefix(e.Model+": "+e.Summary, ": ") }

// Is makes errors.Is with ErrNoToken, or ErrNoRelay, true.
func (e *NoToken) Is(target error) bool {
	return target == ErrNoToken && e.Model != "" || target == ErrNoRelay && e.Model == ""
}

// Unwrap returns the cause.
func (e *NoToken) Unwrap() error { return e.cause }

// Route is the way on which the proof reached the relay. Another one than
// RouteDomain is worth a warning.
type Route string

// The routes, in the order in which they are tried.
const (
	RouteDomain  Route = "domain"  // as clients go: the domain as DNS gives it
	RouteAddress Route = "address" // the proxy's address, with the domain as server name
	RouteHost    Route = "host"    // from the proxy host to itself
)

// patience is how long a proof waits.
type patience struct {
	total time.Duration // for what may come right by itself: workers that connect, a certificate being issued
	try   time.Duration // for one token
	full  bool          // try is all the time that a client may wait
	// without are models that are asked once: their workers have all failed.
	without map[string]bool
}

// statusPatience tells how it is now. A healthy engine that is not overloaded
// gives its first token well within it; what takes longer is asked on by the
// relay, so that an engine that loads its model is not stopped.
var statusPatience = patience{total: 0, try: 10 * time.Second}

// applyPatience lets workers connect, and waits for a token as long as the relay
// lets a client wait, and then some, so that the relay ends it and says why.
func applyPatience(r stack.Relay) patience {
	return patience{total: 60 * time.Second, try: min(r.QueueTimeout+r.FirstByteTimeout, r.RequestTimeout) + 5*time.Second, full: true}
}

const (
	askAgain     = 500 * time.Millisecond
	modelsAtOnce = 8
)

// prover asks models for a token.
type prover struct {
	ways      []way // in the order of preference
	name      string
	firstByte time.Duration // that the relay lets a client wait
	patience  patience
	teller    *teller
}

// run finds a way and asks every model side by side.
func (p *prover) run(ctx context.Context, models []string) Proof {
	limit, cancel := context.WithTimeout(ctx, p.patience.total)
	defer cancel()
	best, detours, failure := p.findWay(ctx, limit)
	if failure != nil {
		return unreached(failure, models)
	}
	atOnce := modelsAtOnce
	if best.Route == RouteHost {
		atOnce = 1 // a host does what it is asked in order, and what waits for its turn must not count as slow
	}
	proof := Proof{Route: best.Route, Detours: detours}
	asks := make([]*ModelProof, len(models))
	for i, model := range models {
		asks[i] = &ModelProof{Model: model, Route: best.Route, Detours: detours}
	}
	sideBySide(asks, atOnce, func(m *ModelProof) {
		var err error
		if m.FirstToken, err = p.ask(ctx, limit, best, m.Model); err != nil {
			m.Err = &NoToken{Model: m.Model, Summary: err.Error(), cause: err}
		}
	})
	for _, m := range asks {
		proof.Models = append(proof.Models, *m)
	}
	return proof
}

// unreached is a proof where no way led to the relay, so that no model was asked.
func unreached(failure *NoToken, models []string) Proof {
	proof := Proof{Err: failure}
	for _, model := range models {
		proof.Models = append(proof.Models, ModelProof{Model: model, Err: &NoToken{Model: model, Summary: failure.Summary, cause: failure}})
	}
	return proof
}

// findWay returns the first way that leads to the stack's relay, and why those
// before it do not. It tries again until limit ends.
func (p *prover) findWay(ctx, limit context.Context) (way, []string, *NoToken) {
	stop := p.teller.during(Event{Phase: Proving, Text: "the proxy to answer"})
	defer stop()
	for {
		var detours []string
		var first error
		for i, candidate := range p.ways {
			err := reach(ctx, candidate)
			if err != nil {
				first = cmp.Or(first, err)
				detours = append(detours, fmt.Sprintf("%s: %v", candidate.Route, err))
				continue
			}
			for j, before := range p.ways[:i] { // the proxy may have come up between the two
				if reach(ctx, before) == nil {
					return before, detours[:j], nil
				}
			}
			return candidate, detours, nil
		}
		if !pause(limit) {
			return way{}, nil, &NoToken{Summary: p.whyNot(first), Log: detours}
		}
	}
}

// whyNot says in a line why the relay is not reached: what clients meet.
func (p *prover) whyNot(err error) string {
	var other strangerError
	if errors.As(err, &other) {
		return p.name + " is answered by something else: " + string(other)
	}
	return "the relay can't be reached: " + err.Error()
}

// ask asks one model, again and again while what is wrong may pass and limit
// has not ended.
func (p *prover) ask(ctx, limit context.Context, w way, model string) (time.Duration, error) {
	stop := p.teller.during(Event{Phase: Proving, Text: model + " to answer"})
	defer stop()
	for {
		took, err := askForToken(ctx, w, model, p.patience.try)
		var said *refusal
		if errors.As(err, &said) && said.code == codeFirstByte || errors.Is(err, errNoTokenWithin) && p.patience.full {
			err = fmt.Errorf("%w %s, %w", errNoTokenWithin, plan.Seconds(p.firstByte), errHangs)
		}
		if err == nil || !passing(err) || p.patience.without[model] || !pause(limit) {
			return took, err
		}
	}
}

// pause waits before another try; false: there is none.
func pause(limit context.Context) bool {
	timer := time.NewTimer(askAgain)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-limit.Done():
		return false
	}
}

// prove holds that clients reach the stack's relay, and asks models for a token.
func (s *Session) prove(ctx context.Context, name string, facts plan.Facts, models []string, patience patience) (proof Proof) {
	ways, err := s.ways(ctx, name, facts)
	if err != nil {
		proof = unreached(&NoToken{Summary: err.Error()}, models)
	} else {
		// A network that is gone must not be taken for an engine that is slow.
		proxy := s.proxy()
		asking, cancel := context.WithCancelCause(ctx)
		stop := context.AfterFunc(proxy.gone, func() { cancel(fmt.Errorf("the connection to %s was lost", proxy.Name)) })
		p := &prover{ways: ways, name: name, firstByte: s.config.Stack.Proxy.Relay.FirstByteTimeout, patience: patience, teller: s.teller}
		proof = p.run(asking, models)
		stop()
		cancel(nil)
		s.explain(ctx, &proof)
	}
	proof.URL = urlAt(name)
	return proof
}

// prove makes the proof of a job that left the proxy host in order. It is a
// gate that is always passed.
func (j *job) prove(ctx context.Context) bool {
	return j.proveOf(ctx, j.config.Stack.Proxy.Domain, j.config.Stack.ModelNames())
}

// proveOf asks models for a token, at the name that the proxy host serves.
func (j *job) proveOf(ctx context.Context, name string, models []string) bool {
	patience := applyPatience(j.config.Stack.Proxy.Relay)
	patience.without = j.withoutWorkers()
	facts := j.planned.observed.seen[j.config.Stack.Proxy.Name].Facts
	var proof Proof
	if ctx.Err() == nil {
		proof = j.Session.prove(ctx, name, facts, models, patience)
	}
	if ctx.Err() != nil {
		j.unproved = fmt.Errorf("ask models for a token: %w", context.Cause(ctx))
		return true
	}
	j.outcome.Proof = proof
	return true
}

// withoutWorkers are the models of which all workers failed.
func (j *job) withoutWorkers() map[string]bool {
	without := map[string]bool{}
	for _, model := range j.config.Stack.ModelNames() {
		without[model] = !slices.ContainsFunc(j.enginesOf(model, relayStatus{}), func(e modelEngine) bool {
			return !j.hasFailed(e.worker.Name) && !j.hasFailed(e.host)
		})
	}
	return without
}

func (j *job) hasFailed(name string) bool {
	return j.planned.observed.failed[name] != nil ||
		slices.ContainsFunc(j.parts, func(a *hostApply) bool { return a.outcome.Name == name && a.failure != nil })
}
