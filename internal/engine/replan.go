package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/relayctl/relayctl/internal/plan"
)

// replan looks again at the hosts that were changed, and works out what is left
// to do, with those that failed out of sight. It has to be a part of what was
// left before.
func (j *job) replan(ctx context.Context, propose func() (*proposal, error)) {
	observed := j.planned.observed
	want := map[string][]plan.Resource{}
	for _, a := range j.parts {
		switch {
		case a.failure != nil:
			observed.drop(a.failure)
		case j.changed[a.at]:
			want[a.at] = j.left.desired[a.at].Want
		}
	}
	clear(j.changed)
	j.lookAll(ctx, observed, slices.Collect(maps.Keys(want)), want)
	observed.refuseFalse(j.proposer())
	left, err := propose()
	if err != nil {
		j.onProxy().stop(j.onProxy().host.fail("work out what is left to do: "+err.Error(), err))
		return
	}
	for _, a := range j.parts {
		if !a.isGuest() { // else it is told of the proxy host
			a.stop(observed.failed[a.at])
		}
		if !j.rotates {
			a.stop(refines(a.host.Target, j.left.plan(a.at), left.plan(a.at)))
		}
	}
	j.left = left
}

// isOutdated reports whether somebody applied to a host since it was seen, or
// was about to: last is the number in its manifest now. Where an apply was cut
// off, what it had started may go on, such as apt.
func (v *observed) isOutdated(name string, last int) bool {
	seen, number := v.seen[name], 0
	if seen.Facts.Manifest != nil {
		number = seen.Facts.Manifest.Number
	}
	return seen.Holder != nil || seen.CutOff != nil || number != last
}

// refines says what of a refined plan was not in the plan that the user saw;
// nil: it is a part of it, with values that are known by now.
func refines(target Target, planned, refined plan.HostPlan) *HostError {
	for _, change := range refined.Changes {
		if change.Block == "" && (!change.Counts() || slices.ContainsFunc(planned.Changes, covers(change)) ||
			slices.ContainsFunc(planned.Changes, leadsTo(change))) {
			continue
		}
		failure := target.fail(fmt.Sprintf("%s is no longer as the plan found it", change.ID), ErrChangedSince)
		failure.Resource = change.ID
		failure.Hint = "Something changed on the host meanwhile. Look again: relayctl plan"
		return failure
	}
	return nil
}

// covers reports whether a planned change is at least what a refined one does.
func covers(refined plan.Change) func(plan.Change) bool {
	return func(planned plan.Change) bool {
		return planned.ID == refined.ID && planned.Action == refined.Action &&
			!slices.ContainsFunc(refined.Attributes, func(attr plan.AttrChange) bool {
				return !slices.ContainsFunc(planned.Attributes, func(before plan.AttrChange) bool {
					return before.Name == attr.Name && before.Before == attr.Before &&
						(!before.After.IsKnown() || before.After == attr.After)
				})
			})
	}
}

// leadsTo reports whether a refined change brings about what a planned one was
// to bring about, from what an apply or a package left meanwhile: what is lost
// then is nobody's edit.
func leadsTo(refined plan.Change) func(plan.Change) bool {
	fact := refined.Fact
	nobodys := !fact.Exists || fact.Pristine || fact.Kind.Describe().Runs ||
		fact.Applied != nil && maps.Equal(fact.Applied.Have, fact.Have)
	return func(planned plan.Change) bool {
		return nobodys && !refined.Adopt && planned.ID == refined.ID && planned.Counts() &&
			(planned.Action == plan.Remove) == (refined.Action == plan.Remove)
	}
}
