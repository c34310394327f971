package plan_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/plan"
)

// A kind that is listed nowhere is planned, counted, told and ordered like any
// other.
func TestUnlistedKind(t *testing.T) {
	rule := func(port string) plan.Host {
		return plan.Host{Role: plan.RoleProxy, Want: []plan.Resource{want("rule", "web", "port="+port)}}
	}
	m := newMemory()
	for _, row := range []struct {
		name   string
		host   plan.Host
		counts plan.Counts
	}{
		{"new", rule("443"), plan.Counts{Create: 1}},
		{"as it should be", rule("443"), plan.Counts{}},
		{"another way", rule("8443"), plan.Counts{Update: 1}},
		{"not wanted any more", plan.Host{Role: plan.RoleProxy}, plan.Counts{Remove: 1}},
		{"gone", plan.Host{Role: plan.RoleProxy}, plan.Counts{}},
	} {
		row.host.Facts = m.observe()
		got := planOf(row.host)
		if got.Counts() != row.counts {
			t.Errorf("%s: %+v, want %+v: %q", row.name, got.Counts(), row.counts, steps(got))
		}
		m.do(got)
	}
	d := plan.Kind("rule").Describe()
	said := []string{id("rule", "web").Title(), d.Verb(plan.Create).Doing, d.Verb(plan.Update).Done, d.Verb(plan.Remove).Doing}
	if diff := cmp.Diff([]string{"rule web", "making", "changed", "removing"}, said); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
}

func TestNames(t *testing.T) {
	for _, row := range []struct {
		kind      plan.Kind
		good, bad []string
	}{
		{plan.KindPort, nil, []string{"443"}},
		{plan.KindPackage, []string{"caddy", "libc6", "g++"}, []string{"", "-y", "Caddy", "caddy=1", "a"}},
		{plan.KindUser, []string{"relay", "_apt"}, []string{"", "-r", "Relay", "a:b"}},
		{plan.KindDirectory, []string{"/etc/relay"}, []string{"", "/", "etc", "/etc/", "/etc/../root", "/etc/a\nb"}},
		{plan.KindFile, []string{"/etc/relay/a b.json"}, []string{"/", "a", "/a//b", "/a/\x7f"}},
		{plan.KindSecret, []string{"worker.next"}, []string{"", ".hidden", "a/b", "-a"}},
		{plan.KindUnit, []string{"caddy.service", "getty@tty1.service", `a\x2db.socket`}, []string{"caddy", "-a.service", "a b.service", "a.slice"}},
		{"rule", []string{"web"}, []string{"", "../web", "-web"}},
	} {
		for _, name := range row.good {
			if err := id(row.kind, name).CheckName(); err != nil {
				t.Error(err)
			}
		}
		for _, name := range row.bad {
			if err := id(row.kind, name).CheckName(); err == nil {
				t.Errorf("%q may be the name of a %s", name, row.kind)
			}
		}
	}
}
