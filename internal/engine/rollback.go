package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/relayctl/relayctl/internal/desired"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/stack"
)

// ErrNothingToUndo means that no apply has changed anything since the one that
// is to be gone back to.
var ErrNothingToUndo = errors.New("there is nothing to undo")

// LastChange is the number by which PlanRollback undoes the last apply that
// changed anything.
const LastChange = -1

// Rollback is what a rollback would do.
type Rollback struct {
	*Planned
	To   int // number of the apply after which hosts were as they will be; 0: before the first
	Last int // of the last apply that is undone
}

// PlanRollback looks at all hosts, and says what makes them, and those that the
// proxy host remembers, as they were after an apply. It changes nothing.
func (s *Session) PlanRollback(ctx context.Context, to int) (*Rollback, error) {
	planned, err := s.observe(ctx)
	if err != nil {
		return nil, err
	}
	planned.Failed, planned.Stays = slices.Concat(planned.Failed, planned.Stays), nil // it is for every host
	if failure := planned.observed.failed[s.config.Stack.Proxy.Name]; failure != nil {
		return nil, HostErrors{failure}
	}
	r := &Rollback{Planned: planned, To: to}
	if to == LastChange {
		r.To = maxNumber // which nothing comes after, so that only the last one is told
		if _, err := s.askFormers(ctx, r); err != nil {
			return nil, err
		}
		switch r.To = r.Last - 1; {
		case r.Last == 0 && len(r.Failed) > 0:
			return nil, r.Failed // there may be something on these
		case r.Last == 0:
			return nil, ErrNothingToUndo
		}
	}
	told, err := s.askFormers(ctx, r)
	switch {
	case err != nil:
		return nil, err
	case r.Last <= r.To && len(r.Failed) == 0: // else hosts that are away may have something
		return nil, ErrNothingToUndo
	}
	return r, planned.take(func(bool) (*proposal, error) { return s.goBack(planned, told) })
}

// goBack proposes what undoes what hosts tell of.
func (s *Session) goBack(planned *Planned, told map[string]hostapi.FormerTold) (*proposal, error) {
	made := &proposal{Plan: plan.Plan{Stack: s.config.Stack.Name}, desired: map[string]desired.Host{}}
	s.addAll(made, planned, func(h plan.Host) (plan.Host, []plan.Change) {
		h, notes := plan.Back(h, told[h.Name].Formers)
		made.desired[h.Name] = desired.Host{Name: h.Name, Want: h.Want}
		return h, notes
	})
	return made, nil
}

// askFormers asks the hosts that were seen how they were after the apply r.To,
// and finds the last one that changed them. A host that can't be asked fails; one
// whose record does not go back that far stops all.
func (s *Session) askFormers(ctx context.Context, r *Rollback) (map[string]hostapi.FormerTold, error) {
	var names []string // in the order of the stack
	for _, target := range slices.Concat(s.targets, r.departed) {
		if r.observed.seen[target.Name].Facts.Manifest != nil {
			names = append(names, target.Name)
		}
	}
	told, failed := askAll(s, names, func(h *host) (hostapi.FormerTold, *HostError) {
		told, err := h.client.Former(ctx, hostapi.Former{To: r.To})
		if err != nil {
			return told, h.requestError(ctx, "ask how it was", err)
		}
		return told, h.checkFormers(told)
	})
	for _, name := range names {
		failure, said := failed[name], (*hostapi.Error)(nil)
		switch {
		case failure == nil:
			r.Last = max(r.Last, told[name].Last)
		case errors.As(failure, &said) && said.Code == hostapi.CodeBadRequest, name == s.config.Stack.Proxy.Name:
			return nil, HostErrors{failure}
		default:
			r.observed.drop(failure)
			r.Failed = append(r.Failed, failure)
		}
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("ask how hosts were: %w", context.Cause(ctx))
	}
	return told, nil
}

// Rollback does what was planned, in the opposite order of an apply: the workers,
// then the proxy host. In the end it asks for a token every model that the relay
// has then. show is called, and errors are, as for Apply.
func (s *Session) Rollback(ctx context.Context, r *Rollback, show func(*Outcome) error) (*Outcome, error) {
	j := s.newJob(r.Planned, "rollback")
	if err := j.mayBegin(); err != nil {
		return j.outcome, err
	}
	if r.Plan.Empty() {
		j.proveFormer(ctx)
		return j.outcome, j.runNothing(show)
	}
	j.summary = fmt.Sprintf("undid applies %d to %d", r.To+1, r.Last)
	if r.Last == r.To+1 {
		j.summary = fmt.Sprintf("undid apply %d", r.Last)
	}
	j.takeAll()
	return j.outcome, j.run(ctx, []stage{
		{hosts: j.parts[1:], last: true},
		{hosts: j.parts[:1], waits: "the workers", last: true},
		{gate: j.proveFormer},
	}, show)
}

// proveFormer makes the proof of a rollback, if a relay is left: of what the
// relay itself serves by now, under the name that its certificate has, since the
// stack file tells of another state.
func (j *job) proveFormer(ctx context.Context) bool {
	proxy := j.proxy()
	isRelay := func(r plan.Resource) bool { return r.ID == relayUnit }
	if !slices.ContainsFunc(j.left.desired[proxy.Name].Want, isRelay) {
		return true
	}
	name := j.config.Stack.Proxy.Domain
	ca := j.planned.observed.seen[proxy.Name].Facts.Find(internalCA)
	if address, ok := stack.Address(ca.Have[plan.AttrDomain]); ok && address == ca.Have[plan.AttrDomain] {
		name = address
	}
	var models []string
	status, err := proxy.relayStatus(ctx)
	if err != nil {
		models = j.config.Stack.ModelNames() // that it does not answer is told of each
	}
	for _, model := range status.Models {
		models = append(models, model.Name)
	}
	return j.proveOf(ctx, name, models)
}
