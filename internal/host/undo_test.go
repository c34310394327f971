package host_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/host"
	"github.com/relayctl/relayctl/internal/host/machine/machinetest"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// applies brings resources about, one apply each.
func (m *debian) applies(forms ...func(s *session) []plan.Resource) {
	m.T.Helper()
	for _, form := range forms {
		s := m.lock()
		s.adopt = true
		s.bring(form(s)...)
		s.finish(true, "")
		s.host.Close()
	}
}

// files are files by path and content, in pairs.
func files(pairs ...string) func(s *session) []plan.Resource {
	return func(s *session) []plan.Resource {
		var want []plan.Resource
		for i := 0; i < len(pairs); i += 2 {
			want = append(want, s.file(pairs[i], pairs[i+1]))
		}
		return want
	}
}

// What a file was is kept on the host, where it may be pruned or edited: the file
// is left as it is then, and that is told.
func TestRestoreOfWhatIsNotKept(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"gone":     os.Remove,
		"edited":   func(path string) error { return os.WriteFile(path, []byte("else"), 0o600) },
		"a link":   func(path string) error { os.Remove(path); return os.Symlink("/etc/passwd", path) },
		"a folder": func(path string) error { os.Remove(path); return os.Mkdir(path, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.applies(files("/etc/a", "a1", "/etc/b", "b1", "/etc/c", "c1"), files("/etc/a", "a2", "/etc/b", "b2", "/etc/c", "c2"))
			const kept = "/var/lib/relayctl/generations/2/etc/b"
			if err := spoil(m.Path(kept)); err != nil {
				t.Fatal(err)
			}
			_, said, err := m.restores(last, 0)
			if !errors.Is(err, host.ErrEdited) || !strings.Contains(said, "file /etc/b: how it was is not in "+kept+" any more") {
				t.Errorf("%v\n%s", err, said)
			}
			if m.Read("/etc/a") != "a1" || m.Read("/etc/b") != "b2" || m.Read("/etc/c") != "c1" {
				t.Errorf("a %q, b %q, c %q", m.Read("/etc/a"), m.Read("/etc/b"), m.Read("/etc/c"))
			}
		})
	}
}

// A link that somebody put in the place of a file of ours, and an apply wrote
// over, comes back as a link.
func TestRestoreOfALink(t *testing.T) {
	m := newMachine(t)
	m.applies(files("/etc/a", "1"))
	if err := os.Remove(m.Path("/etc/a")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/elsewhere", m.Path("/etc/a")); err != nil {
		t.Fatal(err)
	}
	m.applies(files("/etc/a", "2"))
	_, said, err := m.restores(last, 0)
	target, _ := os.Readlink(m.Path("/etc/a"))
	if err != nil || target != "/etc/elsewhere" {
		t.Errorf("%v\n%s\nit leads to %q", err, said, target)
	}
	if _, said, err := m.restores(last, 0); err != nil || m.Read("/etc/a") != "2" {
		t.Errorf("and forth: %v\n%s", err, said)
	}
}

// A release of a program that was taken away by hand is told like any other.
func TestRestoreOfAProgramThatIsNotKept(t *testing.T) {
	m := newMachine(t)
	program := func(text string) func(s *session) []plan.Resource {
		return func(s *session) []plan.Resource {
			return []plan.Resource{s.program("relay-server", text, text), s.file("/etc/a", text)}
		}
	}
	m.applies(program("1"), program("2"))
	releases, err := filepath.Glob(m.Path("/usr/local/lib/relayctl/relay-server/1-*"))
	if err != nil || len(releases) != 1 {
		t.Fatal(releases, err)
	}
	if err := os.RemoveAll(releases[0]); err != nil {
		t.Fatal(err)
	}
	_, said, err := m.restores(last, 0)
	if !errors.Is(err, host.ErrEdited) || !strings.Contains(said, "program relay-server: how it was is not in ") || m.Read("/etc/a") != "1" {
		t.Errorf("%v\n%s", err, said)
	}
}

// Whose file it was may be gone by now; it is not given to somebody else.
func TestRestoreOfAFileWithoutItsOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root gives files away")
	}
	owned := func(text, owner string) func(s *session) []plan.Resource {
		return func(s *session) []plan.Resource {
			file := s.file("/etc/owned", text)
			file.Want[plan.AttrOwner], file.Want[plan.AttrGroup] = plan.Known(owner), plan.Known(owner)
			return []plan.Resource{s.file("/etc/a", text), file}
		}
	}
	m := newMachine(t)
	m.AddUser("media", "/nonexistent")
	m.applies(owned("1", "media"), owned("2", "root"))
	for _, file := range []string{"/etc/passwd", "/etc/group"} {
		text := m.Read(file)
		m.Write(file, text[:strings.Index(text, "media:")])
	}
	_, said, err := m.restores(last, 0)
	if !errors.Is(err, host.ErrEdited) || !strings.Contains(said, `file /etc/owned: it was media's: no user "media"`) {
		t.Errorf("%v\n%s", err, said)
	}
	if m.Read("/etc/a") != "1" || m.Read("/etc/owned") != "2" {
		t.Errorf("a %q, owned %q", m.Read("/etc/a"), m.Read("/etc/owned"))
	}
}

// What was made since and has something of somebody else in it by now stays.
func TestRestoreLeavesWhatOthersPutThere(t *testing.T) {
	m := newMachine(t)
	m.applies(files("/etc/a", "1"), func(s *session) []plan.Resource {
		return []plan.Resource{s.file("/etc/a", "2"), directory("/etc/ours"), s.file("/etc/ours/b", "b")}
	})
	m.Write("/etc/ours/theirs", "theirs")
	_, said, err := m.restores(last, 0)
	if err != nil || m.Read("/etc/ours/theirs") != "theirs" || m.Read("/etc/ours/b") != "absent" || m.Read("/etc/a") != "1" {
		t.Errorf("%v\n%s", err, said)
	}
	if strings.Contains(said, "directory /etc/ours: removed") {
		t.Errorf("it says\n%s", said)
	}
}

// A thing that a later apply took away, and somebody made anew by hand, is not
// written over.
func TestRestoreOfWhatSomebodyMadeAnew(t *testing.T) {
	m := newMachine(t)
	m.applies(files("/etc/a", "1", "/etc/b", "b"), files("/etc/a", "2"))
	m.Write("/etc/b", "by hand")
	_, said, err := m.restores(last, 0)
	if !errors.Is(err, host.ErrEdited) || m.Read("/etc/b") != "by hand" || m.Read("/etc/a") != "1" {
		t.Errorf("%v\n%s", err, said)
	}
}

// What no apply since has touched is not touched, and stays ours: also where
// somebody took it away for a moment.
func TestRestoreForgetsNothing(t *testing.T) {
	m := newMachine(t)
	m.Write("/etc/taken", "theirs")
	m.applies(files("/etc/a", "1", "/etc/b", "b", "/etc/taken", "ours"), files("/etc/a", "2", "/etc/b", "b", "/etc/taken", "ours"))
	for _, path := range []string{"/etc/b", "/etc/taken"} {
		if err := os.Rename(m.Path(path), m.Path(path+".away")); err != nil {
			t.Fatal(err)
		}
	}
	if _, said, err := m.restores(last, 0); err != nil || m.Read("/etc/a") != "1" {
		t.Errorf("%v\n%s", err, said)
	}
	if m.Read("/etc/b") != "absent" || m.Read("/etc/taken") != "absent" {
		t.Errorf("b is %q, taken %q", m.Read("/etc/b"), m.Read("/etc/taken"))
	}
	for _, path := range []string{"/etc/b", "/etc/taken"} {
		if err := os.Rename(m.Path(path+".away"), m.Path(path)); err != nil {
			t.Fatal(err)
		}
	}
	s := m.lock()
	if steps := s.plan(files("/etc/a", "1", "/etc/b", "b", "/etc/taken", "ours")(s)...); len(steps) > 0 {
		t.Errorf("still to do: %v", steps)
	}
}

// A unit that somebody masked or took away since does not stop what is not about
// it.
func TestRestoreOfUnits(t *testing.T) {
	service := func(text string) func(s *session) []plan.Resource {
		return func(s *session) []plan.Resource {
			return []plan.Resource{
				s.file("/etc/a", text), s.file(serviceFile, "[Service]\n"), s.file("/etc/relay.conf", text),
				unit("relay.service", plan.Unit{Restart: []plan.ID{fileID(serviceFile), fileID("/etc/relay.conf")}}),
			}
		}
	}
	for name, change := range map[string]func(m *debian, u *machinetest.Unit){
		"as it was": func(*debian, *machinetest.Unit) {},
		"stopped":   func(_ *debian, u *machinetest.Unit) { u.Stop() },
		"disabled":  func(_ *debian, u *machinetest.Unit) { u.Enabled = false },
		"its file was removed": func(m *debian, u *machinetest.Unit) {
			u.Stop()
			os.Remove(m.Path(serviceFile))
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m := newMachine(t)
				u := m.Systemd.Unit("relay.service")
				u.Reads = []string{serviceFile, "/etc/relay.conf"}
				m.applies(service("1"), service("2"))
				change(m, u)
				_, said, err := m.restores(last, 0)
				t.Logf("%v\n%s%+v", err, said, u.State)
				if m.Read("/etc/a") != "1" || m.Read("/etc/relay.conf") != "1" {
					t.Error("the files did not go back")
				}
			})
		})
	}
}

// A package that an apply installed goes, unless something needs it by now; one
// that somebody took away by hand is gone already.
func TestRestoreOfPackages(t *testing.T) {
	for name, change := range map[string]func(m *debian){
		"as it was": func(*debian) {},
		"removed by hand": func(m *debian) {
			m.Packages["caddy"].Installed = false
		},
		"needed by now": func(m *debian) { m.Packages["caddy"].NeededBy = "shop" },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.applies(files("/etc/a", "1"), func(s *session) []plan.Resource {
				return []plan.Resource{s.file("/etc/a", "2"), resource(plan.KindPackage, "caddy", plan.AttrInstalled, plan.Yes)}
			})
			change(m)
			_, said, err := m.restores(last, 0)
			if err != nil || m.Read("/etc/a") != "1" {
				t.Errorf("%v\n%s", err, said)
			}
			if installed := m.Packages["caddy"].Installed; installed != (name == "needed by now") {
				t.Errorf("installed: %v\n%s", installed, said)
			}
			s := m.lock()
			if steps := s.plan(files("/etc/a", "1")(s)...); len(steps) > 0 {
				t.Errorf("still to do: %v", steps)
			}
		})
	}
}

// A package that somebody holds is told by that, with what lets it go.
func TestRestoreOfAHeldPackage(t *testing.T) {
	m := newMachine(t)
	m.applies(files("/etc/a", "1"), func(s *session) []plan.Resource {
		return []plan.Resource{s.file("/etc/a", "2"), resource(plan.KindPackage, "caddy", plan.AttrInstalled, plan.Yes)}
	})
	m.Packages["caddy"].Held = true
	_, said, err := m.restores(last, 0)
	var told *hostapi.Error
	if !errors.As(err, &told) || told.Message != "remove package caddy: it is held, so that nobody removes it by mistake" || !strings.Contains(told.Hint, "apt-mark unhold caddy") {
		t.Errorf("%v\n%s", err, said)
	}
	m.Packages["caddy"].Held = false
	if _, said, err := m.restores(1, 0); err != nil || m.Packages["caddy"].Installed {
		t.Errorf("%v\n%s", err, said)
	}
}

// Before a taking-over, and forth again, and back once more.
func TestRestoreBeforeATakingOver(t *testing.T) {
	m := newMachine(t)
	m.Write("/etc/taken", "theirs")
	first := m.stands()
	m.applies(files("/etc/taken", "ours"))
	second := m.stands()
	for i := range 5 {
		want := first
		if i%2 == 1 {
			want = second
		}
		if _, said, err := m.restores(last, 0); err != nil {
			t.Fatalf("%d: %v\n%s", i, err, said)
		}
		if diff := cmp.Diff(want, m.stands()); diff != "" {
			t.Fatalf("%d (-want +got):\n%s", i, diff)
		}
	}
	if m.Read("/var/lib/relayctl/generations/0/etc/taken") != "theirs" {
		t.Error("the original is not kept")
	}
}

// A host where nothing was ever changed has nothing to undo.
func TestRestoreOfNothing(t *testing.T) {
	m := newMachine(t)
	m.Write("/etc/a", "1")
	if err := os.Chmod(m.Path("/etc/a"), 0o640); err != nil {
		t.Fatal(err)
	}
	m.applies(files("/etc/a", "1"))
	_, said, err := m.restores(last, 0)
	if err != nil || said != "nothing to undo\n" {
		t.Errorf("%v\n%s", err, said)
	}
}

// Nothing secret is in the journal, and only root reads what is kept.
func TestNothingSecretIsRemembered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := crashMachine(t)
		m.bringTo(1)
		m.bringTo(2)
		if _, said, err := m.restores(last, 0); err != nil || strings.Contains(said, "secret form") {
			t.Errorf("%v\n%s", err, said)
		}
		journal := m.Read(journalFile)
		for _, secret := range []string{"secret form", strings.TrimSpace(m.Read("/etc/relay/token")), "PRIVATE KEY"} {
			if secret == "absent" || strings.Contains(journal, secret) {
				t.Errorf("the journal holds %q", secret)
			}
		}
		err := filepath.WalkDir(m.Path("/var/lib/relayctl"), func(path string, entry os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := entry.Info()
			isFormer := strings.Contains(path, "/generations/") && !entry.IsDir() // with the mode of the file, in folders of root's
			if err == nil && info.Mode().Perm()&0o077 != 0 && !isFormer {
				t.Errorf("%s is %s", path, info.Mode())
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// What was found, and only got another owner or mode, has its former ones again.
func TestRestoreOfModes(t *testing.T) {
	m := newMachine(t)
	m.Mkdir("/etc/relay")
	m.Write("/etc/relay/found", "1")
	before := m.stands()
	m.applies(func(s *session) []plan.Resource {
		return []plan.Resource{directory("/etc/relay"), s.file("/etc/relay/found", "1"), s.file("/etc/relay/new", "1")}
	})
	after := m.stands()
	for i, want := range []map[string]string{before, after, before} {
		if _, said, err := m.restores(last, 0); err != nil {
			t.Fatalf("%d: %v\n%s", i, err, said)
		}
		if diff := cmp.Diff(want, m.stands()); diff != "" {
			t.Errorf("%d (-want +got):\n%s", i, diff)
		}
	}
}

// An original that is kept no more stops nobody from leaving: ours goes, and it
// is told.
func TestLeavingWithoutTheOriginal(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"gone":     os.Remove,
		"a folder": func(path string) error { os.Remove(path); return os.Mkdir(path, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.Write("/etc/taken", "theirs")
			m.applies(files("/etc/a", "1", "/etc/taken", "ours"))
			if err := spoil(m.Path("/var/lib/relayctl/generations/0/etc/taken")); err != nil {
				t.Fatal(err)
			}
			s := m.lock()
			s.role = plan.RoleDeparted
			s.bring()
			if m.Read("/etc/taken") != "absent" || m.Read("/etc/a") != "absent" {
				t.Errorf("taken %q, a %q", m.Read("/etc/taken"), m.Read("/etc/a"))
			}
			told := false
			for _, p := range s.said {
				told = told || p.What == "removed; what stood there before is not in /var/lib/relayctl/generations/0/etc/taken any more"
			}
			if !told {
				t.Errorf("it says %+v", s.said)
			}
		})
	}
}

// What somebody made of a thing by hand that it was before is no edit to be told:
// it is undone already.
func TestRestoreOfWhatIsUndoneAlready(t *testing.T) {
	m := newMachine(t)
	m.applies(files("/etc/a", "1", "/etc/b", "1"), files("/etc/a", "2", "/etc/b", "2", "/etc/new", "2"))
	m.Write("/etc/a", "1")
	if err := os.Remove(m.Path("/etc/new")); err != nil {
		t.Fatal(err)
	}
	_, said, err := m.restores(last, 0)
	if err != nil || m.Read("/etc/a") != "1" || m.Read("/etc/b") != "1" {
		t.Errorf("%v\n%s", err, said)
	}
	s := m.lock()
	if steps := s.plan(files("/etc/a", "1", "/etc/b", "1")(s)...); len(steps) > 0 {
		t.Errorf("still to do: %v", steps)
	}
}
