package host_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/host"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// undoable is everything in a form, with one root for all forms.
func (s *session) undoable(form int) []plan.Resource {
	want := s.everything(form)
	for i, r := range want {
		if r.Kind == plan.KindCA {
			want[i] = resource(plan.KindCA, r.Name, plan.AttrDomain, "home.example")
		}
	}
	return want
}

// bringTo applies a form, to the end.
func (m *debian) bringTo(form int) {
	m.T.Helper()
	s := m.lock()
	defer s.host.Close()
	s.adopt = true
	s.bring(s.undoable(form)...)
	s.finish(true, "")
}

// stands is what a host serves with: its state less what is only remembered.
func (m *debian) stands() map[string]string {
	m.T.Helper()
	state := m.state()
	for name := range state {
		isRelease := strings.HasPrefix(name, "/usr/local/lib/relayctl/") && !strings.Contains(name, "/current")
		if strings.HasPrefix(name, "/var/lib/relayctl") || strings.HasPrefix(name, "/var/lib/caddy") || name == "/usr/local/lib/relayctl" || isRelease {
			delete(state, name)
		}
	}
	return state
}

// restores undoes all after an apply, with a relay-host of its own, which ends
// at the nth point where it could; 0 is never.
func (m *debian) restores(to, n int) (points int, said string, err error) {
	m.T.Helper()
	h := m.host()
	defer h.Close()
	defer func() {
		m.Point = func(string) {}
		if ended, ok := recover().(crash); ok {
			err = fmt.Errorf("ended %s", ended.at)
		}
	}()
	m.Point = func(what string) {
		if points++; points == n {
			panic(crash{what})
		}
	}
	var out bytes.Buffer
	err = h.Restore(m.T.Context(), to, &out)
	return points, out.String(), err
}

const last = -1

// Going back leads to where the host was, in whatever it changed, also where
// relay-host ended on the way and is started again.
func TestRestore(t *testing.T) {
	for _, way := range []struct {
		name  string
		forms []int // that were applied, one after the other
		to    int
	}{
		{"a first apply", []int{1}, 0},
		{"a change", []int{1, 2}, 1},
		{"over three", []int{1, 2, 1, 2}, 1},
		{"to one in the middle", []int{1, 2, 1}, 2},
	} {
		t.Run(way.name, func(t *testing.T) {
			walk := func(t *testing.T, n int) (m *debian, want map[string]string, points int, err error) {
				m = crashMachine(t)
				want = m.stands()
				for i, form := range way.forms {
					m.bringTo(form)
					if i+1 == way.to {
						want = m.stands()
					}
				}
				points, said, err := m.restores(way.to, n)
				if n == 0 && (err != nil || !strings.Contains(said, "file /etc/relay.conf: ")) {
					t.Fatalf("%v; it says\n%s", err, said)
				}
				return m, want, points, err
			}
			points := 0
			bubble(t, func(t *testing.T) {
				m, want, passed, _ := walk(t, 0)
				if diff := cmp.Diff(want, m.stands()); diff != "" {
					t.Errorf("(-as it was +as it is):\n%s", diff)
				}
				if past := m.history(0).Applies; past[len(past)-1].Command != "restore" || past[len(past)-1].State != plan.PastDone {
					t.Errorf("the history is %+v", past)
				}
				points = passed
			})
			if testing.Short() || len(way.forms) > 2 {
				return
			}
			if points < 4 {
				t.Fatalf("only %d points", points)
			}
			for n := 1; n <= points; n++ {
				bubble(t, func(t *testing.T) {
					m, want, _, err := walk(t, n)
					if err == nil {
						t.Fatalf("it never came to point %d", n)
					}
					if _, said, again := m.restores(way.to, 0); again != nil {
						t.Fatalf("%v, then again: %v\n%s", err, again, said)
					}
					if diff := cmp.Diff(want, m.stands()); diff != "" {
						t.Errorf("%v, then again (-as it was +as it is):\n%s", err, diff)
					}
				})
			}
		})
	}
}

// A restore is an apply, and can be undone like one.
func TestRestoreOfARestore(t *testing.T) {
	for _, forms := range [][]int{{1}, {1, 2}} {
		bubble(t, func(t *testing.T) {
			m := crashMachine(t)
			for _, form := range forms {
				m.bringTo(form)
			}
			want := m.stands()
			for range 2 {
				if _, said, err := m.restores(last, 0); err != nil {
					t.Fatalf("%v\n%s", err, said)
				}
			}
			if diff := cmp.Diff(want, m.stands()); diff != "" {
				t.Errorf("after forms %v (-as it was +as it is):\n%s", forms, diff)
			}
		})
	}
}

// An apply that was cut off is undone like any other.
func TestRestoreAfterACutOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for n := 5; n < 40; n += 7 {
			m := crashMachine(t)
			want := m.stands()
			if _, at := m.run(1, n); at == "" {
				t.Fatalf("never came to point %d", n)
			}
			if _, said, err := m.restores(0, 0); err != nil {
				t.Fatalf("cut off at point %d: %v\n%s", n, err, said)
			}
			if diff := cmp.Diff(want, m.stands()); diff != "" {
				t.Errorf("cut off at point %d (-as it was +as it is):\n%s", n, diff)
			}
		}
	})
}

// What somebody edited since stays, and is told.
func TestRestoreLeavesEdits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := crashMachine(t)
		m.bringTo(1)
		m.bringTo(2)
		m.Write("/etc/relay.conf", "by hand\n")
		_, said, err := m.restores(last, 0)
		if !errors.Is(err, host.ErrEdited) || !strings.Contains(said, "file /etc/relay.conf: edited on the host") {
			t.Errorf("%v\n%s", err, said)
		}
		if got := m.Read("/etc/relay.conf"); got != "by hand\n" {
			t.Errorf("it is %q", got)
		}
		if got := m.Read("/etc/caddy/Caddyfile"); got != "caddy form 1\n" {
			t.Errorf("the rest is %q", got)
		}
	})
}

func TestRestoreRefuses(t *testing.T) {
	m := newMachine(t)
	if _, _, err := m.restores(last, 0); err == nil || !strings.Contains(err.Error(), "never applied") {
		t.Errorf("on a bare host: %v", err)
	}
	s := m.lock()
	s.bring(s.file("/etc/motd", "ours"))
	s.finish(true, "")
	if _, said, err := m.restores(1, 0); err != nil || said != "nothing to undo\n" {
		t.Errorf("nothing to undo: %v\n%s", err, said)
	}
	if len(m.history(0).Applies) != 1 {
		t.Error("that is in the history")
	}
}

// What a key or a worker is known by never goes back, whatever else does.
func TestGrantsNeverGoBack(t *testing.T) {
	const path = "/etc/relay/keys.json"
	hash := func(c string) string { return strings.Repeat(c, 64) }
	key := func(name, hash string, more string) string {
		return fmt.Sprintf(`{"name":%q,"hash":%q%s}`, name, hash, more)
	}
	keys := func(list ...string) string {
		return `{"managed_by":"relayctl","keys":[` + strings.Join(list, ",") + `]}`
	}
	laptop, phone := key("laptop", hash("a"), ""), key("phone", hash("b"), "")
	for _, row := range []struct {
		name   string
		texts  []string // one apply each
		undone int      // how many of them
		want   []string // that are in it afterwards
		not    []string
	}{
		{"one came", []string{keys(laptop), keys(laptop, phone)}, 1, []string{laptop}, []string{"phone"}},
		{"one was revoked", []string{keys(laptop, phone), keys(laptop)}, 1, []string{"laptop"}, []string{"phone", hash("b")}},
		{"one was rotated", []string{keys(laptop), keys(key("laptop", hash("c"), ""))}, 1, []string{"laptop", hash("c")}, []string{hash("a")}},
		{"one was rotated, and another limited", []string{keys(laptop, phone), keys(key("laptop", hash("c"), ""), key("phone", hash("b"), `,"models":["x"]`))}, 1,
			[]string{hash("c"), hash("b")}, []string{hash("a"), "models"}},
		{"one was made to expire", []string{keys(laptop), keys(key("laptop", hash("a"), `,"expires":"2026-01-01T00:00:00Z"`))}, 1, []string{"expires"}, nil},
		{"revoked, then changed otherwise", []string{keys(laptop, phone), keys(laptop), keys(key("laptop", hash("a"), `,"models":["x"]`))}, 2, []string{"laptop"}, []string{"phone", "models"}},
		{"one that was set to nothing", []string{keys(laptop), keys()}, 1, nil, []string{"laptop"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := newMachine(t)
			for _, text := range row.texts {
				s := m.lock()
				file := s.file(path, text)
				file.Grants = true
				s.bring(directory("/etc/relay"), file)
				s.finish(true, "")
			}
			present := m.Read(path)
			if _, said, err := m.restores(len(row.texts)-row.undone, 0); err != nil {
				t.Fatalf("%v\n%s", err, said)
			}
			got := strings.NewReplacer(" ", "", "\n", "").Replace(m.Read(path))
			for _, part := range row.want {
				if !strings.Contains(got, part) {
					t.Errorf("%s is not in %s", part, got)
				}
			}
			for _, part := range row.not {
				if strings.Contains(got, part) {
					t.Errorf("%s is in %s", part, got)
				}
			}
			if _, said, err := m.restores(last, 0); err != nil { // and forth again
				t.Fatalf("%v\n%s", err, said)
			}
			again := strings.NewReplacer(" ", "", "\n", "").Replace(m.Read(path))
			for _, part := range []string{hash("a"), hash("b"), hash("c")} {
				if strings.Contains(present, part) != strings.Contains(again, part) {
					t.Errorf("undone and done again it is %s, and was %s", again, present)
				}
			}
		})
	}
}

// A worker that was taken out stays out; one that a going back took out comes
// back with that.
func TestGrantOfAWorker(t *testing.T) {
	const path = "/etc/relay/gpu-1.json"
	hash := strings.Repeat("a", 64)
	apply := func(m *debian, there bool) {
		s := m.lock()
		want := []plan.Resource{directory("/etc/relay")}
		if there {
			file := s.file(path, `{"name":"gpu-1","hashes":["`+hash+`"],"models":["x"]}`)
			file.Grants = true
			want = append(want, file)
		}
		s.bring(want...)
		s.finish(true, "")
	}
	m := newMachine(t)
	apply(m, false)
	apply(m, true)
	for _, there := range []bool{false, true, false} {
		if _, said, err := m.restores(last, 0); err != nil || strings.Contains(m.Read(path), hash) != there {
			t.Fatalf("%v\n%s\nit is %s", err, said, m.Read(path))
		}
	}
	apply(m, true)
	apply(m, false)
	if _, said, err := m.restores(last, 0); err != nil || m.Read(path) != "absent" {
		t.Errorf("taken out, and back: %v\n%s\nit is %s", err, said, m.Read(path))
	}
	told, err := m.host().Former(hostapi.Former{To: 4})
	if err != nil || len(told.Formers) == 0 {
		t.Errorf("formers %v, %v", told, err)
	}
}
