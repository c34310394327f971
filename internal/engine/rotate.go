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
	if failure := planned.observed.failed[proxy]; failure != nil {
		return nil, HostErrors{failure}
	}
	if planned.observed.seen[proxy].Facts.Manifest == nil {
		return nil, ErrNotApplied
	}
	r := &Rotation{RotateRequest: request, Stack: s.config.Stack.Name, planned: planned}
	if request.Key == "" {
		r.chooseWorkers(s)
	}
	if len(r.Workers) == 0 && len(r.Failed) > 0 {
		return nil, r.Failed
	}
	if err := r.refuseDrift(s, proxy); err != nil {
		return nil, err
	}
	return r, r.plan(proxy)
}

// plan has an API key made where one is rotated, and no other one.
func (r *Rotation) plan(proxy string) error {
	propose := r.planned.propose
	return r.planned.take(func(prepared bool) (*proposal, error) {
		made, err := propose(prepared)
		if err != nil {
			return nil, err
		}
		made.keys = nil
		if r.Key != "" {
			made.keys = []string{r.Key}
			if facts := r.planned.observed.seen[proxy].Facts; !facts.Find(plan.ID{Kind: plan.KindKey, Name: r.Key}).Exists {
				return nil, fmt.Errorf("rotate the key %s: %w", r.Key, ErrNotApplied)
			}
		}
		return made, nil
	})
}

// chooseWorkers finds the workers that are asked for.
func (r *Rotation) chooseWorkers(s *Session) {
	in := r.planned.observed.input(s.proposer())
	for _, worker := range s.config.Stack.Workers {
		switch failure := r.planned.observed.failed[s.hostOf(worker.Name)]; {
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
// are worked on. A rotation of another worker that is not finished is in nobody's
// way.
func (r *Rotation) refuseDrift(s *Session, proxy string) error {
	isRotation := func(change plan.Change) bool {
		return r.Key != "" && desired.IsKeyRotation(r.Key, change) ||
			slices.ContainsFunc(s.config.Stack.Workers, func(w *stack.Worker) bool { return desired.Rotates(w.Name, change) })
	}
	for _, h := range r.planned.Hosts {
		involved := h.Name == proxy || slices.ContainsFunc(r.Workers, func(w RotatingWorker) bool { return w.Name == h.Name })
		for _, change := range h.Changes {
			if involved && (change.Counts() || change.Block != "") && !isRotation(change) {
				return fmt.Errorf("%s %w: %s", h.Name, ErrDrift, change.ID)
			}
		}
	}
	return nil
}

// Rotate does what was planned. When ctx ends or something fails, what stands
// is a rotation that the next one finishes: until it is proved that a new
// secret is used, the old one stays good, so that no request fails meanwhile.
//
// show is called once, as for Apply, with the outcome, which is not nil.
func (s *Session) Rotate(ctx context.Context, r *Rotation, show func(*Rotated) error) (*Rotated, error) {
	if len(r.planned.proposal.keys) > 0 && s.config.Keys == nil {
		return &Rotated{}, ErrNoDelivery
	}
	j := s.newJob(r.planned, rotateCommand)
	j.outcome.Failed = slices.Clone(r.Failed)
	j.rotates = true
	j.events = &teller{events: func(event Event) {
		if event.Phase == Locking || event.Phase == Failed { // else the single steps of a rotation are nobody's concern
			s.teller.tell(event)
		}
	}}
	j.did = "the rotation is not finished there, and the old secret stays good; run rotate-secret again: it goes on from there"
	proxy := s.config.Stack.Proxy.Name
	j.take(s.hosts[proxy], proxy, plan.RoleProxy, 0)
	rotated := &Rotated{}
	stages := (&keyRotation{job: j, RotateRequest: r.RotateRequest, rotated: rotated}).stages
	if r.Key == "" {
		stages = newWorkerRotation(j, r, rotated).stages
	}
	err := j.run(ctx, stages(), func(outcome *Outcome) error {
		rotated.Outcome = *outcome
		return show(rotated)
	})
	rotated.Outcome = *j.outcome
	return rotated, err
}
