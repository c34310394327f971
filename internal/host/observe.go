package host

import (
	"context"
	"fmt"
	"slices"

	"github.com/relayctl/relayctl/internal/host/kind"
	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// Observe looks at what is asked for, at all that the manifest names and at
// the units that hold ports. It changes nothing on the machine.
func (h *Host) Observe(ctx context.Context, params hostapi.Observe) (hostapi.Observation, error) {
	if err := h.requireSupported(); err != nil {
		return hostapi.Observation{}, err
	}
	journal, held, err := h.remembered()
	if err != nil {
		return hostapi.Observation{}, err
	}
	key, err := h.store.MACKey()
	if err != nil {
		return hostapi.Observation{}, err
	}
	observation := hostapi.Observation{MACKey: key, Facts: plan.Facts{Manifest: journal.Manifest()}}
	if h.session == nil {
		tellHolder(&observation, journal, held)
	}
	if observation.Facts.Machine, err = h.Describe(); err != nil {
		return hostapi.Observation{}, err
	}
	if observation.Facts.Listeners, err = h.Listeners(ctx); err != nil {
		return hostapi.Observation{}, err
	}
	asked, err := h.withHolders(ctx, params.Resources, observation.Facts.Listeners)
	if err != nil {
		return hostapi.Observation{}, err
	}
	if observation.Facts.Resources, err = h.observeAll(ctx, journal, asked); err != nil {
		return hostapi.Observation{}, err
	}
	return observation, nil
}

// tellHolder tells who holds the lock, or else who was cut off and where.
func tellHolder(observation *hostapi.Observation, journal *record.Journal, held bool) {
	begun, ok := journal.Begun()
	switch {
	case held:
		observation.Holder = holderOf(begun) // of nobody, where somebody just came
	case ok:
		past, _ := journal.CutOff()
		observation.CutOff, observation.CutOffAt = holderOf(begun), past.At
	}
}

func (h *Host) observeAll(ctx context.Context, journal *record.Journal, asked []plan.Resource) ([]plan.Fact, error) {
	manifest, err := h.withPending(ctx, journal)
	if err != nil {
		return nil, err
	}
	resources := withManifest(asked, manifest)
	look := h.look(journal)
	look.Manifest = manifest
	for _, resource := range resources {
		if resource.Kind.Describe().Runs {
			look.Units = append(look.Units, resource.Name)
		}
	}
	facts := make([]plan.Fact, 0, len(resources))
	for _, resource := range resources {
		fact, err := look.Observe(ctx, resource)
		if err != nil {
			return nil, err
		}
		facts = append(facts, fact)
	}
	return withOverrides(ctx, look, facts)
}

// withOverrides adds the files that the units among facts are overridden by.
func withOverrides(ctx context.Context, look *kind.Look, facts []plan.Fact) ([]plan.Fact, error) {
	for _, unit := range facts {
		for _, over := range unit.Overrides {
			id := plan.ID{Kind: plan.KindFile, Name: over.Path}
			if slices.ContainsFunc(facts, func(fact plan.Fact) bool { return fact.ID == id }) {
				continue
			}
			fact, err := look.Observe(ctx, plan.Resource{ID: id})
			if err != nil {
				return nil, err
			}
			facts = append(facts, fact)
		}
	}
	return facts, nil
}

// withHolders adds to resources the units that would take the place of one, that
// hold ports, that start those, and that a socket starts.
func (h *Host) withHolders(ctx context.Context, resources []plan.Resource, listeners []plan.Listener) ([]plan.Resource, error) {
	var holders []string
	for _, listener := range listeners {
		if listener.Unit != "" && !slices.Contains(holders, listener.Unit) {
			holders = append(holders, listener.Unit)
		}
	}
	states, err := h.Systemd.Units(ctx, holders)
	if err != nil {
		return nil, fmt.Errorf("ask systemd for units: %w", err)
	}
	all := slices.Clone(resources)
	for _, resource := range resources {
		if resource.Unit != nil {
			for _, rival := range resource.Unit.Rivals {
				all = append(all, plan.Resource{ID: plan.ID{Kind: plan.KindUnit, Name: rival}})
			}
		}
	}
	for i, state := range states {
		for _, name := range slices.Concat(holders[i:i+1], state.TriggeredBy, state.Triggers) {
			if id := (plan.ID{Kind: plan.KindUnit, Name: name}); h.kinds.CheckName(id) == nil {
				all = append(all, plan.Resource{ID: id})
			}
		}
	}
	return all, nil
}

// withManifest adds to resources what else the manifest names.
func withManifest(resources []plan.Resource, manifest *plan.Manifest) []plan.Resource {
	seen := map[plan.ID]bool{}
	all := make([]plan.Resource, 0, len(resources))
	for _, resource := range resources {
		if !seen[resource.ID] {
			seen[resource.ID] = true
			all = append(all, resource)
		}
	}
	if manifest == nil {
		return all
	}
	for _, entry := range manifest.Resources {
		if !seen[entry.ID] {
			seen[entry.ID] = true
			all = append(all, plan.Resource{ID: entry.ID})
		}
	}
	return all
}
