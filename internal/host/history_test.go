package host_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// history asks a fresh relay-host, which changes nothing.
func (m *debian) history(steps int) hostapi.HistoryTold {
	m.T.Helper()
	told, err := m.host().History(hostapi.History{Stack: "home", Last: hostapi.MaxPast, Steps: steps})
	if err != nil {
		m.T.Fatal(err)
	}
	return told
}

// finish ends the session's apply.
func (s *session) finish(ok bool, why string) {
	s.t.Helper()
	if err := s.host.Finish(hostapi.Finish{Stack: "home", OK: ok, Why: why}); err != nil {
		s.t.Fatal(err)
	}
	if err := s.host.Unlock(); err != nil {
		s.t.Fatal(err)
	}
}

// ends says in short how applies ended.
func ends(told hostapi.HistoryTold) []string {
	var list []string
	for _, one := range told.Applies {
		text := fmt.Sprintf("%d %s: %s", one.Number, one.State, one.Summary)
		if one.Why != "" {
			text += "; " + one.Why
		}
		if one.At != nil {
			text += "; in " + one.At.ID.String()
		}
		list = append(list, text)
	}
	return list
}

// taken says in short how steps went.
func taken(steps []plan.StepTaken) []string {
	list := []string{}
	for _, step := range steps {
		text := fmt.Sprintf("%d %s %s", step.Step, step.Action, step.ID)
		switch {
		case step.Error != "":
			text += ": " + step.Error
		case step.Done():
			text += ": done"
		}
		list = append(list, text)
	}
	return list
}

func wantDiff(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestStepsAreTakenDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMachine(t)
		s := m.lock()
		s.bring(s.file("/etc/one", "1\n"), directory("/etc/two"))
		s.bring(s.file("/etc/one", "2\n"), directory("/etc/two"))
		s.finish(true, "")
		s = m.lock()
		bad := s.file("/etc/bad/below", "1\n")
		if _, err := s.apply(s.plan(s.file("/etc/one", "2\n"), directory("/etc/two"), bad)); err == nil {
			t.Fatal("a file without a folder was written")
		}
		s.finish(false, "gpu-1: it failed\nwith more")

		told := m.history(2)
		wantDiff(t, "the history", []string{
			"1 done: 2 created, 1 changed", "2 failed: nothing changed; gpu-1: it failed",
		}, ends(told))
		if len(told.Steps) != 1 || !strings.HasPrefix(told.Steps[0].Error, "write: ") || strings.Contains(told.Steps[0].Error, "\n") {
			t.Errorf("the steps of the second are %q", taken(told.Steps))
		}
		wantDiff(t, "the steps of the first", []string{
			"1 create directory /etc/two: done", "2 create file /etc/one: done", "3 change file /etc/one: done",
		}, taken(m.history(1).Steps))
		first := told.Applies[0]
		if first.Operator != "ops@desk" || first.Command != "apply" || first.Stack != "home" || first.Steps != 3 || first.Began.IsZero() || first.Ended.IsZero() {
			t.Errorf("the first is %+v", first)
		}
	})
}

// A relay-host that is killed anywhere leaves a history that tells what it had
// done, before and after the next lock, and its number is not given twice.
func TestWhatWasCutOffIsInTheHistory(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const at = "before apt"
		m := crashMachine(t)
		n := 0
		for point := 1; n == 0; point++ {
			if _, where := m.run(1, point); where == at {
				n = point
			}
			m = crashMachine(t)
		}
		m.run(1, n)
		want := []string{"1 cut off: nothing changed; in package caddy"}
		wantDiff(t, "before the next lock", want, ends(m.history(0)))
		seen, err := m.host().Observe(t.Context(), hostapi.Observe{})
		if err != nil || seen.CutOffAt == nil || seen.CutOffAt.ID != caddyPackage.ID {
			t.Errorf("a look tells that it ended in %+v, %v", seen.CutOffAt, err)
		}
		for range 2 {
			s := m.lock()
			wantDiff(t, "under the next lock", append(want, "2 running: nothing changed"), ends(m.history(0)))
			if err := s.host.Unlock(); err != nil {
				t.Fatal(err)
			}
			wantDiff(t, "after it was given up", want, ends(m.history(0)))
		}
		m.run(1, 0) // and ends without having finished
		told := m.history(2)
		if len(told.Applies) != 2 || told.Applies[1].State != plan.PastCutOff || told.Applies[1].At != nil || told.Applies[1].Steps < 10 {
			t.Errorf("the history is %q", ends(told))
		}
		if len(told.Steps) != told.Applies[1].Steps || told.Steps[0].ID != caddyPackage.ID || !told.Steps[0].Done() {
			t.Errorf("the steps are %q", taken(told.Steps))
		}
		if m.lock().host.Finish(hostapi.Finish{Stack: "home", OK: true}); len(m.history(0).Applies) != 3 {
			t.Errorf("the history is %q", ends(m.history(0)))
		}
	})
}

func TestApplyThatCameToNoStepIsInTheHistory(t *testing.T) {
	m := newMachine(t)
	m.lock().host.Close()
	wantDiff(t, "the history", []string{"1 cut off: nothing changed"}, ends(m.history(0)))
	s := m.lock()
	s.finish(true, "")
	told := m.history(2)
	wantDiff(t, "the history", []string{"1 cut off: nothing changed", "2 done: nothing changed"}, ends(told))
	if told.Steps != nil || m.Read("/var/lib/relayctl/steps/2.jsonl") != "absent" {
		t.Errorf("steps of an apply without any: %v", told.Steps)
	}
}

func TestNumberOfAllHosts(t *testing.T) {
	m := newMachine(t)
	lock := func(number int) hostapi.Locked {
		t.Helper()
		h := m.host()
		locked, err := h.Lock(t.Context(), hostapi.Lock{Stack: "home", Number: number}, func(string) {})
		if err == nil {
			err = h.Finish(hostapi.Finish{Stack: "home", OK: true})
		}
		if err == nil {
			err = h.Unlock()
		}
		if err != nil {
			t.Fatal(err)
		}
		return locked
	}
	got := []hostapi.Locked{lock(12), lock(7), lock(0), lock(20)}
	wantDiff(t, "numbers", []hostapi.Locked{{Number: 12}, {Number: 13, Last: 12}, {Number: 14, Last: 13}, {Number: 20, Last: 14}}, got)
}

// An apply that begins or ends while the history is read was not cut off.
func TestHistoryOfWhatRunsMeanwhile(t *testing.T) {
	m := newMachine(t)
	over, wrong := make(chan struct{}), make(chan string, 1)
	meanwhile := 0 // looks that saw an apply at work
	go func() {
		defer close(wrong)
		for {
			select {
			case <-over:
				return
			default:
			}
			told, err := m.host().History(hostapi.History{Stack: "home", Last: hostapi.MaxPast})
			if list := fmt.Sprint(ends(told)); err != nil || strings.Contains(list, "cut off") {
				wrong <- fmt.Sprintf("told is %s, %v", list, err)
				return
			} else if strings.Contains(list, string(plan.PastRunning)) {
				meanwhile++
			}
		}
	}()
	for i := range 100 {
		s := m.lock()
		s.bring(s.file("/etc/motd", fmt.Sprint(i)))
		s.finish(true, "")
	}
	close(over)
	for text := range wrong {
		t.Error(text)
	}
	if meanwhile == 0 {
		t.Error("nobody looked while an apply was at work: the test shows nothing")
	}
}

func TestJournalsAndHistoryAreBounded(t *testing.T) {
	m := newMachine(t)
	for i := range 25 {
		s := m.lock()
		s.bring(s.file("/etc/motd", fmt.Sprint(i)))
		s.finish(true, "")
	}
	if m.history(5).Steps != nil || len(m.history(6).Steps) != 1 {
		t.Errorf("kept are steps of the fifth %v, of the sixth %v", m.history(5).Steps, m.history(6).Steps)
	}
	told, err := m.host().History(hostapi.History{Stack: "home", Last: 2})
	if err != nil || len(told.Applies) != 2 || told.Applies[1].Number != 25 || !told.More {
		t.Errorf("the last two are %q, %v", ends(told), err)
	}
	if told, err = m.host().History(hostapi.History{Stack: "work", Last: 2}); err != nil || len(told.Applies) != 0 {
		t.Errorf("of another stack are told %q, %v", ends(told), err)
	}
	if _, err = m.host().History(hostapi.History{Stack: "home", Last: hostapi.MaxPast + 1}); code(err) != hostapi.CodeBadRequest {
		t.Errorf("too many: %v", err)
	}
}

// A power cut may leave half a line.
func TestTornLinesAreNoLines(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	s.bring(s.file("/etc/motd", "1"))
	s.finish(true, "")
	first := len(m.Read(journalFile))
	s = m.lock()
	s.bring(s.file("/etc/motd", "2"), s.file("/etc/other", "2"))
	s.host.Close()
	lines := m.Read(journalFile)
	begun := first + strings.IndexByte(lines[first:], '\n') + 1
	for cut := begun; cut < len(lines); cut++ {
		m.Write(journalFile, lines[:cut])
		told := m.history(2)
		if len(told.Applies) != 2 || told.Applies[1].State != plan.PastCutOff {
			t.Fatalf("after %d bytes of the journal: %q", cut, ends(told))
		}
	}
	m.Write(journalFile, lines+`{"end":{"past":{"apply":2,"sta`)
	m.lock().host.Unlock()
	wantDiff(t, "the history", []string{"1 done: 1 created", "2 cut off: 1 created, 1 changed"}, ends(hostapi.HistoryTold{
		Applies: m.history(0).Applies,
	}))
}

// Journal and history hold no secret and are for root alone.
func TestJournalHoldsNoSecret(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	s.bring(s.rotatingAll()...)
	s.finish(true, "")
	token := strings.TrimSpace(m.Read("/var/lib/relayctl/secrets/worker"))
	searched := 0
	err := filepath.WalkDir(m.Path("/var/lib/relayctl"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".jsonl") {
			return err
		}
		searched++
		content, err := os.ReadFile(path)
		for name, secret := range map[string]string{"a secret file": "a-secret-of-theirs", "a made secret": token} {
			if strings.Contains(string(content), secret) {
				t.Errorf("%s holds %s:\n%s", path, name, content)
			}
		}
		if info, err := entry.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
		return err
	})
	if err != nil || searched != 1 || len(token) < 32 {
		t.Errorf("searched %d files: %v", searched, err)
	}
}

// rotatingAll are secrets of all kinds, and files with them.
func (s *session) rotatingAll() []plan.Resource {
	present, next, file := s.rotating()
	return []plan.Resource{present, next, file, s.secretFile("/etc/theirs", "a-secret-of-theirs")}
}

const foreignUnit = "nginx.service"

// displace is the step that takes over a unit of somebody else.
func displace() plan.Change {
	off := resource(plan.KindUnit, foreignUnit, plan.AttrEnabled, plan.No, plan.AttrRunning, plan.No)
	return plan.Change{
		ID: off.ID, Action: plan.Update, Adopt: true, Resource: &off,
		Fact: plan.Fact{ID: off.ID, Exists: true, Have: map[string]string{plan.AttrEnabled: plan.Yes, plan.AttrRunning: plan.Yes}},
	}
}

// What is taken over is told with how it was, wherever relay-host ended on the
// way.
func TestOriginalsAreTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for n := 0; ; n++ {
			m := newMachine(t)
			m.Write("/etc/motd", "theirs\n")
			m.Write("/lib/systemd/system/"+foreignUnit, "[Service]\n")
			m.Systemd.Unit(foreignUnit).Enabled = true
			m.Systemd.Unit(foreignUnit).Start()
			ended := m.takeOver(n)
			m.takeOver(0)
			want := []plan.Original{
				{ID: plan.ID{Kind: plan.KindUnit, Name: foreignUnit}, TakenOver: plan.TakenOver{Before: map[string]string{plan.AttrEnabled: plan.Yes, plan.AttrRunning: plan.Yes}}},
				{ID: fileID("/etc/motd"), Kept: "/var/lib/relayctl/generations/0/etc/motd"},
			}
			got := m.history(0).Originals
			for i := range got {
				if got[i].Time.IsZero() || got[i].Number < 1 || got[i].Number > 2 {
					t.Errorf("taken over by apply %d at %v", got[i].Number, got[i].Time)
				}
				got[i].Number, got[i].Time = 0, time.Time{}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("ended at point %d, then done again: (-want +got)\n%s", n, diff)
			}
			if n > 0 && !ended {
				break
			}
		}
	})
}

// takeOver takes over a unit and a file with a relay-host of its own, which
// ends at the nth point where it could; 0 is never. It reports whether it did.
func (m *debian) takeOver(n int) (ended bool) {
	points := 0
	m.Point = func(string) {
		if points++; points == n {
			panic(crash{})
		}
	}
	defer func() {
		m.Point = func(string) {}
		_, ended = recover().(crash)
	}()
	s := m.lock()
	defer s.host.Close()
	s.adopt = true
	var steps []plan.Change
	if m.Systemd.Unit(foreignUnit).Enabled || m.Systemd.Unit(foreignUnit).State.Running() {
		steps = append(steps, displace())
	}
	if _, err := s.apply(append(steps, s.plan(s.file("/etc/motd", "ours\n"))...)); err != nil {
		m.T.Fatalf("point %d: %v", n, err)
	}
	return false
}

// Hosts that are about to be worked on are remembered from the lock on, and a
// host that was only locked has no part in the stack.
func TestReachedHostsAreRemembered(t *testing.T) {
	m := newMachine(t)
	lock := func(reached ...plan.Member) {
		t.Helper()
		h := m.host()
		if _, err := h.Lock(t.Context(), hostapi.Lock{Stack: "home", Reached: reached}, func(string) {}); err != nil {
			t.Fatal(err)
		}
		h.Close() // cut off
	}
	first := plan.Member{Name: "gpu-1", Address: "10.0.0.21", MachineID: "a"}
	second := plan.Member{Name: "gpu-2", Address: "10.0.0.22", MachineID: "b"}
	lock(first)
	lock(second)
	wantDiff(t, "remembered", []plan.Member{first, second}, m.observe().Manifest.Hosts)

	m = newMachine(t)
	h := m.host()
	if _, err := h.Lock(t.Context(), hostapi.Lock{Stack: "home", Reached: []plan.Member{first}}, func(string) {}); err != nil {
		t.Fatal(err)
	}
	if err := h.Unlock(); err != nil || m.observe().Manifest != nil {
		t.Errorf("a host that was given up has a part: %v", err)
	}
}
