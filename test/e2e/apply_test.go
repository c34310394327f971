package e2e_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestApply follows a stack from bare hosts to a token, and holds that a
// second look finds nothing to do and changes nothing.
func TestApply(t *testing.T) {
	s := newSite(t)

	before := s.snapshots()
	plan := s.mustRelayctl("plan")
	want(t, plan, "gpu-1", "gpu-2", "+ package caddy", "Nothing was changed.")
	if diff := cmp.Diff(before, s.snapshots()); diff != "" {
		t.Fatalf("plan changed a fresh host (-before +after):\n%s", diff)
	}

	said := s.apply()
	want(t, said, "stub answered through https://"+domain)

	before = s.snapshots()
	want(t, s.mustRelayctl("plan", "--detailed-exitcode"), "Everything is as stack.hcl says")
	if diff := cmp.Diff(before, s.snapshots()); diff != "" {
		t.Errorf("a plan with no changes changed a host (-before +after):\n%s", diff)
	}
	services := s.services()
	want(t, s.apply(), "stub answered through https://"+domain)
	if diff := cmp.Diff(services, s.services()); diff != "" {
		t.Errorf("an apply with no changes restarted something (-before +after):\n%s", diff)
	}
	want(t, s.mustRelayctl("status"), "all well")
}
