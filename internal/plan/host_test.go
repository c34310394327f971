package plan_test

import (
	"slices"

	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/test/plans"
)

// The hosts of the tests, by short names.
var (
	applied12      = plans.Applied12
	id             = plans.ID
	want           = plans.Want
	attrs          = plans.Attrs
	as             = plans.As
	found          = plans.Found
	proxyWants     = plans.ProxyWants
	asWanted       = plans.AsWanted
	edge           = plans.Edge
	foreign        = plans.Foreign
	have           = plans.Have
	left           = plans.Left
	with           = plans.With
	messyListeners = plans.MessyListeners
	hand           = plans.Hand
	cutOffHost     = plans.CutOffHost
	overriddenEdge = plans.OverriddenEdge
)

const (
	shopDropIn  = plans.ShopDropIn
	proxyDropIn = plans.ProxyDropIn
)

// memory is a host in memory that changes can be applied to: the plainest
// reading of what each action means.
type memory struct {
	facts map[plan.ID]plan.Fact
	apply int
}

func newMemory(facts ...plan.Fact) *memory {
	m := &memory{facts: map[plan.ID]plan.Fact{}}
	for _, f := range facts {
		m.facts[f.ID] = f
	}
	return m
}

// observe returns the facts in no particular order, as a host may.
func (m *memory) observe() plan.Facts {
	facts := plan.Facts{Manifest: &plan.Manifest{Number: m.apply}}
	for _, f := range m.facts {
		facts.Resources = append(facts.Resources, f)
	}
	return facts
}

func (m *memory) do(p plan.HostPlan) {
	m.apply++
	for _, c := range p.Changes {
		m.step(c)
	}
}

func (m *memory) step(c plan.Change) {
	fact := m.facts[c.ID]
	fact.ID = c.ID
	switch c.Action {
	case plan.Create, plan.Update:
		made := !fact.Exists || fact.Applied != nil && fact.Applied.Made
		before := fact.Have
		fact.Exists, fact.Stale, fact.Have = true, nil, wanted(c)
		fact.Applied = m.entry(c.ID, fact.Have, made)
		if c.Adopt {
			fact.Applied.Taken = &plan.TakenOver{Number: m.apply, Time: applied12, Before: before}
		}
		m.forgetLoaded(c.ID)
	case plan.Take:
		fact.Applied = m.entry(c.ID, fact.Have, false)
	case plan.Restart, plan.Reload:
		fact.Stale = nil
	case plan.Forget:
		fact.Applied = nil
	case plan.Remove:
		delete(m.facts, c.ID)
		return
	case plan.Attention:
		return
	}
	m.facts[c.ID] = fact
}

func (m *memory) entry(id plan.ID, have map[string]string, made bool) *plan.Applied {
	return &plan.Applied{ID: id, Have: have, Made: made, Number: m.apply, Time: applied12}
}

// forgetLoaded makes every running unit stale for a thing that changed; a
// restart that is not planned then shows in the next plan.
func (m *memory) forgetLoaded(changed plan.ID) {
	for id, f := range m.facts {
		if id.Kind == plan.KindUnit && id != changed && f.Have[plan.AttrRunning] == plan.Yes && reads(id, changed) {
			f.Stale = append(f.Stale, changed)
			m.facts[id] = f
		}
	}
}

// reads says which of the test stack's units load what.
func reads(unit, changed plan.ID) bool {
	for _, r := range proxyWants() {
		if r.ID == unit && r.Unit != nil {
			return slices.Contains(append(r.Unit.Restart, r.Unit.Reload...), changed) ||
				r.Unit.Program != nil && *r.Unit.Program == changed
		}
	}
	return false
}

func wanted(c plan.Change) map[string]string {
	have := map[string]string{}
	for name, value := range c.Resource.Want {
		have[name] = value.Text
	}
	return have
}

// steps writes changes one a line, without what a host sees of them.
func steps(p plan.HostPlan) []string {
	var lines []string
	for _, c := range p.Changes {
		line := string(c.Action) + " " + c.ID.String()
		for _, r := range c.Reasons {
			line += ", " + r
		}
		if c.Block != "" {
			line += " BLOCK " + c.Block
		}
		if c.Adoptable {
			line += " (adoptable)"
		}
		if c.Adopt {
			line += " (adopted)"
		}
		lines = append(lines, line)
	}
	return lines
}

// planOf plans what has an order.
func planOf(h plan.Host) plan.HostPlan {
	p, err := plan.Diff(h)
	if err != nil {
		panic(err)
	}
	return p
}
