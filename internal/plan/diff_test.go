package plan_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/plan"
)

func TestNothingToDoOnAHostThatIsAsItShouldBe(t *testing.T) {
	got := planOf(edge(asWanted(proxyWants())...))
	if len(got.Changes) != 0 || got.Unchanged != len(proxyWants()) {
		t.Errorf("%d unchanged, changes %q; want %d and none", got.Unchanged, steps(got), len(proxyWants()))
	}
	if !(plan.Plan{Hosts: []plan.HostPlan{got}}).Empty() {
		t.Error("a plan without changes is not empty")
	}
}

func TestFreshHostIsBuiltInOrder(t *testing.T) {
	host := edge()
	host.Facts.Manifest = nil
	got := planOf(host)
	want := []string{
		"create package caddy",
		"create user relay",
		"create directory /etc/relay",
		"create directory /etc/relay/workers.d",
		"create ca home",
		"create secret probe",
		"create key laptop",
		"create program relay-server",
		"create file /etc/caddy/Caddyfile",
		"create file /etc/relay/relay.json",
		"create file /etc/relay/workers.d/gpu-1.json",
		"create file /etc/systemd/system/relay-server.service",
		"create unit relay-server.service",
		"create unit caddy.service",
	}
	if diff := cmp.Diff(want, steps(got)); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
	if !got.New || got.Unchanged != 0 {
		t.Errorf("new %v, %d unchanged; want a new host with nothing unchanged", got.New, got.Unchanged)
	}
}

// Each row breaks one thing on a host that was as it should be, and says what
// is done about it.
func TestOneThingDiffers(t *testing.T) {
	const since = "since apply 12 (2026-11-20 09:14 UTC)"
	for _, row := range []struct {
		name  string
		id    plan.ID
		spoil func(*plan.Fact)
		want  []string
	}{
		{"package removed", id(plan.KindPackage, "caddy"), gone,
			[]string{"create package caddy, removed on the host " + since}},
		{"file edited", id(plan.KindFile, "/etc/caddy/Caddyfile"), have(plan.AttrContent, "sha256:99"), []string{
			"change file /etc/caddy/Caddyfile, edited on the host " + since,
			"reload unit caddy.service, because /etc/caddy/Caddyfile changes"}},
		{"stack changed the file", id(plan.KindFile, "/etc/relay/relay.json"), left(plan.AttrContent, "sha256:99"), []string{
			"change file /etc/relay/relay.json",
			"reload unit relay-server.service, because /etc/relay/relay.json changes"}},
		{"mode changed", id(plan.KindFile, "/etc/relay/relay.json"), have(plan.AttrMode, "0666"),
			[]string{"change file /etc/relay/relay.json, changed on the host " + since}},
		{"file in a directory that is loaded", id(plan.KindFile, "/etc/relay/workers.d/gpu-1.json"), gone, []string{
			"create file /etc/relay/workers.d/gpu-1.json, removed on the host " + since,
			"reload unit relay-server.service, because /etc/relay/workers.d changes"}},
		{"program replaced", id(plan.KindProgram, "relay-server"), have(plan.AttrDigest, "sha256:99"), []string{
			"change program relay-server, replaced on the host " + since,
			"restart unit relay-server.service, because program relay-server changes"}},
		{"unit file of the stack changed", id(plan.KindFile, "/etc/systemd/system/relay-server.service"), left(plan.AttrContent, "sha256:99"), []string{
			"change file /etc/systemd/system/relay-server.service",
			"restart unit relay-server.service, because /etc/systemd/system/relay-server.service changes"}},
		{"unit stopped", id(plan.KindUnit, "relay-server.service"), have(plan.AttrRunning, plan.No),
			[]string{"change unit relay-server.service"}},
		{"unit never loaded its file", id(plan.KindUnit, "relay-server.service"), stale(id(plan.KindFile, "/etc/relay/relay.json")),
			[]string{"reload unit relay-server.service, runs without the present /etc/relay/relay.json"}},
		{"unit never loaded its program", id(plan.KindUnit, "relay-server.service"), stale(id(plan.KindProgram, "relay-server")),
			[]string{"restart unit relay-server.service, runs without the present program relay-server"}},
		{"unit never loaded what nobody lists", id(plan.KindUnit, "caddy.service"), stale(id(plan.KindSecret, "probe")),
			[]string{"restart unit caddy.service, runs without the present secret probe"}},
		{"key never shown", id(plan.KindKey, "laptop"), have(plan.AttrShown, plan.No),
			[]string{"change key laptop, never shown to anybody: made anew"}},
		{"another domain", id(plan.KindCA, "home"), left(plan.AttrDomain, "old.example.com"), []string{
			"change ca home",
			"attention ca home, a new root: clients must take it (relayctl ca)"}},
		{"certificate authority lost", id(plan.KindCA, "home"), gone, []string{
			"create ca home, removed on the host " + since,
			"attention ca home, a new root: clients must take it (relayctl ca)"}},
		{"found as it should be", id(plan.KindPackage, "caddy"), foreign,
			[]string{"take package caddy"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			facts := asWanted(proxyWants())
			for i := range facts {
				if facts[i].ID == row.id {
					row.spoil(&facts[i])
				}
			}
			if diff := cmp.Diff(row.want, steps(planOf(edge(facts...)))); diff != "" {
				t.Error("(-want +got)\n" + diff)
			}
		})
	}
}

func gone(f *plan.Fact) { f.Exists, f.Have = false, nil }

func stale(ids ...plan.ID) func(*plan.Fact) {
	return func(f *plan.Fact) { f.Stale = ids }
}

func TestStartedUnitIsNotAlsoRestarted(t *testing.T) {
	facts := asWanted(proxyWants())
	for i, f := range facts {
		switch f.ID {
		case id(plan.KindProgram, "relay-server"):
			facts[i].Have = with(f.Have, plan.AttrDigest, "sha256:99")
		case id(plan.KindUnit, "relay-server.service"):
			facts[i].Have = with(f.Have, plan.AttrRunning, plan.No)
		}
	}
	got := steps(planOf(edge(facts...)))
	want := []string{"change program relay-server, replaced on the host since apply 12 (2026-11-20 09:14 UTC)", "change unit relay-server.service"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
}

func TestWhatDropsWorkerConnections(t *testing.T) {
	for changed, want := range map[string]map[string]int{
		"/etc/caddy/Caddyfile":                     {"reload caddy.service": 1},
		"/etc/relay/relay.json":                    {"reload relay-server.service": 0},
		"/etc/systemd/system/relay-server.service": {"restart relay-server.service": 2},
	} {
		facts := asWanted(proxyWants())
		for i, f := range facts {
			if f.ID.Name == changed {
				facts[i].Have = with(f.Have, plan.AttrContent, "sha256:99")
			}
		}
		drops := map[string]int{}
		host := edge(facts...)
		host.DirectConnections = 1
		for _, c := range planOf(host).Changes {
			if c.ID.Kind == plan.KindUnit {
				drops[string(c.Action)+" "+c.ID.Name] = c.Drops
			}
		}
		if diff := cmp.Diff(want, drops); diff != "" {
			t.Errorf("%s (-want +got)\n%s", changed, diff)
		}
	}
}

func TestValueThatApplyMakesAlwaysDiffers(t *testing.T) {
	host := edge(asWanted(proxyWants())...)
	for i, r := range host.Want {
		if r.ID.Name == "/etc/relay/workers.d/gpu-1.json" {
			host.Want[i].Want = map[string]plan.Value{plan.AttrContent: plan.MadeOn("gpu-1"), plan.AttrMode: plan.Known("0640")}
		}
	}
	want := []string{
		"change file /etc/relay/workers.d/gpu-1.json",
		"reload unit relay-server.service, because /etc/relay/workers.d changes",
	}
	if diff := cmp.Diff(want, steps(planOf(host))); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
}

func TestDiffDoesNotDependOnOrder(t *testing.T) {
	host := edge(messyFacts()...)
	host.Facts.Listeners = messyListeners()
	want := strings.Join(steps(planOf(host)), "\n")
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 0))
		r.Shuffle(len(host.Want), func(i, j int) { host.Want[i], host.Want[j] = host.Want[j], host.Want[i] })
		r.Shuffle(len(host.Ports), func(i, j int) { host.Ports[i], host.Ports[j] = host.Ports[j], host.Ports[i] })
		facts, listeners := host.Facts.Resources, host.Facts.Listeners
		r.Shuffle(len(facts), func(i, j int) { facts[i], facts[j] = facts[j], facts[i] })
		r.Shuffle(len(listeners), func(i, j int) { listeners[i], listeners[j] = listeners[j], listeners[i] })
		if diff := cmp.Diff(want, strings.Join(steps(planOf(host)), "\n")); diff != "" {
			t.Fatalf("seed %d: (-want +got)\n%s", seed, diff)
		}
	}
}

// messyFacts is a host on which everything is another way: partly as it should
// be, edited, gone, foreign, left over.
func messyFacts() []plan.Fact {
	facts := asWanted(proxyWants())
	for i := range facts {
		switch i % 4 {
		case 0:
			gone(&facts[i])
		case 1:
			facts[i].Have = map[string]string{}
		case 2:
			foreign(&facts[i])
			facts[i].Have = map[string]string{}
		}
	}
	for _, name := range []string{"/etc/relay/old.json", "/etc/relay/older.json"} {
		facts = append(facts, as(want(plan.KindFile, name, "content=sha256:00")))
	}
	return append(facts, as(want(plan.KindUnit, "old.service", "enabled=yes", "running=yes")))
}

// After whatever mess, one apply with --adopt leads to the wanted state: the
// second plan has nothing to do.
func TestPlanAfterApplyIsEmpty(t *testing.T) {
	for name, start := range map[string][]plan.Fact{
		"fresh":   nil,
		"as left": asWanted(proxyWants()),
		"messy":   messyFacts(),
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory(start...)
			host := edge()
			host.Adopt = true
			host.Facts = m.observe()
			m.do(planOf(host))

			host.Facts, host.Adopt = m.observe(), false
			if second := planOf(host); len(second.Changes) > 0 {
				t.Errorf("second plan: %q", steps(second))
			}
			for _, r := range proxyWants() {
				if diff := cmp.Diff(as(r).Have, m.facts[r.ID].Have); diff != "" {
					t.Errorf("%s (-want +got)\n%s", r.ID, diff)
				}
			}
		})
	}
}

// Each kind by itself: created, then nothing to do, then gone when not wanted.
func TestEveryKindComesAndGoes(t *testing.T) {
	for _, r := range proxyWants() {
		t.Run(r.ID.String(), func(t *testing.T) {
			m := newMemory()
			host := plan.Host{Name: "edge", Role: plan.RoleProxy, Want: []plan.Resource{r}, Facts: m.observe()}
			m.do(planOf(host))
			host.Facts = m.observe()
			if again := planOf(host); len(again.Changes) > 0 {
				t.Errorf("second plan: %q", steps(again))
			}
			host.Want = nil
			m.do(planOf(host))
			if len(m.facts) > 0 {
				t.Errorf("left behind: %v", m.facts)
			}
		})
	}
}
