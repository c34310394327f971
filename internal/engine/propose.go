package engine

import (
	"fmt"
	"maps"
	"slices"

	"github.com/relayctl/relayctl/internal/desired"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/stack"
)

// proposal is a plan and the desired state that it leads to.
type proposal struct {
	plan.Plan
	desired map[string]desired.Host
	keys    []string // API keys that are to be made
}

// proposer turns what was seen into a proposal. It touches no host.
type proposer struct {
	stack    *stack.Stack
	onProxy  string // the worker on the proxy's machine; empty: none is
	programs Programs
	adopt    bool
	departed []Target                    // hosts that left the stack file
	rotate   map[string]desired.Rotation // by worker
	prepared bool                        // hosts should have made by now what others wait for
	open     connections                 // of workers to the relay, just now
}

// blind is what desired states follow from before anything was seen.
func (p proposer) blind() desired.Input {
	return desired.Input{Stack: p.stack, OnProxy: p.onProxy, Program: p.programs.Describe}
}

// propose says what leads from what was seen to what the stack file says. Hosts
// that should have made something by now, and have not, are dropped.
func (p proposer) propose(v *observed) (*proposal, error) {
	in := v.input(p)
	hosts, err := desired.Build(in)
	if err != nil {
		return nil, fmt.Errorf("work out what hosts should be: %w", err)
	}
	if p.prepared {
		if blamed := v.unmade(p, hosts); len(blamed) > 0 {
			for _, failure := range blamed {
				v.drop(failure)
			}
			return p.propose(v)
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
		err := made.add(plan.Host{
			Name: h.Name, Address: h.Address, Role: h.Role, Worker: h.Worker, Want: h.Want, Ports: h.Ports,
			Facts: seen.Facts, Adopt: p.adopt, WorkerConnections: p.open.all, DirectConnections: p.open.direct,
		})
		if err != nil {
			return nil, err
		}
	}
	if p.prepared {
		for i := range made.Hosts {
			made.Hosts[i].Changes = slices.DeleteFunc(made.Hosts[i].Changes, waitsToBeShown)
		}
	}
	if len(p.rotate) == 0 {
		made.describeRotations(in)
	}
	for _, gone := range p.departed {
		seen, ok := v.seen[gone.Name]
		if !ok {
			continue
		}
		if err := made.add(plan.Host{Name: gone.Name, Address: gone.Address, Role: plan.RoleDeparted, Facts: seen.Facts}); err != nil {
			return nil, err
		}
	}
	for _, change := range made.plan(p.stack.Proxy.Name).Changes {
		if makesKey(change) {
			made.keys = append(made.keys, change.ID.Name)
		}
	}
	return made, nil
}

// add plans one host more.
func (m *proposal) add(host plan.Host, notes ...plan.Change) error {
	todo, err := plan.Diff(host)
	if err != nil {
		return fmt.Errorf("plan %s: %w", host.Name, err)
	}
	todo.Changes = append(todo.Changes, notes...)
	m.Hosts = append(m.Hosts, todo)
	return nil
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

// closing are a host's changes that close the connections of workers.
func (m *proposal) closing(name string) []*plan.Change {
	var list []*plan.Change
	changes := m.plan(name).Changes
	for i, c := range changes {
		if c.Counts() && c.Resource != nil && c.Resource.Unit != nil &&
			(c.Resource.Unit.Drain != "" || c.Resource.Unit.Lifecycle == plan.LifecycleRelay && c.Action == plan.Restart) {
			list = append(list, &changes[i])
		}
	}
	return list
}
