package engine

import (
	"context"

	"github.com/relayctl/relayctl/internal/plan"
)

// lookAgain looks again at the hosts, locked by now, to which somebody else
// applied between the plan and the lock. What is left to do has to be a part of
// what was planned; what the other one did is not done twice, and a key that
// the other one made is not made again.
func (a *apply) lookAgain(ctx context.Context) error {
	v := a.planned.sight
	again, want := map[string]looker{}, map[string][]plan.Resource{}
	for _, work := range a.works {
		if name := work.outcome.Name; work.failure != nil {
			v.drop(work.failure)
		} else if v.isOutdated(name, work.last) {
			again[name], want[name] = work.host, a.planned.proposal.desired[name].Want
		}
	}
	if len(again) == 0 {
		return nil
	}
	v.lookAll(ctx, again, want)
	v.refuseFalse(a.proposer())
	left, err := a.proposer().propose(v, a.planned.departed, false, connections{})
	if err != nil {
		return err
	}
	for _, work := range a.works {
		name := work.outcome.Name
		for _, failure := range []*HostError{v.failed[name], refines(work.host.Target, a.planned.proposal.plan(name), left.plan(name))} {
			if failure != nil {
				failure.Did = "nothing was changed there"
				work.stop(failure)
			}
		}
		work.outcome.Steps = countSteps(left.plan(name))
	}
	planned := *a.planned
	planned.Plan, planned.proposal, planned.Keys = left.Plan, left, left.madeKeys(a.config.Stack.Proxy.Name)
	a.planned = &planned
	if failure := a.proxyWork().failure; failure != nil {
		return HostErrors{failure}
	}
	return nil
}

// isOutdated reports whether somebody applied to a host since it was seen, or
// was about to: last is the number in its manifest now. Where an apply was cut
// off, what it had started may go on, such as apt.
func (v *sight) isOutdated(name string, last int) bool {
	seen, number := v.seen[name], 0
	if seen.Facts.Manifest != nil {
		number = seen.Facts.Manifest.Number
	}
	return seen.Holder != nil || seen.CutOff != nil || number != last
}

// madeKeys lists the API keys that are to be made on the proxy host.
func (p *proposal) madeKeys(proxy string) []string {
	var names []string
	for _, change := range p.plan(proxy).Changes {
		if makesKey(change) {
			names = append(names, change.ID.Name)
		}
	}
	return names
}

// countSteps is how many steps a host has, restarts and reloads included.
func countSteps(h plan.HostPlan) (n int) {
	for _, change := range h.Changes {
		if change.Counts() {
			n++
		}
	}
	return n
}
