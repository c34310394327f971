package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/relayctl/relayctl/internal/desired"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/stack"
)

// rotateCommand is what locks and histories call a rotation.
const rotateCommand = "rotate-secret"

// The reasons for which a rotation does not begin.
var (
	// ErrNotApplied means that nothing was applied yet, so that there is
	// nothing to rotate.
	ErrNotApplied = errors.New("nothing was applied yet")
	// ErrDrift means that a host is not as the stack file says in something
	// else than what is rotated.
	ErrDrift = errors.New("is not as the stack file says")
)

// RotateRequest says what to rotate: the secrets of workers, or one API key
// that relayctl made. Names are those of the stack.
type RotateRequest struct {
	Worker string        // empty: all workers
	Key    string        // empty: workers
	Grace  time.Duration // for how long a replaced key stays good
}

// Rotation is what a rotation would do.
type Rotation struct {
	RotateRequest
	Stack   string
	Workers []RotatingWorker // in the order of the stack, those that can be worked on
	Failed  HostErrors       // workers that can't: they keep what they have

	planned *Planned
}

// RotatingWorker is a worker whose secret is rotated.
type RotatingWorker struct {
	Name string
	// Unfinished says that a rotation is under way: it is finished, and no
	// other one begun.
	Unfinished bool
}

// Rotated is how a rotation ended.
type Rotated struct {
	Outcome
	Workers []string  // whose secret is a new one now, and the old one worth nothing
	Until   time.Time // when a replaced key ends, by the proxy host's clock
	// Requests ended while it went on, Broken of them failed. Counted says
	// that the relay counted them from the beginning to the end.
	Counted          bool
	Requests, Broken int
}

// PlanRotation looks at all hosts and says what a rotation would do. It
// changes nothing. It refuses where hosts have anything else to be done to
// them: what is rotated has to be told from what an apply would change.
func (s *Session) PlanRotation(ctx context.Context, request RotateRequest) (*Rotation, error) {
	planned, err := s.Plan(ctx)
	if err != nil {
		return nil, err
	}
	proxy := s.config.Stack.Proxy.Name
	if failure := planned.sight.failed[proxy]; failure != nil {
		return nil, HostErrors{failure}
	}
	if planned.sight.seen[proxy].Facts.Manifest == nil {
		return nil, ErrNotApplied
	}
	r := &Rotation{RotateRequest: request, Stack: s.config.Stack.Name, planned: planned}
	if request.Key == "" {
		r.chooseWorkers(s)
	}
	if len(r.Workers) == 0 && len(r.Failed) > 0 {
		return nil, r.Failed
	}
	return r, r.refuseDrift(s, proxy)
}

// chooseWorkers finds the workers that are asked for.
func (r *Rotation) chooseWorkers(s *Session) {
	in := r.planned.sight.input(s.proposer())
	for _, worker := range s.config.Stack.Workers {
		switch failure := r.planned.sight.failed[s.hostOf(worker.Name)]; {
		case r.Worker != "" && r.Worker != worker.Name:
		case failure != nil:
			r.Failed = append(r.Failed, failure)
		default:
			state := desired.RotationOf(in, worker.Name)
			r.Workers = append(r.Workers, RotatingWorker{Name: worker.Name, Unfinished: state.Unfinished()})
		}
	}
}

// refuseDrift finds what an apply would have to do first on the hosts that
// are worked on.
func (r *Rotation) refuseDrift(s *Session, proxy string) error {
	for _, h := range r.planned.Hosts {
		involved := h.Name == proxy || slices.ContainsFunc(r.Workers, func(w RotatingWorker) bool { return w.Name == h.Name })
		for _, change := range h.Changes {
			if involved && (change.Counts() || change.Block != "") && !r.covers(s, change) {
				return fmt.Errorf("%s %w: %s", h.Name, ErrDrift, change.ID)
			}
		}
	}
	return nil
}

// covers reports whether a change is a part of some rotation. A rotation of
// another worker that is not finished is in nobody's way.
func (r *Rotation) covers(s *Session, change plan.Change) bool {
	if r.Key != "" && desired.IsKeyRotation(r.Key, change) {
		return true
	}
	return slices.ContainsFunc(s.config.Stack.Workers, func(w *stack.Worker) bool { return desired.Rotates(w.Name, change) })
}

// Rotate does what was planned. When ctx ends or something fails, what stands
// is a rotation that the next one finishes: until it is proved that a new
// secret is used, the old one stays good, so that no request fails meanwhile.
//
// show is called once, as for Apply, with the outcome, which is not nil.
func (s *Session) Rotate(ctx context.Context, r *Rotation, show func(*Rotated) error) (*Rotated, error) {
	a := &apply{Session: s, planned: r.planned, began: time.Now(), outcome: &Outcome{Failed: slices.Clone(r.Failed)}}
	did := &Rotated{}
	finish := func(outcome *Outcome) error {
		did.Outcome = *outcome
		return show(did)
	}
	if r.Key != "" {
		err := a.rotateKey(ctx, r, did, finish)
		did.Outcome = *a.outcome
		return did, err
	}
	w := &workerRotation{apply: a, did: did}
	err := w.run(ctx, r, finish)
	did.Outcome = *a.outcome
	return did, err
}

// take makes the works of a rotation: the proxy's, then one for each worker. A
// worker on the proxy's machine has one of its own, over the proxy's
// conversation and under the proxy's lock.
func (a *apply) take(workers []string, teller *teller) {
	for _, name := range slices.Concat([]string{a.config.Stack.Proxy.Name}, workers) {
		at := a.hostOf(name)
		h := a.hosts[at]
		if worker, ok := a.config.Stack.Worker(name); ok {
			h = h.as(targetOf(&worker.Host))
		}
		a.works = append(a.works, &work{
			host: h, at: at, role: h.Role, teller: teller, command: rotateCommand, outcome: HostOutcome{Name: name},
			did: "the rotation is not finished there, and the old secret stays good; run rotate-secret again: it goes on from there",
		})
	}
}

// quiet passes on what somebody has to know of the single steps of a rotation.
func (s *Session) quiet() *teller {
	return &teller{events: func(event Event) {
		if event.Phase == Locking || event.Phase == Failed {
			s.teller.tell(event)
		}
	}}
}

// look looks again at works that are going well, and proposes with the others
// out of sight.
func (a *apply) look(ctx context.Context, rotate map[string]desired.Rotation) (*proposal, error) {
	v := a.planned.sight
	again, want := map[string]looker{}, map[string][]plan.Resource{}
	for _, work := range a.works {
		if work.failure != nil {
			v.drop(work.failure)
			continue
		}
		again[work.at] = a.hosts[work.at]
		want[work.at] = a.planned.proposal.desired[work.at].Want
	}
	v.lookAll(ctx, again, want)
	p := a.proposer()
	p.rotate = rotate
	v.refuseFalse(p)
	made, err := p.propose(v, nil, true, connections{})
	for i, work := range a.works {
		if i == 0 || work.at != a.works[0].at { // else it is told of the proxy
			work.stop(v.failed[work.at])
		}
	}
	return made, err
}

// bringOnly does the steps of a proposal on a work that belong to a rotation.
func (a *apply) bringOnly(ctx context.Context, work *work, from *proposal, belongs func(plan.Change) bool) {
	if work.failure != nil {
		return
	}
	todo := slices.DeleteFunc(steps(from.plan(work.at)), func(c plan.Change) bool { return !belongs(c) })
	work.outcome.Steps += len(todo)
	if work.putBlobs(ctx, todo, a.blobs(from, work)) {
		work.do(ctx, todo)
	}
}
