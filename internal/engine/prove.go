package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/secret"
	"github.com/relayctl/relayctl/internal/stack"
)

// patience is how long a proof waits.
type patience struct {
	total time.Duration // for what may come right by itself: workers that connect, a certificate being issued
	try   time.Duration // for one token
	full  bool          // try is all the time that a client may wait
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
	reachTime    = 5 * time.Second // for a way to lead to the relay
	askAgain     = 500 * time.Millisecond
	modelsAtOnce = 8
)

// namedWay is a way with its name.
type namedWay struct {
	Route
	way
}

// prover asks models for a token.
type prover struct {
	ways      []namedWay // in the order of preference
	domain    string
	firstByte time.Duration // that the relay lets a client wait
	patience  patience
	once      map[string]bool // models that are asked once: nothing will come right by itself
	teller    *teller
}

// run finds a way and asks every model side by side.
func (p *prover) run(ctx context.Context, models []string) Proof {
	limit, cancel := context.WithTimeout(ctx, p.patience.total)
	defer cancel()
	best, detours, failure := p.findWay(ctx, limit)
	proof := Proof{Route: best.Route, Detours: detours, Err: failure, Models: make([]ModelProof, len(models))}
	var asks sync.WaitGroup
	slots := make(chan struct{}, p.atOnce(best.Route))
	for i, model := range models {
		proof.Models[i] = ModelProof{Model: model, Route: best.Route, Detours: detours}
		if failure != nil {
			proof.Models[i].Err = &NoToken{Model: model, Summary: failure.Summary, cause: failure}
			continue
		}
		asks.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			took, err := p.ask(ctx, limit, best.way, model)
			proof.Models[i].FirstToken = took
			if err != nil {
				proof.Models[i].Err = &NoToken{Model: model, Summary: err.Error(), cause: err}
			}
		})
	}
	asks.Wait()
	return proof
}

// atOnce is how many models are asked at a time. A host does what it is asked
// in order, and what waits for its turn there must not count as slow.
func (p *prover) atOnce(route Route) int {
	if route == RouteHost {
		return 1
	}
	return modelsAtOnce
}

// findWay returns the first way that leads to the stack's relay, and why those
// before it do not. It tries again until limit ends.
func (p *prover) findWay(ctx, limit context.Context) (namedWay, []string, *NoRelay) {
	stop := p.teller.during(Event{Phase: Proving, Text: "the proxy to answer"})
	defer stop()
	for {
		var detours []string
		var first error
		for i, candidate := range p.ways {
			err := reach(ctx, candidate)
			if err == nil {
				best, detours := p.better(ctx, i, detours)
				return best, detours, nil
			}
			if first == nil {
				first = err
			}
			detours = append(detours, fmt.Sprintf("%s: %v", candidate.Route, err))
		}
		if !pause(limit) {
			return namedWay{}, nil, &NoRelay{Summary: p.unreached(first), Log: detours}
		}
	}
}

// unreached says in a line why the relay is not reached: what clients meet.
func (p *prover) unreached(err error) string {
	var other *strangerError
	if errors.As(err, &other) {
		return p.domain + " is answered by something else: " + other.said
	}
	return "the relay can't be reached: " + err.Error()
}

// better asks the ways before the one that worked once more: the proxy may
// have come up between the two.
func (p *prover) better(ctx context.Context, works int, detours []string) (namedWay, []string) {
	for i, candidate := range p.ways[:works] {
		if reach(ctx, candidate) == nil {
			return candidate, detours[:i]
		}
	}
	return p.ways[works], detours
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
		if err == nil || !passing(err) || p.once[model] || !pause(limit) {
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

// prove holds that clients reach the stack's relay, and asks every model for a
// token.
func (s *Session) prove(ctx context.Context, facts plan.Facts, patience patience, once map[string]bool) Proof {
	models, proxy := s.config.Stack.ModelNames(), s.config.Stack.Proxy
	ways, err := s.ways(ctx, facts)
	if err != nil {
		failure := &NoRelay{Summary: err.Error()}
		proof := Proof{URL: proxy.URL(), Err: failure}
		for _, model := range models {
			proof.Models = append(proof.Models, ModelProof{Model: model, Err: &NoToken{Model: model, Summary: failure.Summary, cause: failure}})
		}
		return proof
	}
	p := &prover{
		ways: ways, domain: proxy.Domain, firstByte: proxy.Relay.FirstByteTimeout,
		patience: patience, once: once, teller: s.teller,
	}
	asking, stop := s.whileConnected(ctx)
	proof := p.run(asking, models)
	stop()
	proof.URL = proxy.URL()
	s.explain(ctx, &proof)
	return proof
}

// whileConnected is a context that ends with the conversation with the proxy
// host: a network that is gone must not be taken for an engine that is slow.
func (s *Session) whileConnected(ctx context.Context) (connected context.Context, stop func()) {
	proxy := s.proxy()
	connected, cancel := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-proxy.ended:
			cancel(fmt.Errorf("the connection to %s was lost", proxy.Name))
		case <-connected.Done():
		}
	})
	return connected, func() {
		cancel(nil)
		watching.Wait()
	}
}

// ways are the routes to the relay: the domain, the proxy's address where that
// is another, and from the proxy host itself.
func (s *Session) ways(ctx context.Context, facts plan.Facts) ([]namedWay, error) {
	proxy := s.config.Stack.Proxy
	root := facts.Find(plan.ID{Kind: plan.KindCA, Name: plan.CAInternal}).Have[plan.AttrPublic]
	if root == "" {
		return nil, errors.New("the proxy host has no certificate authority yet")
	}
	root, err := onlyRoot(root, proxy.Domain)
	if err != nil {
		return nil, err
	}
	pool, err := rootPool(root)
	if err != nil {
		return nil, err
	}
	revealed, err := s.proxy().client.Reveal(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the probe key: %w", err)
	}
	key := secret.New(revealed.Key)
	dial := s.config.DialContext
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	ways := []namedWay{{RouteDomain, newDirectWay(proxy.URL(), proxy.Domain, "", pool, key, dial)}}
	if !proxy.IsLocal() && proxy.Address != proxy.Domain {
		ways = append(ways, namedWay{RouteAddress, newDirectWay(proxy.URL(), proxy.Domain, proxy.Address, pool, key, dial)})
	}
	return append(ways, namedWay{RouteHost, &hostWay{host: s.proxy().client, domain: proxy.Domain, root: root}}), nil
}

// prove makes the proof of a job that left the proxy host in order. It is a
// gate that is always passed.
func (j *job) prove(ctx context.Context) bool {
	if ctx.Err() != nil {
		j.unproved = fmt.Errorf("ask models for a token: %w", context.Cause(ctx))
		return true
	}
	facts := j.planned.observed.seen[j.config.Stack.Proxy.Name].Facts
	proof := j.Session.prove(ctx, facts, applyPatience(j.config.Stack.Proxy.Relay), j.withoutWorkers())
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
		without[model] = true
	}
	for _, worker := range j.config.Stack.Workers {
		for _, model := range worker.Models {
			without[model.Name] = without[model.Name] && (j.hasFailed(worker.Name) || j.hasFailed(j.hostOf(worker.Name)))
		}
	}
	return without
}

func (j *job) hasFailed(name string) bool {
	return j.planned.observed.failed[name] != nil ||
		slices.ContainsFunc(j.parts, func(a *hostApply) bool { return a.outcome.Name == name && a.failure != nil })
}
