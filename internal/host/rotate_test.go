package host_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// rotating are a worker's secret, the one that is to take its place, and a
// file made from either.
func (s *session) rotating() (present, next, file plan.Resource) {
	present = resource(plan.KindSecret, plan.SecretWorker)
	next = resource(plan.KindSecret, plan.SecretWorkerNext)
	return present, next, s.fileFrom("/etc/token", present.ID)
}

func TestSecretTakesThePlaceOfAnother(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	present, next, file := s.rotating()
	s.bring(present, file)
	before := m.Read("/etc/token")
	s.bring(present, next, file)
	if m.Read("/etc/token") != before {
		t.Error("the file was made from the next one before its time")
	}
	made := m.observe().Find(next.ID)
	hash := made.Have[plan.AttrPublic]

	file.From = &next.ID
	file.Want[plan.AttrContent] = plan.Known(made.Have[plan.AttrMAC])
	s.bring(present, next, file)
	after := m.Read("/etc/token")
	if after == before || after != m.Read("/var/lib/relayctl/secrets/worker.next") {
		t.Error("the file was not made from the next one")
	}

	present.From, present.Want = &next.ID, map[string]plan.Value{plan.AttrPublic: plan.Known(hash)}
	file.From = &present.ID
	steps := s.bring(present, file)
	if m.Read("/var/lib/relayctl/secrets/worker") != after || m.Read("/var/lib/relayctl/secrets/worker.next") != "absent" {
		t.Error("the next one did not take the place")
	}
	if m.Read("/etc/token") != after {
		t.Error("the file was touched")
	}
	// Steps that were done before relay-host was cut off are done again.
	if _, err := s.apply(steps); err != nil {
		t.Errorf("once more: %v", err)
	}
	present.From, present.Want = nil, nil
	if left := s.plan(present, file); len(left) > 0 {
		t.Errorf("left to do: %+v", left)
	}
}

// Only the secret that the plan saw takes over.
func TestAnotherSecretDoesNotTakeOver(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	present, next, _ := s.rotating()
	s.bring(present, next)
	before := m.Read("/var/lib/relayctl/secrets/worker")
	for name, spoil := range map[string]func(*plan.Resource){
		"another hash": func(r *plan.Resource) { r.Want[plan.AttrPublic] = plan.Known(strings.Repeat("0", 64)) },
		"not made":     func(r *plan.Resource) { r.From = &plan.ID{Kind: plan.KindSecret, Name: "nobody"} },
		"a path":       func(r *plan.Resource) { r.From = &plan.ID{Kind: plan.KindSecret, Name: "../../../etc/passwd"} },
		"no secret":    func(r *plan.Resource) { r.From = &plan.ID{Kind: plan.KindCA, Name: plan.CAInternal} },
	} {
		r := resource(plan.KindSecret, plan.SecretWorker, plan.AttrPublic, m.observe().Find(next.ID).Have[plan.AttrPublic])
		r.From = &next.ID
		spoil(&r)
		if _, err := s.apply(s.plan(r, next)); err == nil {
			t.Errorf("%s: taken", name)
		}
		if m.Read("/var/lib/relayctl/secrets/worker") != before {
			t.Errorf("%s: the secret changed", name)
		}
	}
}

// A replaced key stays good for its grace; one that nobody was shown does not,
// but what it replaced does.
func TestReplacedKeyKeepsTheFormer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		s := m.lock()
		until := time.Now().Add(24 * time.Hour).UTC().Truncate(time.Second)
		first, second, third := strings.Repeat("11", 32), strings.Repeat("22", 32), strings.Repeat("33", 32)
		replace := func(hash string, until time.Time) {
			t.Helper()
			key := resource(plan.KindKey, "laptop", plan.AttrDigest, hash)
			steps := s.plan(key)
			if !until.IsZero() {
				steps[0].Resource.Want[plan.AttrUntil] = plan.Known(until.Format(time.RFC3339))
			}
			if _, err := s.apply(steps); err != nil {
				t.Fatal(err)
			}
		}
		show := func() {
			t.Helper()
			if err := s.host.Finish(hostapi.Finish{Stack: "home", Shown: []string{"laptop"}, OK: true}); err != nil {
				t.Fatal(err)
			}
		}
		want := func(have map[string]string) {
			t.Helper()
			if diff := cmp.Diff(have, m.observe().Find(plan.ID{Kind: plan.KindKey, Name: "laptop"}).Have); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		}
		replace(first, time.Time{})
		show()
		replace(second, until)
		want(map[string]string{plan.AttrDigest: second, plan.AttrShown: plan.No, plan.AttrFormer: first + "@" + until.Format(time.RFC3339)})
		later := until.Add(time.Hour)
		replace(third, later) // nobody saw the second one
		want(map[string]string{plan.AttrDigest: third, plan.AttrShown: plan.No, plan.AttrFormer: first + "@" + later.Format(time.RFC3339)})
		show()
		replace(second, time.Time{}) // without grace
		want(map[string]string{plan.AttrDigest: second, plan.AttrShown: plan.No, plan.AttrFormer: first + "@" + later.Format(time.RFC3339)})
		time.Sleep(48 * time.Hour)
		replace(third, time.Time{})
		want(map[string]string{plan.AttrDigest: third, plan.AttrShown: plan.No})
	})
}
