package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/secret"
)

// patience is how long a proof waits.
type patience struct {
	total time.Duration // for what may come right by itself: workers that connect, a certificate being issued
	try   time.Duration // for one token
}

var (
	// applyPatience lets workers connect and a cold engine wake.
	applyPatience = patience{total: 60 * time.Second, try: 30 * time.Second}
	// statusPatience tells how it is now. A healthy engine that is not
	// overloaded gives its first token well within it.
	statusPatience = patience{total: 0, try: 10 * time.Second}
)

const (
	reachTime    = 5 * time.Second // for a way to lead to any answer
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
	ways     []namedWay // in the order of preference
	patience patience
	once     map[string]bool // models that are asked once: nothing will come right by itself
	teller   *teller
}

// run asks every model side by side.
func (p *prover) run(ctx context.Context, models []string) []ModelProof {
	limit, cancel := context.WithTimeout(ctx, p.patience.total)
	defer cancel()
	best, detours, err := p.findWay(ctx, limit)
	proofs := make([]ModelProof, len(models))
	var asks sync.WaitGroup
	slots := make(chan struct{}, modelsAtOnce)
	for i, model := range models {
		proofs[i] = ModelProof{Model: model, Route: best.Route, Detours: detours}
		if err != nil {
			proofs[i].Err = &NoToken{Model: model, Summary: "the relay can't be reached", Log: slices.Clone(detours), cause: err}
			continue
		}
		asks.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			took, err := p.ask(ctx, limit, best.way, model)
			proofs[i].FirstToken = took
			if err != nil {
				proofs[i].Err = &NoToken{Model: model, Summary: err.Error(), cause: err}
			}
		})
	}
	asks.Wait()
	return proofs
}

// findWay returns the first way that leads to an HTTP answer, and why those
// before it do not. It tries again until limit ends.
func (p *prover) findWay(ctx, limit context.Context) (namedWay, []string, error) {
	stop := p.teller.during(Event{Phase: Proving, Text: "the proxy to answer"})
	defer stop()
	for {
		var detours []string
		for i, candidate := range p.ways {
			err := reach(ctx, candidate)
			if err == nil {
				return p.better(ctx, i, detours)
			}
			detours = append(detours, fmt.Sprintf("%s: %v", candidate.Route, err))
		}
		if !pause(limit) {
			return namedWay{}, detours, errNoAnswer
		}
	}
}

// better asks the ways before the one that worked once more: the proxy may
// have come up between the two.
func (p *prover) better(ctx context.Context, works int, detours []string) (namedWay, []string, error) {
	for i, candidate := range p.ways[:works] {
		if reach(ctx, candidate) == nil {
			return candidate, detours[:i], nil
		}
	}
	return p.ways[works], detours, nil
}

// reach reports why a way leads to no answer; any answer will do.
func reach(ctx context.Context, w way) error {
	ctx, cancel := context.WithTimeoutCause(ctx, reachTime, fmt.Errorf("no answer within %s", plan.Seconds(reachTime)))
	defer cancel()
	said, err := w.send(ctx, http.MethodGet, "/v1/models", nil)
	if err != nil {
		return causeOf(ctx, err)
	}
	return said.body.Close()
}

// ask asks one model, again and again while what is wrong may pass and limit
// has not ended.
func (p *prover) ask(ctx, limit context.Context, w way, model string) (time.Duration, error) {
	stop := p.teller.during(Event{Phase: Proving, Text: model + " to answer"})
	defer stop()
	for {
		took, err := askForToken(ctx, w, model, p.patience.try)
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

// prove asks every model of the stack for a token. A proof that can't be made
// is told of each model, like one that fails.
func (s *Session) prove(ctx context.Context, facts plan.Facts, patience patience, once map[string]bool) Proof {
	proof := Proof{URL: s.config.Stack.Proxy.URL()}
	models := s.config.Stack.ModelNames()
	ways, err := s.ways(ctx, facts)
	if err != nil {
		for _, model := range models {
			proof.Models = append(proof.Models, ModelProof{Model: model, Err: &NoToken{Model: model, Summary: err.Error(), cause: err}})
		}
		return proof
	}
	p := &prover{ways: ways, patience: patience, once: once, teller: s.teller}
	proof.Models = p.run(ctx, models)
	s.explain(ctx, proof.Models)
	return proof
}

// ways are the routes to the relay: the domain, the proxy's address where that
// is another, and from the proxy host itself.
func (s *Session) ways(ctx context.Context, facts plan.Facts) ([]namedWay, error) {
	proxy := s.config.Stack.Proxy
	root := facts.Find(plan.ID{Kind: plan.KindCA, Name: plan.CAInternal}).Have[plan.AttrPublic]
	if root == "" {
		return nil, errors.New("the proxy host has no certificate authority yet")
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

// prove makes the proof of an apply that left the proxy host in order.
func (a *apply) prove(ctx context.Context) {
	if len(a.works) > 0 && a.works[0].failure != nil {
		return
	}
	if ctx.Err() != nil {
		a.unproved = fmt.Errorf("ask models for a token: %w", context.Cause(ctx))
		return
	}
	facts := a.planned.sight.seen[a.config.Stack.Proxy.Name].Facts
	proof := a.Session.prove(ctx, facts, applyPatience, a.withoutWorkers())
	if ctx.Err() != nil {
		a.unproved = fmt.Errorf("ask models for a token: %w", context.Cause(ctx))
		return
	}
	a.outcome.Proof = proof
}

// withoutWorkers are the models of which all workers failed.
func (a *apply) withoutWorkers() map[string]bool {
	without := map[string]bool{}
	for _, model := range a.config.Stack.ModelNames() {
		without[model] = true
	}
	for _, worker := range a.config.Stack.Workers {
		for _, model := range worker.Models {
			without[model.Name] = without[model.Name] && (a.hasFailed(worker.Name) || a.hasFailed(a.hostOf(worker.Name)))
		}
	}
	return without
}

func (a *apply) hasFailed(name string) bool {
	return a.planned.sight.failed[name] != nil ||
		slices.ContainsFunc(a.works, func(w *work) bool { return w.outcome.Name == name && w.failure != nil })
}
