package plan_test

import (
	"slices"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/plan"
)

var applied12 = time.Date(2026, 11, 20, 9, 14, 0, 0, time.UTC)

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

func id(kind plan.Kind, name string) plan.ID { return plan.ID{Kind: kind, Name: name} }

// want builds a resource from "name=value" pairs.
func want(kind plan.Kind, name string, pairs ...string) plan.Resource {
	r := plan.Resource{ID: id(kind, name), Want: map[string]plan.Value{}}
	for name, value := range attrs(pairs) {
		r.Want[name] = plan.Known(value)
	}
	return r
}

func attrs(pairs []string) map[string]string {
	m := map[string]string{}
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		m[name] = value
	}
	return m
}

// as is the fact of a thing that is exactly as r wants it, left so by apply 12.
func as(r plan.Resource) plan.Fact {
	have := map[string]string{}
	for name, value := range r.Want {
		have[name] = value.Text
	}
	return plan.Fact{ID: r.ID, Exists: true, Have: have,
		Applied: &plan.Applied{ID: r.ID, Have: have, Made: true, Number: 12, Time: applied12}}
}

// found is the fact of a thing that is not in the manifest.
func found(kind plan.Kind, name string, pairs ...string) plan.Fact {
	return plan.Fact{ID: id(kind, name), Exists: true, Have: attrs(pairs)}
}

// proxyWants is one resource of every kind, and the units that read them.
func proxyWants() []plan.Resource {
	relay := want(plan.KindUnit, "relay-server.service", "enabled=yes", "running=yes")
	program := id(plan.KindProgram, "relay-server")
	relay.Unit = &plan.Unit{
		Restart:   []plan.ID{id(plan.KindFile, "/etc/systemd/system/relay-server.service")},
		Reload:    []plan.ID{id(plan.KindFile, "/etc/relay/relay.json"), id(plan.KindDirectory, "/etc/relay/workers.d")},
		Program:   &program,
		Lifecycle: plan.LifecycleRelay,
	}
	caddy := want(plan.KindUnit, "caddy.service", "enabled=yes", "running=yes")
	caddy.Unit = &plan.Unit{
		Reload:    []plan.ID{id(plan.KindFile, "/etc/caddy/Caddyfile")},
		Lifecycle: plan.LifecycleCaddy,
		Drain:     "/run/relay/admin.sock",
	}
	return []plan.Resource{
		want(plan.KindPackage, "caddy", "installed=yes"),
		want(plan.KindUser, "relay", "home=/nonexistent"),
		want(plan.KindDirectory, "/etc/relay", "mode=0750", "owner=root", "group=relay"),
		want(plan.KindDirectory, "/etc/relay/workers.d", "mode=0750", "owner=root", "group=relay"),
		want(plan.KindCA, "home", "domain=llm.example.com"),
		want(plan.KindSecret, "probe"),
		want(plan.KindKey, "laptop", "shown=yes"),
		want(plan.KindProgram, "relay-server", "version=0.3.0", "digest=sha256:aa"),
		want(plan.KindFile, "/etc/relay/relay.json", "mode=0640", "content=sha256:bb"),
		want(plan.KindFile, "/etc/relay/workers.d/gpu-1.json", "mode=0640", "content=sha256:cc"),
		want(plan.KindFile, "/etc/caddy/Caddyfile", "mode=0644", "content=sha256:dd"),
		want(plan.KindFile, "/etc/systemd/system/relay-server.service", "mode=0644", "content=sha256:ee"),
		relay,
		caddy,
	}
}

func asWanted(wants []plan.Resource) []plan.Fact {
	var facts []plan.Fact
	for _, r := range wants {
		facts = append(facts, as(r))
	}
	return facts
}

// edge is a proxy host with these facts.
func edge(facts ...plan.Fact) plan.Host {
	return plan.Host{
		Name: "edge", Address: "203.0.113.10", Role: plan.RoleProxy, Want: proxyWants(),
		Facts: plan.Facts{
			Machine:   plan.Machine{Pretty: "Debian 13", Arch: "amd64"},
			Manifest:  &plan.Manifest{Number: 12, Time: applied12},
			Resources: facts,
		},
		Ports: []plan.Port{
			{Number: 443, Unit: "caddy.service", Origin: plan.Origin{File: "stack.hcl", Line: 3, Block: `proxy "edge"`}},
			{Number: 8080, Addr: "127.0.0.1", Unit: "relay-server.service"},
		},
		WorkerConnections: 2,
	}
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
