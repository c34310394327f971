package plan_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/plan"
)

// What is left is told of what was found, and of nothing that goes with another
// thing or has a line of its own.
func TestLeft(t *testing.T) {
	change := func(action plan.Action, kind plan.Kind, name string) plan.Change {
		id := plan.ID{Kind: kind, Name: name}
		return plan.Change{ID: id, Action: action, Fact: plan.Fact{ID: id, Exists: true}}
	}
	unit := change(plan.Forget, plan.KindUnit, "caddy.service")
	for _, row := range []struct {
		name    string
		changes []plan.Change
		want    []string
	}{
		{"found", []plan.Change{unit}, []string{"found by relayctl, so left as it is: unit caddy.service"}},
		{"goes with its package", []plan.Change{unit, change(plan.Remove, plan.KindPackage, "caddy")}, nil},
		{"its package stays", []plan.Change{unit, change(plan.Forget, plan.KindPackage, "caddy")},
			[]string{"found by relayctl, so left as it is: unit caddy.service, package caddy"}},
		{"what clients trust", []plan.Change{change(plan.Forget, plan.KindCA, "internal"), change(plan.Forget, plan.KindKey, "laptop")}, nil},
	} {
		if diff := cmp.Diff(row.want, plan.HostPlan{Changes: row.changes}.Left()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", row.name, diff)
		}
	}
}

// What clients trust and was left behind goes when that is asked for, also where
// nothing else tells of it; on a host of the stack it stays.
func TestTrustLeftBehind(t *testing.T) {
	facts := plan.Facts{Resources: []plan.Fact{
		{ID: plan.ID{Kind: plan.KindCA, Name: "internal"}, Exists: true}, {ID: plan.ID{Kind: plan.KindSecret, Name: "probe"}, Exists: true},
	}}
	for _, row := range []struct {
		role plan.Role
		keep bool
		want int
	}{{plan.RoleDeparted, false, 1}, {plan.RoleDeparted, true, 0}, {plan.RoleProxy, false, 0}} {
		got, err := plan.Diff(plan.Host{Name: "edge", Role: row.role, KeepTrust: row.keep, Facts: facts})
		if err != nil || len(got.Changes) != row.want {
			t.Errorf("%s, keep is %t: %v, %v", row.role, row.keep, got.Changes, err)
		}
	}
}
