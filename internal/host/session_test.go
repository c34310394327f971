package host_test

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/host"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// session is a locked relay-host together with a small relayctl: it plans with
// plan.Diff, as relayctl does.
type session struct {
	t       testing.TB
	host    *host.Host
	blobs   map[string][]byte // by digest
	adopt   bool
	role    plan.Role // empty: the proxy
	said    []hostapi.Progress
	ports   []plan.Port // that the next plans are made for
	planned plan.HostPlan
	macKey  []byte
}

func (m *debian) lock() *session { return m.lockOf(m.host()) }

func (m *debian) lockOf(host *host.Host) *session {
	m.T.Helper()
	s := &session{t: m.T, host: host, blobs: map[string][]byte{}}
	_, err := s.host.Lock(m.T.Context(), hostapi.Lock{
		Holder: hostapi.LockHolder{Operator: "ops@desk", Command: "apply"}, Stack: "home", Wait: time.Second,
	}, func(string) {})
	if err != nil {
		m.T.Fatal(err)
	}
	m.T.Cleanup(func() { s.host.Close() })
	return s
}

// plan says what has to be done so that the machine has resources.
func (s *session) plan(want ...plan.Resource) []plan.Change {
	s.t.Helper()
	observation, err := s.host.Observe(s.t.Context(), hostapi.Observe{Resources: want})
	if err != nil {
		s.t.Fatal(err)
	}
	s.macKey = observation.MACKey
	s.planned = planOf(s.t, plan.Host{Name: "edge", Role: cmp.Or(s.role, plan.RoleProxy), Want: want, Ports: s.ports, Facts: observation.Facts, Adopt: s.adopt})
	return s.planned.Changes
}

// foretold is what the last plan says of its changes, a line each.
func (s *session) foretold() string {
	signs := map[plan.Action]string{plan.Create: "+", plan.Update: "~", plan.Remove: "-", plan.Attention: "!"}
	lines := s.planned.Left()
	for _, c := range s.planned.Changes {
		if signs[c.Action] == "" {
			continue
		}
		words := []string{signs[c.Action], c.ID.String()}
		for _, attr := range c.Attributes {
			words = append(words, attr.Name, attr.Before, "→", attr.After.Text)
		}
		words = slices.Concat(words, c.Reasons, c.Notes, []string{c.Block})
		lines = append(lines, strings.Join(strings.Fields(strings.Join(words, " ")), " "))
	}
	n := s.planned.Counts()
	return strings.Join(append(lines, fmt.Sprintf("%d to change, %d to remove", n.Update, n.Remove)), "\n")
}

// apply does steps, after their blobs were put.
func (s *session) apply(steps []plan.Change) ([]plan.Fact, error) {
	s.t.Helper()
	for digest, content := range s.blobs {
		err := s.host.Put(hostapi.Put{Blob: digest, Size: len(content), Last: true}, content)
		if err != nil {
			s.t.Fatal(err)
		}
	}
	done, err := s.host.Apply(s.t.Context(), hostapi.Apply{Steps: steps}, func(p hostapi.Progress) { s.said = append(s.said, p) })
	return done.Facts, err
}

// bring plans and applies, and fails the test when that fails.
func (s *session) bring(want ...plan.Resource) []plan.Change {
	s.t.Helper()
	steps := s.plan(want...)
	if _, err := s.apply(steps); err != nil {
		s.t.Fatalf("apply: %v%s", err, logOf(err))
	}
	return steps
}

func logOf(err error) string {
	var told *hostapi.Error
	text := ""
	if errors.As(err, &told) {
		for _, line := range told.Log {
			text += "\n\t" + line
		}
	}
	return text
}

// The resources of the tests.

func resource(kind plan.Kind, name string, want ...string) plan.Resource {
	r := plan.Resource{ID: plan.ID{Kind: kind, Name: name}, Want: map[string]plan.Value{}}
	for i := 0; i < len(want); i += 2 {
		r.Want[want[i]] = plan.Known(want[i+1])
	}
	return r
}

// file is a file of root's with a content that is put.
func (s *session) file(path, content string) plan.Resource {
	r := resource(plan.KindFile, path, plan.AttrMode, "0640", plan.AttrOwner, "root", plan.AttrGroup, "root",
		plan.AttrContent, plan.Digest([]byte(content)))
	s.blobs[plan.Digest([]byte(content))] = []byte(content)
	return r
}

// secretFile is a file whose content is put and secret.
func (s *session) secretFile(path, content string) plan.Resource {
	if s.macKey == nil {
		s.plan()
	}
	sum := hmac.New(sha256.New, s.macKey)
	sum.Write([]byte(content))
	digest := plan.MACPrefix + hex.EncodeToString(sum.Sum(nil))
	r := s.file(path, "")
	r.Want[plan.AttrContent], r.Sensitive = plan.Known(digest), true
	s.blobs[digest] = []byte(content)
	return r
}

// fileFrom is a file that the host fills from its own store.
func (s *session) fileFrom(path string, from plan.ID) plan.Resource {
	r := s.file(path, "")
	r.From, r.Sensitive = &from, from != plan.ID{Kind: plan.KindCA, Name: plan.CAInternal}
	delete(r.Want, plan.AttrContent)
	return r
}

func directory(path string) plan.Resource {
	return resource(plan.KindDirectory, path, plan.AttrMode, "0750", plan.AttrOwner, "root", plan.AttrGroup, "root")
}

func (s *session) program(name, version, content string) plan.Resource {
	s.blobs[plan.Digest([]byte(content))] = []byte(content)
	return resource(plan.KindProgram, name, plan.AttrVersion, version, plan.AttrDigest, plan.Digest([]byte(content)))
}

func unit(name string, of plan.Unit) plan.Resource {
	r := resource(plan.KindUnit, name, plan.AttrEnabled, plan.Yes, plan.AttrRunning, plan.Yes)
	r.Unit = &of
	return r
}

func fileID(path string) plan.ID { return plan.ID{Kind: plan.KindFile, Name: path} }

// planOf plans what has an order.
func planOf(t testing.TB, h plan.Host) plan.HostPlan {
	t.Helper()
	p, err := plan.Diff(h)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
