package plan_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/plan"
)

func TestRemember(t *testing.T) {
	host := func(name, address, id string) plan.Member {
		return plan.Member{Name: name, Address: address, MachineID: id}
	}
	behind := func(jump string, m plan.Member) plan.Member {
		m.Jump = jump
		return m
	}
	first := host("gpu-1", "10.0.0.21", "a")
	for name, row := range map[string]struct {
		before, reached, want []plan.Member
	}{
		"the first":           {nil, []plan.Member{first}, []plan.Member{first}},
		"nobody":              {[]plan.Member{first}, nil, []plan.Member{first}},
		"the same":            {[]plan.Member{first}, []plan.Member{first}, []plan.Member{first}},
		"one more":            {[]plan.Member{first}, []plan.Member{host("b", "2", "b")}, []plan.Member{first, host("b", "2", "b")}},
		"its address changed": {[]plan.Member{first}, []plan.Member{host("gpu-1", "10.0.0.9", "a")}, []plan.Member{host("gpu-1", "10.0.0.9", "a")}},
		"it was set up anew":  {[]plan.Member{first}, []plan.Member{host("gpu-1", "10.0.0.21", "b")}, []plan.Member{host("gpu-1", "10.0.0.21", "b")}},
		"another machine": {
			[]plan.Member{first}, []plan.Member{host("gpu-1", "10.0.0.9", "b")},
			[]plan.Member{host("gpu-1 at 10.0.0.21", "10.0.0.21", "a"), host("gpu-1", "10.0.0.9", "b")},
		},
		"perhaps another machine": {
			[]plan.Member{host("gpu-1", "10.0.0.21", "")}, []plan.Member{host("gpu-1", "10.0.0.9", "b")},
			[]plan.Member{host("gpu-1 at 10.0.0.21", "10.0.0.21", ""), host("gpu-1", "10.0.0.9", "b")},
		},
		"it was set aside before": {
			[]plan.Member{host("gpu-1 at 10.0.0.21", "10.0.0.21", "a"), host("gpu-1", "10.0.0.9", "b")}, []plan.Member{host("gpu-1", "10.0.0.9", "b")},
			[]plan.Member{host("gpu-1 at 10.0.0.21", "10.0.0.21", "a"), host("gpu-1", "10.0.0.9", "b")},
		},
		"behind another host": {
			[]plan.Member{first}, []plan.Member{behind("b", first)}, []plan.Member{behind("b", first)},
		},
		"another machine behind another host": {
			[]plan.Member{behind("a", first)}, []plan.Member{behind("b", host("gpu-1", "10.0.0.21", "b"))},
			[]plan.Member{behind("a", host("gpu-1 at 10.0.0.21", "10.0.0.21", "a")), behind("b", host("gpu-1", "10.0.0.21", "b"))},
		},
		"a clone behind another host": {
			[]plan.Member{behind("a", first)}, []plan.Member{behind("b", host("c", "10.0.0.21", "a"))},
			[]plan.Member{behind("a", first), behind("b", host("c", "10.0.0.21", "a"))},
		},
		"under another name": {[]plan.Member{first}, []plan.Member{host("b", "10.0.0.21", "a")}, []plan.Member{host("b", "10.0.0.21", "a")}},
		"a clone":            {[]plan.Member{first}, []plan.Member{host("b", "10.0.0.9", "a")}, []plan.Member{first, host("b", "10.0.0.9", "a")}},
		"and back again": {
			[]plan.Member{host("gpu-1 at 10.0.0.21", "10.0.0.21", "a"), host("gpu-1", "10.0.0.9", "b")}, []plan.Member{first},
			[]plan.Member{host("gpu-1 at 10.0.0.9", "10.0.0.9", "b"), first},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(row.want, plan.Remember(row.before, row.reached)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
