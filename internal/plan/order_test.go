package plan_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/plan"
)

// Kinds that this package knows nothing of.
const (
	kindSite        plan.Kind = "site"
	kindCertificate plan.Kind = "certificate"
)

var (
	plainSite   = id(kindSite, "a-plain")
	secureSite  = id(kindSite, "a-secure")
	certificate = id(kindCertificate, "a")
	web         = id(plan.KindUnit, "web.service")
)

// certified is a host whose server gets a certificate through its site on port
// 80, and then serves another site with it.
func certified(facts ...plan.Fact) plan.Host {
	site, secure := want(kindSite, plainSite.Name, "content=1"), want(kindSite, secureSite.Name, "content=2")
	cert := want(kindCertificate, certificate.Name, "domain=a.example.com")
	unit := want(plan.KindUnit, web.Name, "enabled=yes", "running=yes")
	cert.After, secure.After = []plan.ID{web}, []plan.ID{certificate}
	unit.Unit = &plan.Unit{Reload: []plan.ID{plainSite, secureSite}}
	return plan.Host{Want: []plan.Resource{secure, cert, unit, site}, Facts: plan.Facts{Resources: facts}}
}

// A unit appears twice where a part of what it reads can be made only once it
// runs with the other part.
func TestCertificateThroughTheServerThatUsesIt(t *testing.T) {
	all := asWanted(certified().Want)
	but := func(edits map[plan.ID]func(*plan.Fact)) []plan.Fact {
		facts := asWanted(certified().Want)
		for i := range facts {
			if edit := edits[facts[i].ID]; edit != nil {
				edit(&facts[i])
			}
		}
		return facts
	}
	older := left(plan.AttrContent, "0")
	for _, row := range []struct {
		name  string
		facts []plan.Fact
		want  []string
	}{
		{"fresh", nil, []string{
			"create site a-plain",
			"create unit web.service",
			"create certificate a",
			"create site a-secure",
			"reload unit web.service, because site a-secure changes"}},
		{"as it should be", all, nil},
		{"both sites change", but(map[plan.ID]func(*plan.Fact){plainSite: older, secureSite: older}), []string{
			"change site a-plain",
			"reload unit web.service, because site a-plain changes",
			"change site a-secure",
			"reload unit web.service, because site a-secure changes"}},
		{"the later one changes", but(map[plan.ID]func(*plan.Fact){secureSite: older}), []string{
			"change site a-secure",
			"reload unit web.service, because site a-secure changes"}},
		{"the server is down", but(map[plan.ID]func(*plan.Fact){web: have(plan.AttrRunning, plan.No), certificate: left(plan.AttrDomain, "b.example.com")}), []string{
			"change unit web.service",
			"change certificate a"}},
		{"not loaded yet", but(map[plan.ID]func(*plan.Fact){web: stale(secureSite)}), []string{
			"reload unit web.service, runs without the present site a-secure"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			if diff := cmp.Diff(row.want, steps(planOf(certified(row.facts...)))); diff != "" {
				t.Error("(-want +got)\n" + diff)
			}
		})
	}
}

// A circle fails, and says which things are in it.
func TestCircle(t *testing.T) {
	host := certified()
	for i := range host.Want {
		if host.Want[i].ID == plainSite {
			host.Want[i].After = []plan.ID{secureSite}
		}
		if host.Want[i].ID == web {
			host.Want[i].After = []plan.ID{plainSite}
		}
	}
	_, err := plan.Diff(host)
	if err == nil {
		t.Fatal("no error")
	}
	for _, id := range []plan.ID{web, plainSite, secureSite, certificate} {
		if !strings.Contains(err.Error(), id.String()) {
			t.Errorf("%v: does not name %s", err, id)
		}
	}
}

// Each row says with few resources what comes after what, against rank and name.
func TestEdges(t *testing.T) {
	file := func(name string, pairs ...string) plan.Resource { return want(plan.KindFile, name, pairs...) }
	unit := func(name string, of plan.Unit) plan.Resource {
		r := want(plan.KindUnit, name, "running=yes")
		r.Unit = &of
		return r
	}
	after := func(r plan.Resource, ids ...plan.ID) plan.Resource {
		r.After = ids
		return r
	}
	first := func(id plan.ID) plan.Resource { return after(want(plan.KindPackage, "first"), id) } // by rank
	filled := file("/etc/a.key")
	filled.From = &plan.ID{Kind: plan.KindCA, Name: "x/key"}
	program, next := id(plan.KindProgram, "p"), want(plan.KindSecret, "s.next")
	followed := want(plan.KindSecret, "s", "public=2")
	followed.From = &next.ID
	relay, drains := unit("relay.service", plan.Unit{Lifecycle: plan.LifecycleRelay, Reload: []plan.ID{id(plan.KindFile, "/etc/relay.json")}}), unit("a.service", plan.Unit{Drain: "/run/s"})
	for _, row := range []struct {
		name  string
		want  []plan.Resource
		facts []plan.Fact
		order []string
	}{
		{"what is said", []plan.Resource{after(file("/a"), id(plan.KindFile, "/b")), file("/b")}, nil,
			[]string{"create file /b", "create file /a"}},
		{"through what does not change", []plan.Resource{after(file("/a"), id(plan.KindFile, "/b")), after(file("/b", "mode=1"), id(plan.KindFile, "/c")), file("/c")},
			[]plan.Fact{as(file("/b", "mode=1"))}, []string{"create file /c", "create file /a"}},
		{"its owner", []plan.Resource{file("/etc/a", "owner=z"), want(plan.KindUser, "z"), first(id(plan.KindFile, "/etc/a"))}, nil,
			[]string{"create user z", "create file /etc/a", "create package first"}},
		{"its folder", []plan.Resource{file("/etc/a/b"), want(plan.KindDirectory, "/etc/a"), first(id(plan.KindFile, "/etc/a/b"))}, nil,
			[]string{"create directory /etc/a", "create file /etc/a/b", "create package first"}},
		{"what fills it", []plan.Resource{filled, want(plan.KindCA, "x"), first(filled.ID)}, nil,
			[]string{"create ca x", "create file /etc/a.key", "create package first"}},
		{"what takes its place", []plan.Resource{followed, unit("u.service", plan.Unit{Reload: []plan.ID{next.ID}}), first(id(plan.KindUnit, "u.service"))},
			[]plan.Fact{as(want(plan.KindSecret, "s", "public=1")), as(next)},
			[]string{"change secret s", "remove secret s.next", "create unit u.service", "create package first"}},
		{"the program and file of a unit", []plan.Resource{unit("u.service", plan.Unit{Program: &program}), file("/etc/systemd/system/u.service"), want(plan.KindProgram, "p"), first(id(plan.KindUnit, "u.service"))}, nil,
			[]string{"create program p", "create file /etc/systemd/system/u.service", "create unit u.service", "create package first"}},
		{"the relay that a unit drains", []plan.Resource{drains, relay}, nil,
			[]string{"create unit relay.service", "create unit a.service"}},
		{"a relay that loads first who may connect", []plan.Resource{relay, after(unit("worker.service", plan.Unit{}), relay.ID), file("/etc/relay.json", "content=2")},
			[]plan.Fact{as(relay), as(file("/etc/relay.json", "content=1"))},
			[]string{"change file /etc/relay.json", "reload unit relay.service", "create unit worker.service"}},
		{"what leaves turns round", []plan.Resource{unit("v.service", plan.Unit{Reload: []plan.ID{id(plan.KindFile, "/etc/systemd/system/u.service")}})}, []plan.Fact{as(want(plan.KindUser, "z")), as(file("/a/b", "owner=z")), as(want(plan.KindDirectory, "/a")), as(unit("u.service", plan.Unit{})), as(file("/etc/systemd/system/u.service"))},
			[]string{"remove unit u.service", "remove file /etc/systemd/system/u.service", "create unit v.service", "remove file /a/b", "remove directory /a", "remove user z"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := planOf(plan.Host{Want: row.want, Facts: plan.Facts{Resources: row.facts}})
			if diff := cmp.Diff(row.order, lines(got)); diff != "" {
				t.Error("(-want +got)\n" + diff)
			}
		})
	}
}

// lines writes changes without their reasons.
func lines(p plan.HostPlan) []string {
	var list []string
	for _, c := range p.Changes {
		list = append(list, string(c.Action)+" "+c.ID.String())
	}
	return list
}

// One port, one unit at a time: whoever has it goes before the next comes.
func TestPortChangesHands(t *testing.T) {
	older := as(want(plan.KindUnit, "older.service", "enabled=yes", "running=yes"))
	host := edge(append(asWanted(proxyWants()[:13]), older)...)
	host.Facts.Listeners = []plan.Listener{{Address: "::", Port: 443, Unit: "older.service"}}
	if diff := cmp.Diff([]string{"remove unit older.service", "create unit caddy.service"}, lines(planOf(host))); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
	nginx := found(plan.KindUnit, "nginx.service", "enabled=no", "running=no")
	nginx.Applied = &plan.Applied{ID: nginx.ID, Taken: &plan.TakenOver{Number: 1}}
	caddy := as(want(plan.KindUnit, "caddy.service", "enabled=yes", "running=yes"))
	gone := planOf(plan.Host{Role: plan.RoleDeparted, Facts: plan.Facts{Resources: []plan.Fact{nginx, caddy}}})
	if diff := cmp.Diff([]string{"remove unit caddy.service", "forget unit nginx.service"}, lines(gone)); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
}
