package host_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// everything is a stack with all kinds of resources, in its form at a time:
// 0 is nothing at all, 1 and 2 differ in each kind that can change.
func (s *session) everything(form int) []plan.Resource {
	if form == 0 {
		return nil
	}
	text := fmt.Sprintf("form %d\n", form)
	caddy := s.caddy("caddy " + text)
	token := resource(plan.KindSecret, "worker")
	ca := resource(plan.KindCA, "internal", plan.AttrDomain, fmt.Sprintf("form%d.example", form))
	program := s.program("relay-server", fmt.Sprint(form), "program "+text)
	return append(caddy,
		resource(plan.KindUser, "relay", plan.AttrHome, "/nonexistent"),
		directory("/etc/relay"), directory("/etc/workers.d"),
		ca, token, resource(plan.KindKey, "laptop", plan.AttrDigest, strings.Repeat(fmt.Sprint(form), 64)),
		program,
		s.file(serviceFile, "[Service]\n# "+text), s.file("/etc/relay.conf", text),
		s.file(fmt.Sprintf("/etc/workers.d/only-in-%d", form), text),
		s.fileFrom("/etc/relay/token", token.ID), s.fileFrom("/etc/relay/root.pem", plan.ID{Kind: plan.KindCA, Name: plan.CAInternal}),
		s.secretFile("/etc/relay/backend", "secret "+text),
		unit("relay.service", plan.Unit{
			Restart: []plan.ID{fileID(serviceFile), fileID("/etc/relay.conf")},
			Reload:  []plan.ID{{Kind: plan.KindDirectory, Name: "/etc/workers.d"}, fileID("/etc/relay/token")},
			Program: &program.ID,
		}),
	)
}

// crashMachine has something of somebody else in the way.
func crashMachine(t *testing.T) *debian {
	m := newMachine(t)
	m.Write("/etc/relay.conf", "theirs\n")
	m.ServeCaddy()
	m.Systemd.Unit("caddy.service").Reads = []string{"/etc/caddy/Caddyfile"}
	m.Systemd.Unit("relay.service").Reads = []string{serviceFile, "/etc/relay.conf", "/etc/workers.d", "/etc/relay/token"}
	return m
}

// crash ends relay-host; no code of ours runs after it.
type crash struct{ at string }

// run brings the machine to a form with a relay-host of its own, which ends at
// the nth of all points where it could; 0 is never. It returns how many points
// it came by, and where it ended.
func (m *debian) run(form, n int) (points int, at string) {
	m.T.Helper()
	m.Point = func(what string) {
		if points++; points == n {
			panic(crash{what})
		}
	}
	defer func() {
		m.Point = func(string) {}
		if ended, ok := recover().(crash); ok {
			at = ended.at
			if strings.HasSuffix(at, " unsaved") {
				m.loseLastLine()
			}
		}
	}()
	s := m.lock()
	defer s.host.Close() // the kernel would give the lock back
	s.adopt = true
	steps := s.plan(s.everything(form)...)
	for digest, content := range s.blobs {
		if err := s.host.Put(hostapi.Put{Blob: digest, Size: len(content), Last: true}, content); err != nil {
			m.T.Fatal(err)
		}
	}
	_, err := s.host.Apply(m.T.Context(), hostapi.Apply{Steps: steps}, func(p hostapi.Progress) {
		switch p.State {
		case hostapi.Started:
			m.Point(fmt.Sprintf("before step %d", p.Step))
		case hostapi.Done:
			// As if it had ended before the end of the step was on the disk.
			m.Point(fmt.Sprintf("after step %d (%s %s) unsaved", p.Step, steps[p.Step].Action, steps[p.Step].ID))
		}
	})
	if err != nil {
		m.T.Fatalf("apply form %d: %v%s", form, err, logOf(err))
	}
	return points, ""
}

// loseLastLine takes the end of the last step out of the journal.
func (m *debian) loseLastLine() {
	text := strings.TrimSuffix(m.Read(journalFile), "\n")
	lost := text[strings.LastIndexByte(text, '\n')+1:]
	if !strings.Contains(lost, `"changed":`) {
		m.T.Fatalf("the last line is no end of a step: %s", lost)
	}
	m.Write(journalFile, strings.TrimSuffix(text, lost))
}

// state is all that should be the same, however often relay-host ended: what
// was made at random and the times are left out.
func (m *debian) state() map[string]string {
	m.T.Helper()
	state := map[string]string{}
	err := filepath.WalkDir(m.Root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, m.Root)
		info, err := entry.Info()
		if err != nil {
			return err
		}
		for _, history := range []string{"/var/lib/relayctl/generations/", "/var/lib/relayctl/lock", "/run/clock"} {
			if strings.HasPrefix(name, history) && !strings.HasPrefix(name, "/var/lib/relayctl/generations/0/") {
				return nil
			}
		}
		state[name] = info.Mode().String()
		if name == journalFile {
			state[name] += " " + m.ours()
		} else if content, err := os.ReadFile(path); err == nil {
			state[name] += " " + timeless(name, content)
		}
		return nil
	})
	if err != nil {
		m.T.Fatal(err)
	}
	for name, unit := range m.Systemd.All {
		state[name] = fmt.Sprintf("enabled %v, %s, has its files %v", unit.Enabled, unit.State.Active, unit.State.Active != "active" || unit.Fresh())
	}
	return state
}

const journalFile = "/var/lib/relayctl/journal.jsonl"

// ours lists what the journal says is ours.
func (m *debian) ours() string {
	m.T.Helper()
	journal, err := record.Read(m.Path("/var/lib/relayctl"))
	if err != nil {
		m.T.Fatal(err)
	}
	text := ""
	if manifest := journal.Manifest(); manifest != nil {
		for _, entry := range manifest.Resources {
			text += fmt.Sprintf("%s made %v kept %q\n", entry.ID, entry.Made, entry.Kept)
		}
	}
	return strings.Join(slices.Sorted(strings.Lines(text)), "")
}

// owed lists what a unit has yet to load, by the journal.
func (m *debian) owed(unit string) []plan.ID {
	m.T.Helper()
	journal, err := record.Read(m.Path("/var/lib/relayctl"))
	if err != nil {
		m.T.Fatal(err)
	}
	return journal.Owed(unit)
}

func timeless(name string, content []byte) string {
	switch {
	case bytes.Contains(content, []byte("BEGIN")) || strings.Contains(name, "/secrets/") || strings.HasSuffix(name, "/token") || strings.HasSuffix(name, "mac.key"):
		return fmt.Sprintf("%d bytes or so", len(content)/100)
	}
	return string(content)
}

// An apply that ends at any moment, and is then done again, leaves the machine
// as one that was never disturbed.
func TestApplyThatEndsAnywhereIsMadeGood(t *testing.T) {
	for _, way := range []struct {
		name  string
		forms []int // the machine's way; the last apply is the one that is cut off
	}{{"first apply", []int{1}}, {"change", []int{1, 2}}, {"leave", []int{1, 0}}} {
		t.Run(way.name, func(t *testing.T) {
			last := way.forms[len(way.forms)-1]
			walk := func(t *testing.T, n int) (m *debian, points int, at string) {
				m = crashMachine(t)
				for _, form := range way.forms[:len(way.forms)-1] {
					m.run(form, 0)
				}
				points, at = m.run(last, n)
				return m, points, at
			}
			var want map[string]string
			var points int
			bubble(t, func(t *testing.T) {
				m, passed, _ := walk(t, 0)
				want, points = m.state(), passed
			})
			if points < 20 {
				t.Fatalf("only %d points", points)
			}
			for n := 1; n <= points; n++ {
				bubble(t, func(t *testing.T) {
					m, _, at := walk(t, n)
					if at == "" {
						t.Fatalf("it never came to point %d", n)
					}
					m.run(last, 0)
					if diff := cmp.Diff(want, m.state()); diff != "" {
						t.Errorf("ended %s, then done again (-undisturbed +got):\n%s", at, diff)
					}
					s := m.lock()
					if steps := s.plan(s.everything(last)...); counted(steps) > 0 {
						t.Errorf("ended %s: a third plan has %v", at, steps)
					}
				})
			}
		})
	}
}

func counted(steps []plan.Change) (n int) {
	for _, step := range steps {
		if step.Counts() {
			n++
		}
	}
	return n
}

// What was made just before the end counts as ours at the next look: nobody has
// to adopt it, even when the stack has changed meanwhile.
func TestWhatWasJustMadeIsOurs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := crashMachine(t)
		for n := 1; ; n++ {
			if _, at := m.run(1, n); strings.HasPrefix(at, "after") && strings.HasSuffix(at, "(change file /etc/relay.conf) unsaved") {
				break
			}
			m = crashMachine(t)
		}
		fact := m.observe().Find(fileID("/etc/relay.conf"))
		if fact.Applied == nil || !fact.Applied.Made || m.Read(fact.Applied.Kept) != "theirs\n" {
			t.Errorf("it is taken for %+v", fact.Applied)
		}
	})
}

// A look, however often, leaves no trace.
func TestObservingChangesNothing(t *testing.T) {
	m := crashMachine(t)
	before := m.state()
	s := &session{t: t, host: m.host(), blobs: map[string][]byte{}, macKey: make([]byte, 32)}
	_, err := s.host.Observe(t.Context(), hostapi.Observe{Resources: s.everything(1)})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, m.state()); diff != "" {
		t.Error(diff)
	}
	if len(m.Commands) != 1 {
		t.Errorf("ran %q", m.Commands)
	}
}

// The key that a first look was told is the one that the first apply keeps.
func TestKeyForDigestsIsKept(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	s.bring(s.secretFile("/etc/key", "a secret"))
	first := s.macKey

	s.host.Close()
	again := m.lock()
	again.plan()
	if !bytes.Equal(first, again.macKey) {
		t.Error("another conversation has another key")
	}
}

// Of two conversations that looked at a bare host, the key of the one that
// applied first is kept, and taken over by the other.
func TestKeyForDigestsOfAnotherConversation(t *testing.T) {
	m := newMachine(t)
	second := m.host()
	look := func() []byte {
		t.Helper()
		seen, err := second.Observe(t.Context(), hostapi.Observe{})
		if err != nil {
			t.Fatal(err)
		}
		return seen.MACKey
	}
	look()
	first := m.lock()
	first.bring(first.secretFile("/etc/key", "a secret"))
	first.host.Close()
	if _, err := second.Lock(t.Context(), hostapi.Lock{Stack: "home"}, func(string) {}); err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if !bytes.Equal(first.macKey, look()) {
		t.Error("the second conversation has a key of its own")
	}
}
