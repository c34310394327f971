package host

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// Observe looks at what is asked for, at all that the manifest names and at
// the units that hold ports. It changes nothing on the machine.
func (h *Host) Observe(ctx context.Context, params hostapi.Observe) (hostapi.Observation, error) {
	if err := h.requireSupported(); err != nil {
		return hostapi.Observation{}, err
	}
	// First of all: who holds the lock by now may change what is seen.
	holder, cutOff, err := h.lockHolder()
	if err != nil {
		return hostapi.Observation{}, err
	}
	manifest, err := h.loadManifest()
	if err != nil {
		return hostapi.Observation{}, err
	}
	key, err := h.mac()
	if err != nil {
		return hostapi.Observation{}, err
	}
	observation := hostapi.Observation{MACKey: key, Facts: plan.Facts{Manifest: manifest}}
	if err := h.tellHolder(&observation, holder, cutOff); err != nil {
		return hostapi.Observation{}, err
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
	if observation.Facts.Resources, err = h.observeAll(ctx, manifest, asked); err != nil {
		return hostapi.Observation{}, err
	}
	return observation, nil
}

// tellHolder tells who holds the lock, or else who was cut off and where.
func (h *Host) tellHolder(observation *hostapi.Observation, holder, cutOff *signature) error {
	if holder != nil {
		observation.Holder = &holder.LockHolder
	}
	if cutOff == nil {
		return nil
	}
	observation.CutOff = &cutOff.LockHolder
	past, steps, _, err := h.loadSteps(cutOff.Number)
	observation.CutOffAt = endOf(past, steps).At
	return err
}

func (h *Host) observeAll(ctx context.Context, manifest *plan.Manifest, asked []plan.Resource) ([]plan.Fact, error) {
	manifest, err := h.withMaking(ctx, manifest)
	if err != nil {
		return nil, err
	}
	resources := withManifest(asked, manifest)
	view := h.newLook(manifest)
	for _, resource := range resources {
		if resource.Kind == plan.KindUnit {
			view.unitNames = append(view.unitNames, resource.Name)
		}
	}
	facts := make([]plan.Fact, 0, len(resources))
	for _, resource := range resources {
		fact, err := h.observeOne(ctx, view, resource)
		if err != nil {
			return nil, err
		}
		facts = append(facts, fact)
	}
	return h.withOverrides(ctx, view, facts)
}

// withOverrides adds the files that the units among facts are overridden by.
func (h *Host) withOverrides(ctx context.Context, view *look, facts []plan.Fact) ([]plan.Fact, error) {
	for _, unit := range facts {
		for _, over := range unit.Overrides {
			id := plan.ID{Kind: plan.KindFile, Name: over.Path}
			if slices.ContainsFunc(facts, func(fact plan.Fact) bool { return fact.ID == id }) {
				continue
			}
			fact, err := h.observeOne(ctx, view, plan.Resource{ID: id})
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
			if id := (plan.ID{Kind: plan.KindUnit, Name: name}); checkName(id) == nil {
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

func (h *Host) observeOne(ctx context.Context, view *look, resource plan.Resource) (plan.Fact, error) {
	if err := checkName(resource.ID); err != nil {
		return plan.Fact{}, err
	}
	worker, ok := h.worker(resource.Kind)
	if !ok {
		return plan.Fact{}, badRequest("unknown kind of resource %q", resource.Kind)
	}
	fact := plan.Fact{ID: resource.ID, Applied: findApplied(view.manifest, resource.ID)}
	// A secret file stays one when it has left the stack.
	if fact.Applied != nil && strings.HasPrefix(fact.Applied.Have[plan.AttrContent], plan.MACPrefix) {
		resource.Sensitive = true
	}
	if err := worker.observe(ctx, view, resource, &fact); err != nil {
		return plan.Fact{}, fmt.Errorf("look at %s: %w", resource.ID, err)
	}
	return fact, nil
}
