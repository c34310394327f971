package plan_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/plan"
)

func TestOverriddenUnits(t *testing.T) {
	taken := func(h *plan.Host, exists bool) {
		for i, fact := range h.Facts.Resources {
			switch fact.Name {
			case "caddy.service":
				h.Facts.Resources[i].Overrides, h.Facts.Resources[i].Stale = nil, nil
			case shopDropIn:
				h.Facts.Resources[i].Exists = exists
				h.Facts.Resources[i].Applied = &plan.Applied{ID: fact.ID, Taken: &plan.TakenOver{Number: 3}, Kept: "/kept"}
			}
		}
	}
	for _, row := range []struct {
		name   string
		shared bool
		set    func(h *plan.Host)
		want   []string
	}{
		{"stops apply", false, func(*plan.Host) {}, []string{
			"attention file " + shopDropIn + " BLOCK not made by relayctl; by it unit caddy starts caddy --config /etc/caddy/caddy.json (adoptable)"}},
		{"is taken over", false, func(h *plan.Host) { h.Adopt = true }, []string{
			"remove file " + shopDropIn + ", by it unit caddy starts caddy --config /etc/caddy/caddy.json (adopted)",
			"restart unit caddy.service, because " + shopDropIn + " changes"}},
		{"is for others as well", true, func(h *plan.Host) { h.Adopt = true }, []string{
			"remove file " + shopDropIn + ", by it unit caddy starts caddy --config /etc/caddy/caddy.json (adopted)",
			"attention file " + proxyDropIn + " BLOCK not made by relayctl; it changes Environment of unit caddy; it changes Environment of unit relay-server"}},
		{"was taken over", false, func(h *plan.Host) { taken(h, false) }, nil},
		{"was taken over, and its like is harmless now", false, func(h *plan.Host) { taken(h, true) }, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			host := overriddenEdge(row.shared)
			row.set(&host)
			if diff := cmp.Diff(row.want, steps(planOf(host))); diff != "" {
				t.Error("(-want +got)\n" + diff)
			}
		})
	}
}

// The other unit of Caddy's package would start in the place of ours.
func TestRivalOfAUnit(t *testing.T) {
	for _, row := range []struct {
		name, enabled, running string
		want                   []string
	}{
		{"off", "no", "no", nil},
		{"set to start", "yes", "no", []string{"attention unit caddy-api.service BLOCK not ours; runs in the place of caddy (adoptable)"}},
		{"on", "no", "yes", []string{"attention unit caddy-api.service BLOCK not ours; runs in the place of caddy (adoptable)"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			facts := append(asWanted(proxyWants()), found(plan.KindUnit, "caddy-api.service", "enabled="+row.enabled, "running="+row.running))
			host := edge(facts...)
			for i, want := range host.Want {
				if want.Name == "caddy.service" {
					of := *want.Unit
					of.Rivals = []string{"caddy-api.service"}
					host.Want[i].Unit = &of
				}
			}
			if diff := cmp.Diff(row.want, steps(planOf(host))); diff != "" {
				t.Error("(-want +got)\n" + diff)
			}
		})
	}
}
