// Package plans holds hosts as they should be and as they were found, for the
// tests of plans and of how they are shown.
package plans

import (
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/plan"
)

// Applied12 is when apply 12 was, which left the hosts as they are.
var Applied12 = time.Date(2026, 11, 20, 9, 14, 0, 0, time.UTC)

// Drop-ins of OverriddenEdge.
const (
	ShopDropIn  = "/etc/systemd/system/caddy.service.d/override.conf"
	ProxyDropIn = "/etc/systemd/system/service.d/proxy.conf"
)

// ID names a thing on a host.
func ID(kind plan.Kind, name string) plan.ID { return plan.ID{Kind: kind, Name: name} }

// Want builds a resource from "name=value" pairs.
func Want(kind plan.Kind, name string, pairs ...string) plan.Resource {
	r := plan.Resource{ID: ID(kind, name), Want: map[string]plan.Value{}}
	for name, value := range Attrs(pairs) {
		r.Want[name] = plan.Known(value)
	}
	return r
}

// Attrs are attributes of "name=value" pairs.
func Attrs(pairs []string) map[string]string {
	m := map[string]string{}
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		m[name] = value
	}
	return m
}

// As is the fact of a thing that is exactly as r wants it, left so by apply 12.
func As(r plan.Resource) plan.Fact {
	have := map[string]string{}
	for name, value := range r.Want {
		have[name] = value.Text
	}
	return plan.Fact{ID: r.ID, Exists: true, Have: have,
		Applied: &plan.Applied{ID: r.ID, Have: have, Made: true, Number: 12, Time: Applied12}}
}

// Found is the fact of a thing that is not in the manifest.
func Found(kind plan.Kind, name string, pairs ...string) plan.Fact {
	return plan.Fact{ID: ID(kind, name), Exists: true, Have: Attrs(pairs)}
}

// ProxyWants is one resource of every kind, and the units that read them.
func ProxyWants() []plan.Resource {
	relay := Want(plan.KindUnit, "relay-server.service", "enabled=yes", "running=yes")
	program := ID(plan.KindProgram, "relay-server")
	relay.Unit = &plan.Unit{
		Restart:   []plan.ID{ID(plan.KindFile, "/etc/systemd/system/relay-server.service")},
		Reload:    []plan.ID{ID(plan.KindFile, "/etc/relay/relay.json"), ID(plan.KindDirectory, "/etc/relay/workers.d")},
		Program:   &program,
		Lifecycle: plan.LifecycleRelay,
	}
	caddy := Want(plan.KindUnit, "caddy.service", "enabled=yes", "running=yes")
	caddy.Unit = &plan.Unit{
		Reload:    []plan.ID{ID(plan.KindFile, "/etc/caddy/Caddyfile")},
		Lifecycle: plan.LifecycleCaddy,
		Drain:     "/run/relay/admin.sock",
	}
	return []plan.Resource{
		Want(plan.KindPackage, "caddy", "installed=yes"),
		Want(plan.KindUser, "relay", "home=/nonexistent"),
		Want(plan.KindDirectory, "/etc/relay", "mode=0750", "owner=root", "group=relay"),
		Want(plan.KindDirectory, "/etc/relay/workers.d", "mode=0750", "owner=root", "group=relay"),
		Want(plan.KindCA, "home", "domain=llm.example.com"),
		Want(plan.KindSecret, "probe"),
		Want(plan.KindKey, "laptop", "shown=yes"),
		Want(plan.KindProgram, "relay-server", "version=0.3.0", "digest=sha256:aa"),
		Want(plan.KindFile, "/etc/relay/relay.json", "mode=0640", "content=sha256:bb"),
		Want(plan.KindFile, "/etc/relay/workers.d/gpu-1.json", "mode=0640", "content=sha256:cc"),
		Want(plan.KindFile, "/etc/caddy/Caddyfile", "mode=0644", "content=sha256:dd"),
		Want(plan.KindFile, "/etc/systemd/system/relay-server.service", "mode=0644", "content=sha256:ee"),
		relay,
		caddy,
	}
}

// AsWanted are the facts of a host that has all things as they should be.
func AsWanted(wants []plan.Resource) []plan.Fact {
	var facts []plan.Fact
	for _, r := range wants {
		facts = append(facts, As(r))
	}
	return facts
}

// Edge is a proxy host with these facts.
func Edge(facts ...plan.Fact) plan.Host {
	return plan.Host{
		Name: "edge", Address: "203.0.113.10", Role: plan.RoleProxy, Want: ProxyWants(),
		Facts: plan.Facts{
			Machine:   plan.Machine{Pretty: "Debian 13", Arch: "amd64"},
			Manifest:  &plan.Manifest{Number: 12, Time: Applied12},
			Resources: facts,
		},
		Ports: []plan.Port{
			{Number: 443, Unit: "caddy.service", Origin: plan.Origin{File: "stack.hcl", Line: 3, Block: `proxy "edge"`}},
			{Number: 8080, Addr: "127.0.0.1", Unit: "relay-server.service"},
		},
		WorkerConnections: 2,
	}
}

// Foreign makes a thing somebody else's.
func Foreign(f *plan.Fact) { f.Applied = nil }

// Have edits the thing behind relayctl's back; Left makes it look as an older
// stack file had it.
func Have(attr, value string) func(*plan.Fact) {
	return func(f *plan.Fact) { f.Have = With(f.Have, attr, value) }
}

// Left: see Have.
func Left(attr, value string) func(*plan.Fact) {
	return func(f *plan.Fact) {
		f.Have = With(f.Have, attr, value)
		f.Applied.Have = f.Have
	}
}

// With is a copy of attributes with another value for one.
func With(m map[string]string, name, value string) map[string]string {
	changed := map[string]string{name: value}
	for k, v := range m {
		if k != name {
			changed[k] = v
		}
	}
	return changed
}

// MessyListeners hold the ports of Edge, with and without a unit.
func MessyListeners() []plan.Listener {
	return []plan.Listener{
		{Address: "0.0.0.0", Port: 443, Process: "nginx", PID: 812, Unit: "nginx.service"},
		{Address: "::", Port: 443, Process: "nginx", PID: 812, Unit: "nginx.service"},
		{Address: "127.0.0.1", Port: 8080, Process: "python3", PID: 900},
		{Address: "::", Port: 8080, Process: "java", PID: 901},
	}
}

// Hand is a Caddyfile that somebody wrote.
func Hand() plan.Fact {
	return Found(plan.KindFile, "/etc/caddy/Caddyfile", "mode=0644", "content=sha256:99")
}

// CutOffHost has an nginx that was taken over, and a Caddyfile that was not.
func CutOffHost() plan.Host {
	nginx := Found(plan.KindUnit, "nginx.service", "enabled=no", "running=no")
	nginx.Applied = &plan.Applied{ID: nginx.ID, Have: nginx.Have, Number: 1, Time: Applied12,
		Taken: &plan.TakenOver{Number: 1, Time: Applied12, Before: Attrs([]string{"enabled=yes", "running=yes"})}}
	facts := append(AsWanted(ProxyWants()), nginx)
	for i := range facts {
		if facts[i].Name == "/etc/caddy/Caddyfile" {
			facts[i] = Hand()
		}
	}
	return Edge(facts...)
}

// OverriddenEdge is a proxy host that is as it should be, but for a drop-in of
// Caddy and, with shared, one for all services.
func OverriddenEdge(shared bool) plan.Host {
	facts := AsWanted(ProxyWants())
	instead := func(unit string) string {
		return "not for " + strings.TrimSuffix(unit, ".service") + " alone, or of a package; to leave that out, on the host: " +
			"mkdir -p /etc/systemd/system/" + unit + ".d && ln -s /dev/null /etc/systemd/system/" + unit + ".d/proxy.conf && systemctl daemon-reload"
	}
	for i, fact := range facts {
		if fact.Name == "caddy.service" {
			facts[i].Overrides = append(facts[i].Overrides, plan.Override{Path: ShopDropIn, Says: "by it unit caddy starts caddy --config /etc/caddy/caddy.json"})
			facts[i].Stale = []plan.ID{{Kind: plan.KindFile, Name: "/etc/caddy/Caddyfile"}} // which is not our matter while that is so
		}
		if shared && fact.Kind == plan.KindUnit {
			facts[i].Overrides = append(facts[i].Overrides, plan.Override{
				Path: ProxyDropIn, Says: "it changes Environment of unit " + strings.TrimSuffix(fact.Name, ".service"), Instead: instead(fact.Name)})
		}
	}
	dropIn := Found(plan.KindFile, ShopDropIn, "mode=0644", "content=sha256:99")
	dropIn.Content = []byte("[Service]\nExecStart=\nExecStart=/usr/bin/caddy run --config /etc/caddy/caddy.json\n")
	return Edge(append(facts, dropIn, Found(plan.KindFile, ProxyDropIn, "mode=0644", "content=sha256:98"))...)
}
