package engine

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// Apply does what was planned, in three stages: what others wait for on all
// hosts, then the proxy, then the workers; in the end it asks every model for
// a token, also when there was nothing to do. Hosts that depend on nothing that
// failed are finished. When ctx ends, each host finishes the step it is in.
//
// show is called once, when all is done or given up, while the proxy host is
// still locked: it shows the outcome to the user, with the keys that were
// delivered, and when it returns nil the keys are taken down as shown. It is
// not called when the apply stops before it changed anything. The outcome is
// never nil; the error is HostErrors, a *NoRelay, a *NoToken, or one of the reasons for
// which nothing was done.
func (s *Session) Apply(ctx context.Context, planned *Planned, show func(*Outcome) error) (*Outcome, error) {
	a := &apply{Session: s, planned: planned, began: time.Now(), outcome: &Outcome{Failed: slices.Clone(planned.Failed)}}
	if err := a.mayBegin(); err != nil {
		return a.outcome, err
	}
	if planned.Plan.Empty() && len(planned.CutOff) == 0 && !a.remembersOtherwise() {
		a.prove(ctx)
		a.outcome.Took = time.Since(a.began)
		return a.outcome, a.result(show(a.outcome))
	}
	a.assign()
	if err := a.lockAll(ctx); err != nil {
		return a.outcome, err
	}
	defer a.unlockAll()
	if err := a.lookAgain(ctx); err != nil {
		return a.outcome, err
	}
	if err := a.makeKeys(); err != nil {
		return a.outcome, err
	}
	a.inStages(ctx)
	a.prove(ctx)
	return a.outcome, a.finishProxy(ctx, show)
}

// apply is one apply while it runs.
type apply struct {
	*Session
	planned *Planned
	began   time.Time
	works   []*work // in the order of the plan; the proxy's is the first
	keys    []madeKey
	refined *proposal // after the prepare stage
	outcome *Outcome
	run     string // tells it from all other applies
	// summary is what histories take down; empty: how much was changed.
	summary string
	// unproved is why the proof was broken off.
	unproved error
}

// mayBegin says why nothing can be done at all.
func (a *apply) mayBegin() error {
	proxy := a.config.Stack.Proxy.Name
	switch {
	case a.planned.sight.failed[proxy] != nil:
		return a.planned.Failed // everything else waits for the proxy host
	case len(a.planned.Blocked()) > 0:
		return ErrBlocked
	case len(a.planned.Keys) > 0 && a.config.Keys == nil:
		return ErrNoDelivery
	}
	return nil
}

// assign makes the works: one for every host that has something to do, and
// always one for the proxy host, whose lock is the stack's.
func (a *apply) assign() {
	for _, h := range a.planned.Hosts {
		work := &work{host: a.hosts[h.Name], at: h.Name, role: h.Role, teller: a.teller, command: "apply", outcome: HostOutcome{Name: h.Name}}
		work.outcome.Steps = countSteps(h)
		seen := a.planned.sight.seen[h.Name]
		leaves := h.Role == plan.RoleDeparted && seen.Facts.Manifest != nil
		if h.Role == plan.RoleProxy || work.outcome.Steps > 0 || leaves || seen.CutOff != nil {
			a.works = append(a.works, work)
		}
	}
}

func (a *apply) proxyWork() *work { return a.works[0] }

// inStages does the works in their order and leaves all but the proxy's
// finished.
func (a *apply) inStages(ctx context.Context) {
	proxy, others := a.works[0], a.works[1:]
	a.prepare(ctx)
	a.refine(ctx)
	for _, work := range others {
		work.waitFor(proxy.outcome.Name)
	}
	a.bring(ctx, proxy)
	a.tellFinished(proxy) // its lock is held to the last, but there is nothing left to do
	var running sync.WaitGroup
	for _, work := range others {
		if proxy.failure != nil {
			work.skip(proxy.outcome.Name + " failed")
		}
		running.Go(func() {
			a.bring(ctx, work)
			a.finish(ctx, work, nil)
			a.tellFinished(work)
		})
	}
	running.Wait()
}

// prepare does the first stage on all hosts side by side.
func (a *apply) prepare(ctx context.Context) {
	var running sync.WaitGroup
	for _, work := range a.works {
		steps := a.prepareSteps(work.outcome.Name)
		if len(steps) == 0 {
			continue
		}
		running.Go(func() {
			if work.putBlobs(ctx, steps, a.blobs(a.planned.proposal, work)) {
				work.do(ctx, steps)
			}
			work.prepared = true
		})
	}
	running.Wait()
}

// refine looks again at the hosts that were prepared, and works out what is
// left to do now that all values are known. It has to be a part of what was
// planned.
func (a *apply) refine(ctx context.Context) {
	v := a.planned.sight
	again, want := map[string]looker{}, map[string][]plan.Resource{}
	for _, work := range a.works {
		switch {
		case work.failure != nil:
			v.drop(work.failure)
		case work.prepared:
			again[work.outcome.Name] = work.host
			want[work.outcome.Name] = a.planned.proposal.desired[work.outcome.Name].Want
		}
	}
	v.lookAll(ctx, again, want)
	v.refuseFalse(a.proposer())
	refined, err := a.proposer().propose(v, a.planned.departed, true, connections{})
	if err != nil {
		a.works[0].stop(a.works[0].host.fail("work out what is left to do: "+err.Error(), err))
		return
	}
	a.refined = refined
	for _, work := range a.works {
		name := work.outcome.Name
		work.stop(v.failed[name])
		work.stop(refines(work.host.Target, a.planned.proposal.plan(name), refined.plan(name)))
	}
}

// bring does the rest of a host's steps, unless it has failed already.
func (a *apply) bring(ctx context.Context, work *work) {
	if work.failure != nil || work.outcome.Skipped != "" {
		return
	}
	steps := steps(a.refined.plan(work.outcome.Name))
	if work.putBlobs(ctx, steps, a.blobs(a.refined, work)) {
		work.do(ctx, steps)
	}
}

// prepareSteps lists what the first stage does on a host.
func (a *apply) prepareSteps(name string) []plan.Change {
	var prepare []plan.Change
	for _, change := range steps(a.planned.proposal.plan(name)) {
		if isPrepare(change) {
			prepare = append(prepare, a.withKey(change))
		}
	}
	return prepare
}

// finish ends a host's part: the host takes it down and is unlocked.
func (a *apply) finish(ctx context.Context, work *work, shown []string) {
	if !work.locked {
		return
	}
	ctx = context.WithoutCancel(ctx)
	ending, cancel := context.WithTimeout(ctx, finishTime)
	defer cancel()
	err := work.host.client.Finish(ending, a.report(work, shown))
	if err == nil {
		err = work.unlock(ending)
	}
	if err != nil {
		work.stop(work.host.requestError(ctx, "end the apply", err))
	}
	work.outcome.OK = work.failure == nil && work.outcome.Skipped == ""
}

// tellFinished tells that a host's work is done, if there was any and it was
// not given up.
func (a *apply) tellFinished(work *work) {
	if work.failure == nil && work.outcome.Skipped == "" && work.outcome.Steps > 0 {
		work.tell(Event{Phase: Finished, Took: time.Since(a.began)})
	}
}

// finishTime bounds the few exchanges that end an apply, also one that was
// interrupted. That a host has gone silent is found out before.
const finishTime = hostapi.Silence + 15*time.Second

// finishProxy shows the outcome and ends the apply where its lock is held to
// the last.
func (a *apply) finishProxy(ctx context.Context, show func(*Outcome) error) error {
	a.collect()
	err := show(a.outcome)
	var shown []string
	if err == nil {
		shown = a.outcome.Keys
	}
	before := a.proxyWork().failure
	a.finish(ctx, a.proxyWork(), shown)
	if failure := a.proxyWork().failure; failure != before {
		a.outcome.Failed = append(a.outcome.Failed, failure)
	}
	return a.result(err)
}

// collect fills in the outcome from the works.
func (a *apply) collect() {
	a.outcome.Took = time.Since(a.began)
	a.outcome.Keys = a.storedKeys()
	for _, work := range a.works {
		work.outcome.OK = work.failure == nil && work.outcome.Skipped == ""
		a.outcome.Hosts = append(a.outcome.Hosts, work.outcome)
		if work.failure != nil {
			a.outcome.Failed = append(a.outcome.Failed, work.failure)
		}
	}
	slices.SortStableFunc(a.outcome.Failed, func(x, y *HostError) int { return a.place(x.Host) - a.place(y.Host) })
}

// place is where a host stands in the stack; one that left it is behind.
func (s *Session) place(name string) int {
	at := slices.IndexFunc(s.targets, func(t Target) bool { return t.Name == name })
	if at < 0 {
		return len(s.targets)
	}
	return at
}

// result is the apply's error: what failed on hosts, then what models said.
func (a *apply) result(showing error) error {
	if showing != nil {
		return fmt.Errorf("show the outcome: %w", showing)
	}
	if err := a.outcome.Failed.orNil(); err != nil {
		return err
	}
	if failure := a.outcome.Proof.Err; failure != nil {
		return failure
	}
	for _, model := range a.outcome.Proof.Models {
		if model.Err != nil {
			return model.Err
		}
	}
	return a.unproved
}
