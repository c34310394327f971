package engine

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/relayctl/relayctl/internal/plan"
)

// ErrStillThere means that the proxy host was left as it is, since only it
// remembers hosts that are not clean yet.
var ErrStillThere = errors.New("other hosts are not clean yet")

// PlanDestroy looks at all hosts, and says what takes the stack away from them
// and from those that the proxy host remembers: what relayctl made goes, what it
// took over is given back. purge also takes what clients trust and are known by:
// the CA and the API keys. It changes nothing.
func (s *Session) PlanDestroy(ctx context.Context, purge bool) (*Planned, error) {
	planned, err := s.observe(ctx)
	if err != nil {
		return nil, err
	}
	planned.keepTrust = !purge
	planned.Failed, planned.Stays = slices.Concat(planned.Failed, planned.Stays), nil // it is for every host
	planned.giveUp(s.config.Forget)
	err = planned.take(func(bool) (*proposal, error) {
		made := &proposal{Plan: plan.Plan{Stack: s.config.Stack.Name}}
		s.addAll(made, planned, func(h plan.Host) (plan.Host, []plan.Change) {
			h.Role, h.KeepTrust, h.GiveBack = plan.RoleDeparted, !purge, func(plan.ID) bool { return true }
			return h, nil
		})
		return made, nil
	})
	return planned, err
}

// giveUp takes hosts off the failed ones that are given up as asked.
func (p *Planned) giveUp(names []string) {
	isGivenUp := func(failure *HostError) bool { return slices.Contains(names, failure.Host) }
	for _, failure := range p.Failed {
		if isGivenUp(failure) {
			p.GivenUp = append(p.GivenUp, failure.Host)
		}
	}
	p.Failed = slices.DeleteFunc(p.Failed, isGivenUp)
	p.Unknown = slices.DeleteFunc(p.Unknown, func(name string) bool { return slices.Contains(p.GivenUp, name) })
}

// addAll plans for all hosts that were seen, those that left the stack included,
// as aim says where each has to come. One whose report has no order of work
// fails.
func (s *Session) addAll(made *proposal, planned *Planned, aim func(plan.Host) (plan.Host, []plan.Change)) {
	for _, target := range slices.Concat(s.targets, planned.departed) {
		seen, ok := planned.observed.seen[target.Name]
		if !ok {
			continue
		}
		h := plan.Host{Name: target.Name, Address: target.Address, Role: target.Role, Worker: target.Worker, Facts: seen.Facts}
		if h.Role != plan.RoleProxy {
			h.Role, h.Worker = plan.RoleWorker, target.Name
		}
		h, notes := aim(h)
		if err := made.add(h, notes...); err != nil {
			failure := target.reports("what can't be undone: %v", err)
			planned.observed.drop(failure)
			planned.Failed = append(planned.Failed, failure)
		}
	}
}

// Destroy does what was planned, in the opposite order of an apply: the workers
// and the hosts that left the stack, then the proxy host, unless one of them is
// not clean yet: then that is its failure, an ErrStillThere. show is called, and
// errors are, as for Apply.
func (s *Session) Destroy(ctx context.Context, planned *Planned, show func(*Outcome) error) (*Outcome, error) {
	j := s.newJob(planned, "destroy")
	if err := j.mayBegin(); err != nil {
		return j.outcome, err
	}
	if j.takeAll(); len(j.parts) == 1 && j.manifest() == nil && planned.Empty() {
		return j.outcome, j.runNothing(show) // nothing of ours is anywhere
	}
	return j.outcome, j.run(ctx, []stage{
		{hosts: j.parts[1:], last: true},
		{hosts: j.parts[:1], waits: "the other hosts to be clean", gate: j.othersAreClean, last: true},
	}, show)
}

// othersAreClean is the gate before the proxy host, which remembers the others.
func (j *job) othersAreClean(context.Context) bool {
	var away []string
	for _, failure := range j.planned.Failed {
		away = append(away, failure.Host)
	}
	for _, a := range j.parts[1:] {
		if !a.outcome.OK {
			away = append(away, a.outcome.Name)
		}
	}
	if len(away) == 0 {
		return true
	}
	proxy := j.onProxy()
	failure := proxy.host.fail("it is left as it is: "+strings.Join(away, ", ")+" can't be cleaned now, and only this host remembers that", ErrStillThere)
	failure.Did = "nothing was changed there"
	failure.Hint = "Destroy again when they can be worked on, or give them up: relayctl destroy"
	if !j.planned.keepTrust {
		failure.Hint += " --purge"
	}
	for _, name := range away {
		failure.Hint += " --forget " + name
	}
	proxy.stop(failure)
	return false
}
