package engine

import (
	"fmt"
	"maps"
	"slices"

	"github.com/relayctl/relayctl/internal/plan"
)

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
