package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/relayctl/relayctl/internal/desired"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/stack"
)

// sight is what was seen of the hosts, and why some were not.
type sight struct {
	seen   map[string]hostapi.Observation
	failed map[string]*HostError
}

// lookAll looks at hosts side by side and adds what it saw to the sight.
func (v *sight) lookAll(ctx context.Context, hosts map[string]looker, want map[string][]plan.Resource) {
	var mu sync.Mutex
	var looks sync.WaitGroup
	for name, h := range hosts {
		looks.Go(func() {
			seen, failure := h.look(ctx, want[name])
			mu.Lock()
			defer mu.Unlock()
			if failure != nil {
				v.drop(failure)
				return
			}
			v.seen[name] = seen
		})
	}
	looks.Wait()
}

// drop takes a host out of the sight because of a failure.
func (v *sight) drop(failure *HostError) {
	delete(v.seen, failure.Host)
	v.failed[failure.Host] = failure
}

// proposal is a plan and the desired state that it leads to.
type proposal struct {
	plan.Plan
	desired map[string]desired.Host
}

// proposer turns what was seen into a proposal. It touches no host.
type proposer struct {
	stack    *stack.Stack
	onProxy  string // the worker on the proxy's machine; empty: none is
	programs Programs
	adopt    bool
	rotate   map[string]desired.Rotation // by worker
}

// input is what was seen, as desired states follow from it.
func (v *sight) input(p proposer) desired.Input {
	in := p.blind()
	in.Hosts, in.Rotate = map[string]desired.Seen{}, p.rotate
	for name, seen := range v.seen {
		in.Hosts[name] = desired.Seen{Facts: seen.Facts, MACKey: seen.MACKey}
	}
	return in
}

// blind is what desired states follow from before anything was seen.
func (p proposer) blind() desired.Input {
	return desired.Input{Stack: p.stack, OnProxy: p.onProxy, Program: p.programs.Describe}
}

// propose says what leads from what was seen to what the stack file says. Hosts
// that should have made something by now, and have not, are dropped.
// departed are hosts that left it; open is how many workers are connected to
// the relay just now.
func (p proposer) propose(v *sight, departed []Target, prepared bool, open connections) (*proposal, error) {
	in := v.input(p)
	in.Prepared = prepared
	hosts, err := desired.Build(in)
	if err != nil {
		return nil, fmt.Errorf("work out what hosts should be: %w", err)
	}
	if prepared {
		if blamed := v.unmade(p, hosts); len(blamed) > 0 {
			for _, failure := range blamed {
				v.drop(failure)
			}
			return p.propose(v, departed, prepared, open)
		}
	}
	made := &proposal{Plan: plan.Plan{Stack: p.stack.Name}, desired: map[string]desired.Host{}}
	for _, h := range hosts {
		seen, ok := v.seen[h.Name]
		if !ok {
			continue
		}
		h.Want = settle(h.Want, seen.Facts, v.failed)
		made.desired[h.Name] = h
		todo, err := plan.Diff(plan.Host{
			Name: h.Name, Address: h.Address, Role: h.Role, Worker: h.Worker, Want: h.Want, Ports: h.Ports,
			Facts: seen.Facts, Adopt: p.adopt, WorkerConnections: open.all, DirectConnections: open.direct,
		})
		if err != nil {
			return nil, fmt.Errorf("plan %s: %w", h.Name, err)
		}
		if prepared {
			todo.Changes = slices.DeleteFunc(todo.Changes, waitsToBeShown)
		}
		made.Hosts = append(made.Hosts, todo)
	}
	if len(p.rotate) == 0 {
		made.describeRotations(in)
	}
	for _, gone := range departed {
		seen, ok := v.seen[gone.Name]
		if !ok {
			continue
		}
		todo, err := plan.Diff(plan.Host{Name: gone.Name, Address: gone.Address, Role: plan.RoleDeparted, Facts: seen.Facts})
		if err != nil {
			return nil, fmt.Errorf("plan %s: %w", gone.Name, err)
		}
		made.Hosts = append(made.Hosts, todo)
	}
	return made, nil
}

// waitsToBeShown reports whether a change is about a key that was just made:
// all that it lacks is being shown, which is noted at the end of the apply.
func waitsToBeShown(change plan.Change) bool {
	return len(change.Attributes) == 1 && change.Attributes[0].Name == plan.AttrShown
}

// wanted is what to look for on each host before anything is known.
func (p proposer) wanted() (map[string][]plan.Resource, error) {
	hosts, err := desired.Build(p.blind())
	if err != nil {
		return nil, fmt.Errorf("work out what hosts should be: %w", err)
	}
	want := map[string][]plan.Resource{}
	for _, h := range hosts {
		want[h.Name] = h.Want
	}
	return want, nil
}

// settle leaves alone what waits for a host that can't be worked on now: such
// a thing stays as it is, and what is not there yet is not made.
func settle(want []plan.Resource, facts plan.Facts, failed map[string]*HostError) []plan.Resource {
	var settled []plan.Resource
	for _, resource := range want {
		fact := facts.Find(resource.ID)
		kept := maps.Clone(resource.Want)
		waits := false
		for attr, value := range resource.Want {
			if failed[value.MadeOn] != nil {
				waits = true
				kept[attr] = plan.Known(fact.Have[attr])
			}
		}
		if waits && !fact.Exists {
			continue
		}
		resource.Want = kept
		settled = append(settled, resource)
	}
	return settled
}

// plan is a host's part of the proposal; empty where it has none.
func (m *proposal) plan(name string) plan.HostPlan {
	for _, h := range m.Hosts {
		if h.Name == name {
			return h
		}
	}
	return plan.HostPlan{Name: name}
}

// drains reports whether a host's plan closes the connections of workers.
func (m *proposal) drains(name string) bool {
	return slices.ContainsFunc(m.plan(name).Changes, closesWorkers)
}

// note adds a note to the changes of a host that close the connections of
// workers.
func (m *proposal) note(name, text string) {
	changes := m.plan(name).Changes
	for i := range changes {
		if closesWorkers(changes[i]) {
			changes[i].Notes = append(changes[i].Notes, text)
		}
	}
}

func closesWorkers(c plan.Change) bool {
	return c.Counts() && c.Resource != nil && c.Resource.Unit != nil &&
		(c.Resource.Unit.Drain != "" || c.Resource.Unit.Lifecycle == plan.LifecycleRelay && c.Action == plan.Restart)
}

// steps lists what a host has to be asked to do: all but what is for people
// only.
func steps(p plan.HostPlan) []plan.Change {
	return slices.DeleteFunc(slices.Clone(p.Changes), func(c plan.Change) bool { return c.Action == plan.Attention })
}
