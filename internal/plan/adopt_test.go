package plan_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/plan"
)

// file is a host of which only one file is wanted.
func fileHost(fact plan.Fact) plan.Host {
	return plan.Host{
		Role:  plan.RoleProxy,
		Want:  []plan.Resource{want(plan.KindFile, "/etc/caddy/Caddyfile", "mode=0644", "content=sha256:dd")},
		Facts: plan.Facts{Resources: []plan.Fact{fact}},
	}
}

func TestFileOfSomebodyElse(t *testing.T) {
	pristine, equal, mode, link := hand(), hand(), hand(), hand()
	link.Detail = "is a link to /srv/Caddyfile"
	pristine.Pristine = true
	equal.Have = attrs([]string{"mode=0644", "content=sha256:dd"})
	mode.Have = attrs([]string{"mode=0600", "content=sha256:dd"})
	for _, row := range []struct {
		name  string
		fact  plan.Fact
		adopt bool
		want  string
	}{
		{"stops apply", hand(), false, "attention file /etc/caddy/Caddyfile BLOCK not made by relayctl (adoptable)"},
		{"is a link", link, false, "attention file /etc/caddy/Caddyfile BLOCK not made by relayctl; it is a link to /srv/Caddyfile (adoptable)"},
		{"is adopted", hand(), true, "change file /etc/caddy/Caddyfile (adopted)"},
		{"is a package's default", pristine, false, "change file /etc/caddy/Caddyfile, the package's own, never edited"},
		{"is as it should be", equal, false, "take file /etc/caddy/Caddyfile"},
		{"has only another mode", mode, false, "change file /etc/caddy/Caddyfile"},
	} {
		t.Run(row.name, func(t *testing.T) {
			host := fileHost(row.fact)
			host.Adopt = row.adopt
			got := planOf(host)
			if diff := cmp.Diff([]string{row.want}, steps(got)); diff != "" {
				t.Error("(-want +got)\n" + diff)
			}
			whole := plan.Plan{Hosts: []plan.HostPlan{got}}
			if blocked := len(whole.Blocked()) > 0; blocked && whole.Empty() {
				t.Error("a plan that something blocks is empty")
			}
		})
	}
}

// A link is told as one: its mode, 0777 on Linux, says nothing.
func TestLinkInThePlaceOfAFile(t *testing.T) {
	link := found(plan.KindFile, "/etc/caddy/Caddyfile", "mode=0777", "content=link to /srv/Caddyfile")
	link.Detail = "is a symbolic link to /srv/Caddyfile"
	ours := link
	ours.Applied = &plan.Applied{ID: link.ID, Have: attrs([]string{"mode=0644", "content=sha256:dd"}), Made: true, Number: 12}
	const told = "change file /etc/caddy/Caddyfile, is a symbolic link to /srv/Caddyfile: a file takes its place"
	for _, row := range []struct {
		name string
		fact plan.Fact
		want string
	}{
		{"of somebody else", link, told + " (adopted)"},
		{"that took the place of ours", ours, told + ", edited on the host since apply 12 (0001-01-01 00:00 UTC)"},
	} {
		t.Run(row.name, func(t *testing.T) {
			host := fileHost(row.fact)
			host.Adopt = true
			got := planOf(host)
			if diff := cmp.Diff([]string{row.want}, steps(got)); diff != "" {
				t.Error("(-want +got)\n" + diff)
			}
			for _, attr := range got.Changes[0].Attributes {
				if strings.Contains(attr.Before, "0777") {
					t.Errorf("%+v", attr)
				}
			}
		})
	}
}

// What caddy runs with while somebody else's file stands there is theirs.
func TestUnitOfABlockedFileIsLeftAlone(t *testing.T) {
	facts := asWanted(proxyWants())
	for i := range facts {
		switch facts[i].Name {
		case "/etc/caddy/Caddyfile":
			facts[i] = hand()
		case "caddy.service":
			facts[i].Stale = []plan.ID{hand().ID}
		}
	}
	got := steps(planOf(edge(facts...)))
	if diff := cmp.Diff([]string{"attention file /etc/caddy/Caddyfile BLOCK not made by relayctl (adoptable)"}, got); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
}

func TestUnitOfSomebodyElse(t *testing.T) {
	own := want(plan.KindUnit, "relay-server.service", "enabled=yes", "running=yes")
	file := want(plan.KindFile, "/etc/systemd/system/relay-server.service", "content=sha256:ee")
	stopped := found(plan.KindUnit, "relay-server.service", "enabled=no", "running=no")
	for _, row := range []struct {
		name  string
		wants []plan.Resource
		facts []plan.Fact
		want  []string
	}{
		{"from a folder that ours would hide", []plan.Resource{own, file}, []plan.Fact{stopped}, []string{
			"create file /etc/systemd/system/relay-server.service",
			"attention unit relay-server.service BLOCK not made by relayctl (adoptable)"}},
		{"of ours, left half-way", []plan.Resource{own, file}, []plan.Fact{stopped, as(file)},
			[]string{"change unit relay-server.service"}},
		{"of a package", []plan.Resource{own}, []plan.Fact{stopped},
			[]string{"change unit relay-server.service"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := planOf(plan.Host{Role: plan.RoleProxy, Want: row.wants, Facts: plan.Facts{Resources: row.facts}})
			if diff := cmp.Diff(row.want, steps(got)); diff != "" {
				t.Error("(-want +got)\n" + diff)
			}
		})
	}
}

func TestPorts(t *testing.T) {
	nginx := plan.Listener{Address: "0.0.0.0", Port: 443, Process: "nginx", PID: 812, Unit: "nginx.service"}
	for _, row := range []struct {
		name      string
		listeners []plan.Listener
		want      []string
	}{
		{"held by our own unit", []plan.Listener{{Address: "::", Port: 443, Unit: "caddy.service"}}, nil},
		{"held by a unit of another, on both families", []plan.Listener{nginx, {Address: "::", Port: 443, Unit: "nginx.service"}},
			[]string{"attention unit nginx.service BLOCK not ours; holds port 443, which caddy needs (adoptable)"}},
		{"held by systemd for a socket unit", []plan.Listener{{Address: "::", Port: 443, Process: "systemd", PID: 1}},
			[]string{"attention port 443 BLOCK held by a socket unit (systemctl list-sockets names it); caddy needs it"}},
		{"held by what else runs there", []plan.Listener{{Address: "::", Port: 443, Process: "docker-proxy", PID: 12, Unit: "docker.service"}},
			[]string{"attention port 443 BLOCK held by docker-proxy (pid 12) of unit docker, which stays on; caddy needs it"}},
		{"held by the way in", []plan.Listener{{Address: "::", Port: 443, Process: "sshd", PID: 1, Unit: "ssh.socket"}},
			[]string{"attention port 443 BLOCK held by sshd (pid 1) of unit ssh.socket, which stays on; caddy needs it"}},
		{"held by what the way in shares it with", []plan.Listener{{Address: "::", Port: 443, Process: "sslh", PID: 12, Unit: "sslh.service"}},
			[]string{"attention port 443 BLOCK held by sslh (pid 12) of unit sslh, which stays on; caddy needs it"}},
		{"held by a private network that comes in by TLS", []plan.Listener{{Address: "::", Port: 443, Process: "ocserv", PID: 12, Unit: "ocserv.service"}},
			[]string{"attention port 443 BLOCK held by ocserv (pid 12) of unit ocserv, which stays on; caddy needs it"}},
		{"two ports of one unit", []plan.Listener{nginx, {Address: "*", Port: 8080, Unit: "nginx.service"}},
			[]string{"attention unit nginx.service BLOCK not ours; holds port 443, which caddy needs; holds port 8080, which relay-server needs (adoptable)"}},
		{"held by no unit", []plan.Listener{{Address: "127.0.0.1", Port: 443, Process: "python3", PID: 900}},
			[]string{"attention port 443 BLOCK held by python3 (pid 900), which no unit runs; caddy needs it"}},
		{"held by nobody knows whom", []plan.Listener{{Address: "::", Port: 443}},
			[]string{"attention port 443 BLOCK held by a process, which no unit runs; caddy needs it"}},
		{"another loopback address", []plan.Listener{{Address: "127.0.0.2", Port: 8080, Unit: "x.service"}}, nil},
		{"loopback of the other family", []plan.Listener{{Address: "::1", Port: 8080, Unit: "x.service"}}, nil},
		{"mapped loopback", []plan.Listener{{Address: "::ffff:127.0.0.1", Port: 8080, Unit: "x.service"}},
			[]string{"attention unit x.service BLOCK not ours; holds port 8080, which relay-server needs (adoptable)"}},
		{"an engine that a model uses", []plan.Listener{{Address: "127.0.0.1", Port: 11434, Unit: "ollama.service"}}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			host := edge(asWanted(proxyWants())...)
			host.Facts.Listeners = row.listeners
			if diff := cmp.Diff(row.want, steps(planOf(host))); diff != "" {
				t.Error("(-want +got)\n" + diff)
			}
		})
	}
}

// A unit that holds a port goes together with what starts it.
func TestWhatStartsAUnitInTheWay(t *testing.T) {
	on, running, disabled := []string{"enabled=yes", "running=yes"}, []string{"enabled=no", "running=yes"}, []string{"enabled=no", "running=no"}
	unitFact := func(name string, pairs []string, startedBy ...string) plan.Fact {
		fact := found(plan.KindUnit, name, pairs...)
		fact.StartedBy = startedBy
		return fact
	}
	pulled := unitFact("web.service", on)
	pulled.PulledBy = []string{"site.target"}
	for _, row := range []struct {
		name  string
		holds string
		facts []plan.Fact
		adopt bool
		want  []string
	}{
		{"a socket and its service", "web.socket", []plan.Fact{unitFact("web.socket", on), unitFact("web.service", running, "web.socket")}, false, []string{
			"attention unit web.socket BLOCK not ours; holds port 443, which caddy needs (adoptable)",
			"attention unit web.service BLOCK not ours; is started by web.socket (adoptable)"}},
		{"adopted: the socket first", "web.socket", []plan.Fact{unitFact("web.service", running, "web.socket"), unitFact("web.socket", on)}, true, []string{
			"change unit web.socket, holds port 443, which caddy needs (adopted)",
			"change unit web.service, is started by web.socket (adopted)"}},
		{"a service that has not started", "web.socket", []plan.Fact{unitFact("web.socket", on), unitFact("web.service", disabled, "web.socket")}, true, []string{
			"change unit web.socket, holds port 443, which caddy needs (adopted)"}},
		{"a timer", "web.service", []plan.Fact{unitFact("web.timer", on), unitFact("web.service", running, "web.timer", "off.path"), unitFact("off.path", disabled)}, true, []string{
			"change unit web.timer, starts web (adopted)",
			"change unit web.service, holds port 443, which caddy needs (adopted)"}},
		{"at boot, by others", "web.service", []plan.Fact{pulled}, true, []string{
			"attention unit web.service BLOCK not ours; holds port 443, which caddy needs; site.target would start it again at boot"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			host := edge(append(asWanted(proxyWants()), row.facts...)...)
			host.Adopt = row.adopt
			host.Facts.Listeners = []plan.Listener{{Address: "::", Port: 443, PID: 1, Unit: row.holds}}
			if diff := cmp.Diff(row.want, steps(planOf(host))); diff != "" {
				t.Error("(-want +got)\n" + diff)
			}
		})
	}
}

// What is displaced serves until everything of ours is ready to take its place.
func TestDisplacedGoesJustBeforeOurUnits(t *testing.T) {
	host := edge(found(plan.KindUnit, "nginx.service", "enabled=yes", "running=yes"))
	host.Facts.Listeners, host.Adopt = []plan.Listener{{Address: "::", Port: 443, Unit: "nginx.service"}}, true
	got := steps(planOf(host))
	want := []string{"change unit nginx.service, holds port 443, which caddy needs (adopted)",
		"create unit relay-server.service", "create unit caddy.service"}
	if diff := cmp.Diff(want, got[len(got)-3:]); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
}

// An apply that was cut off behind the first of two things to adopt: without
// --adopt the plan says that the first is off, so that nobody thinks it serves.
func TestTakenOverByHalf(t *testing.T) {
	half := cutOffHost()
	want := []string{
		"attention file /etc/caddy/Caddyfile BLOCK not made by relayctl (adoptable)",
		"attention unit nginx.service, taken over before, and off since apply 1 (2026-11-20 09:14 UTC)",
	}
	if diff := cmp.Diff(want, steps(planOf(half))); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
	half.Adopt = true
	if got := steps(planOf(half)); len(got) == 0 || strings.Contains(strings.Join(got, "\n"), "nginx") {
		t.Errorf("with --adopt: %q", got)
	}

	stopped := cutOffHost()
	for i, fact := range stopped.Facts.Resources {
		switch fact.Name {
		case "/etc/caddy/Caddyfile":
			stopped.Facts.Resources[i] = as(stopped.Want[10])
		case "caddy.service":
			stopped.Facts.Resources[i].Have = attrs([]string{"enabled=yes", "running=no"})
		}
	}
	want = []string{"change unit caddy.service", "attention unit nginx.service, taken over before, and off since apply 1 (2026-11-20 09:14 UTC)"}
	got := steps(planOf(stopped))
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("ours does not run (-want +got)\n" + diff)
	}
}

func TestBlockedPortPointsAtTheStack(t *testing.T) {
	host := edge(asWanted(proxyWants())...)
	host.Facts.Listeners = messyListeners()
	host.Ports[1].Origin = plan.Origin{File: "stack.hcl", Line: 7, Block: `proxy "edge"`}
	points := map[string]plan.Origin{}
	for _, c := range planOf(host).Blocked() {
		if c.Resource != nil {
			points[c.ID.Name] = c.Resource.Origin
		}
	}
	want := map[string]plan.Origin{"nginx.service": host.Ports[0].Origin, "8080": host.Ports[1].Origin}
	if diff := cmp.Diff(want, points); diff != "" {
		t.Errorf("they point at (-want +got)\n%s", diff)
	}
}

// A unit that was adopted once stays off without --adopt, and is let go only
// when the host leaves the stack.
func TestAdoptedUnitStaysOff(t *testing.T) {
	nginx := found(plan.KindUnit, "nginx.service", "enabled=yes", "running=yes")
	m := newMemory(append(asWanted(proxyWants()), nginx)...)
	host := edge()
	host.Facts, host.Adopt = m.observe(), true
	host.Facts.Listeners = []plan.Listener{{Address: "0.0.0.0", Port: 443, Unit: "nginx.service"}}
	first := planOf(host)
	if diff := cmp.Diff([]string{"change unit nginx.service, holds port 443, which caddy needs (adopted)"}, steps(first)); diff != "" {
		t.Fatal("(-want +got)\n" + diff)
	}
	m.do(first)

	host.Facts, host.Adopt = m.observe(), false
	if again := planOf(host); len(again.Changes) > 0 {
		t.Errorf("plan after adoption: %q", steps(again))
	}

	fact := m.facts[nginx.ID]
	fact.Have = map[string]string{plan.AttrEnabled: plan.Yes, plan.AttrRunning: plan.No}
	m.facts[nginx.ID] = fact
	host.Facts = m.observe()
	back := []string{"change unit nginx.service, taken over before; changed on the host since apply 1 (2026-11-20 09:14 UTC) (adopted)"}
	if diff := cmp.Diff(back, steps(planOf(host))); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}

	host.Facts.Listeners = []plan.Listener{{Address: "0.0.0.0", Port: 443, Unit: "nginx.service"}}
	again := []string{"change unit nginx.service, holds port 443, which caddy needs (adopted)"}
	if diff := cmp.Diff(again, steps(planOf(host))); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}

	host.Role, host.Want, host.Ports = plan.RoleDeparted, nil, nil
	last := planOf(host)
	if c := last.Changes[len(last.Changes)-1]; len(last.Changes) != len(proxyWants())+1 {
		t.Errorf("last change %s %s of %d", c.Action, c.ID, len(last.Changes))
	}
	for _, c := range last.Changes {
		if c.ID == nginx.ID && c.Action != plan.Forget {
			t.Errorf("%s %s when the host leaves", c.Action, c.ID)
		}
	}
}

func TestWhatIsNotWantedGoesInTheOppositeOrder(t *testing.T) {
	facts := asWanted(proxyWants())
	for i := range facts {
		if facts[i].Kind == plan.KindPackage || facts[i].Kind == plan.KindUser {
			facts[i].Applied.Made = false
		}
		if facts[i].ID.Name == "/etc/caddy/Caddyfile" {
			facts[i].Applied.Kept = "/var/lib/relayctl/kept/0/Caddyfile"
		}
	}
	host := edge(facts...)
	host.Role, host.Want, host.Ports = plan.RoleDeparted, nil, nil
	got := planOf(host)
	want := []string{
		"remove unit relay-server.service",
		"remove unit caddy.service",
		"remove file /etc/systemd/system/relay-server.service",
		"remove file /etc/relay/workers.d/gpu-1.json",
		"remove file /etc/relay/relay.json",
		"remove file /etc/caddy/Caddyfile",
		"remove program relay-server",
		"remove key laptop",
		"remove secret probe",
		"remove ca home",
		"remove directory /etc/relay/workers.d, unless something else is in it",
		"remove directory /etc/relay, unless something else is in it",
		"forget user relay",
		"forget package caddy",
	}
	if diff := cmp.Diff(want, steps(got)); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
	if n := got.Counts(); n != (plan.Counts{Remove: 12}) {
		t.Errorf("counts %+v", n)
	}
}

func TestRemovalComesBeforeTheReloadThatFollowsFromIt(t *testing.T) {
	old := as(want(plan.KindFile, "/etc/relay/workers.d/gpu-2.json", "content=sha256:11"))
	got := planOf(edge(append(asWanted(proxyWants()), old)...))
	want := []string{
		"remove file /etc/relay/workers.d/gpu-2.json",
		"reload unit relay-server.service, because /etc/relay/workers.d changes",
	}
	if diff := cmp.Diff(want, steps(got)); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
}
