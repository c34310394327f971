package plan_test

import (
	"testing"

	"github.com/relayctl/relayctl/internal/plan"
)

// What apply can do nothing about stops it, with --adopt, too.
func TestWhatApplyCanDoNothingAbout(t *testing.T) {
	unitFile := plan.Resource{
		ID:   plan.ID{Kind: plan.KindFile, Name: "/etc/systemd/system/caddy.service"},
		Want: map[string]plan.Value{plan.AttrContent: plan.Known("sha256:1")},
	}
	unit := func(wanted string) plan.Resource {
		return plan.Resource{
			ID:   plan.ID{Kind: plan.KindUnit, Name: "caddy.service"},
			Want: map[string]plan.Value{plan.AttrRunning: plan.Known(wanted)},
		}
	}
	for _, test := range []struct {
		name   string
		want   []plan.Resource
		have   map[string]string
		blocks bool
	}{
		{"a directory in the place of a file", []plan.Resource{unitFile}, map[string]string{plan.AttrContent: "not a file"}, true},
		{"a user that is as it should be but for that", []plan.Resource{{ID: plan.ID{Kind: plan.KindUser, Name: "relay"}}}, nil, true},
		{"a masked unit that should run", []plan.Resource{unit(plan.Yes)}, map[string]string{plan.AttrRunning: plan.No}, true},
		{"a masked unit that should be off", []plan.Resource{unit(plan.No)}, map[string]string{plan.AttrRunning: plan.No}, false},
		{"a masked unit whose file we bring", []plan.Resource{unit(plan.Yes), unitFile}, map[string]string{plan.AttrRunning: plan.No}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			fact := plan.Fact{ID: test.want[0].ID, Exists: true, Have: test.have, InWay: "something is in the way"}
			todo := planOf(plan.Host{Name: "edge", Want: test.want, Facts: plan.Facts{Resources: []plan.Fact{fact}}, Adopt: true})
			blocked := todo.Blocked()
			if test.blocks != (len(blocked) == 1) {
				t.Fatalf("blocked by %+v", blocked)
			}
			if test.blocks && (blocked[0].ID != fact.ID || blocked[0].Block != "something is in the way" || blocked[0].Adoptable) {
				t.Errorf("blocked by %+v", blocked[0])
			}
		})
	}
}
