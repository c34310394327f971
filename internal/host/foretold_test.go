package host_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/relayctl/relayctl/internal/host/machine/machinetest"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// foretelling ties what a plan tells people of a thing to what the step does
// with it.
type foretelling struct {
	name  string
	setUp func(m *debian, s *session) []plan.Resource // what is wanted
	says  []string                                    // of the plan
	not   string                                      // in the plan
	ends  string                                      // how the step tells that it ended; empty: as its action has it
	left  func(m *debian) bool
}

const (
	theirFile  = "/etc/caddy/Caddyfile"
	storedFile = "/var/lib/relayctl/generations/0/etc/caddy/Caddyfile"
)

func TestStepsDoWhatThePlanSays(t *testing.T) {
	rows := slices.Concat(foretoldFiles(), foretoldLinks(), foretoldDirectories(), foretoldPackages(), foretoldUsers(), foretoldUnits())
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m := newMachine(t)
				s := m.lock()
				// Something is to be done in any case: a plan of nothing says nothing.
				wants := append(row.setUp(m, s), directory("/srv/ours"))
				m.Mkdir("/srv")
				s.said = nil
				steps := s.plan(wants...)
				text := s.foretold()
				for _, says := range row.says {
					if !strings.Contains(text, says) {
						t.Errorf("%q is missing in the plan:\n%s", says, text)
					}
				}
				if row.not != "" && strings.Contains(text, row.not) {
					t.Errorf("%q is in the plan:\n%s", row.not, text)
				}
				if _, err := s.apply(steps); err != nil {
					t.Fatalf("apply: %v%s", err, logOf(err))
				}
				if !row.left(m) {
					t.Errorf("the step did something else than the plan says:\n%s", text)
				}
				if ends := s.ends(); ends != row.ends {
					t.Errorf("a step ended with %q, want %q", ends, row.ends)
				}
			})
		})
	}
}

// ends is what was said of steps that ended otherwise than their action says.
func (s *session) ends() string {
	var texts []string
	for _, said := range s.said {
		if said.State == hostapi.Done && said.What != "" {
			texts = append(texts, said.What)
		}
	}
	return strings.Join(texts, "\n")
}

func foretoldFiles() []foretelling {
	taken := func(m *debian, s *session) []plan.Resource {
		m.Write(theirFile, "theirs\n")
		s.adopt = true
		return []plan.Resource{s.file(theirFile, "ours\n")}
	}
	return []foretelling{
		{name: "a file taken over", setUp: taken,
			says: []string{"~ file " + theirFile, "taken over; the original is kept on the host", "1 to change, 0 to remove"},
			left: func(m *debian) bool { return m.Read(theirFile) == "ours\n" && m.Read(storedFile) == "theirs\n" }},
		{name: "a file taken over leaves", setUp: func(m *debian, s *session) []plan.Resource {
			s.bring(taken(m, s)...)
			return nil
		}, says: []string{"- file " + theirFile, "what stood there before is put back"}, not: "kept in", ends: "put back what stood there before",
			left: func(m *debian) bool { return m.Read(theirFile) == "theirs\n" }},
		{name: "a file taken over leaves, which somebody removed", setUp: func(m *debian, s *session) []plan.Resource {
			s.bring(taken(m, s)...)
			os.Remove(m.Path(theirFile))
			return nil
		}, says: []string{"- file " + theirFile, "what stood there before is put back"}, ends: "put back what stood there before",
			left: func(m *debian) bool { return m.Read(theirFile) == "theirs\n" }},
		{name: "a file taken over leaves, whose folder somebody removed", setUp: func(m *debian, s *session) []plan.Resource {
			s.bring(taken(m, s)...)
			os.RemoveAll(m.Path("/etc/caddy"))
			return nil
		}, says: []string{"- file " + theirFile}, ends: "its folder is gone: what stood there before is kept in " + storedFile,
			left: func(m *debian) bool { return m.Read(theirFile) == "absent" && m.Read(storedFile) == "theirs\n" }},
		{name: "a file of ours leaves", setUp: func(m *debian, s *session) []plan.Resource {
			m.Mkdir("/etc/caddy")
			s.bring(s.file(theirFile, "ours\n"))
			return nil
		}, says: []string{"- file " + theirFile}, not: "put back",
			left: func(m *debian) bool { return m.Read(theirFile) == "absent" }},
		{name: "a file of ours leaves, which somebody removed", setUp: func(m *debian, s *session) []plan.Resource {
			m.Mkdir("/etc/caddy")
			s.bring(s.file(theirFile, "ours\n"))
			os.Remove(m.Path(theirFile))
			return nil
		}, not: "- file", left: func(m *debian) bool { return m.Read(theirFile) == "absent" }},
		{name: "a file that was found as it should be leaves", setUp: func(m *debian, s *session) []plan.Resource {
			s.bring(found(m, s, 0o640))
			return nil
		}, says: []string{"found by relayctl, so left as it is: file " + theirFile},
			left: func(m *debian) bool { return m.Read(theirFile) == "ours\n" }},
		{name: "a file that was found with another mode", setUp: func(m *debian, s *session) []plan.Resource {
			return []plan.Resource{found(m, s, 0o600)}
		}, says: []string{"~ file " + theirFile + " mode 0600 → 0640"},
			left: func(m *debian) bool { return m.Read(theirFile) == "ours\n" && m.Read(storedFile) == "absent" }},
		{name: "a file that was found with another mode leaves", setUp: func(m *debian, s *session) []plan.Resource {
			s.bring(found(m, s, 0o600))
			return nil
		}, says: []string{"found by relayctl, so left as it is: file " + theirFile},
			left: func(m *debian) bool { return m.Read(theirFile) == "ours\n" }},
		{name: "a package's own file", setUp: func(m *debian, s *session) []plan.Resource {
			s.bring(caddyPackage)
			return []plan.Resource{caddyPackage, s.file(theirFile, "ours\n")}
		}, says: []string{"the package's own, never edited"},
			left: func(m *debian) bool { return m.Read(theirFile) == "ours\n" && m.Read(storedFile) == "stock\n" }},
	}
}

// found is a file of ours by its content, that somebody else put there.
func found(m *debian, s *session, mode os.FileMode) plan.Resource {
	m.Write(theirFile, "ours\n")
	if err := os.Chmod(m.Path(theirFile), mode); err != nil {
		m.T.Fatal(err)
	}
	return s.file(theirFile, "ours\n")
}

func foretoldLinks() []foretelling {
	taken := func(m *debian, s *session) []plan.Resource {
		m.Write("/srv/Caddyfile", "theirs\n")
		m.Mkdir("/etc/caddy")
		if err := os.Symlink("/srv/Caddyfile", m.Path(theirFile)); err != nil {
			m.T.Fatal(err)
		}
		s.adopt = true
		return []plan.Resource{s.file(theirFile, "ours\n")}
	}
	leads := func(m *debian, path string) bool {
		target, err := os.Readlink(m.Path(path))
		return err == nil && target == "/srv/Caddyfile"
	}
	return []foretelling{
		{name: "a link taken over", setUp: taken,
			says: []string{"is a symbolic link to /srv/Caddyfile: a file takes its place", "the original is kept on the host"},
			left: func(m *debian) bool {
				return m.Read(theirFile) == "ours\n" && leads(m, storedFile) && m.Read("/srv/Caddyfile") == "theirs\n"
			}},
		{name: "a link taken over leaves", setUp: func(m *debian, s *session) []plan.Resource {
			s.bring(taken(m, s)...)
			return nil
		}, says: []string{"what stood there before is put back"}, ends: "put back what stood there before",
			left: func(m *debian) bool { return leads(m, theirFile) }},
	}
}

func foretoldDirectories() []foretelling {
	exists := func(m *debian) bool {
		_, err := os.Stat(m.Path("/etc/relay"))
		return err == nil
	}
	return []foretelling{
		{name: "a directory leaves", setUp: func(m *debian, s *session) []plan.Resource {
			s.bring(directory("/etc/relay"))
			return nil
		}, says: []string{"- directory /etc/relay unless something else is in it"}, left: func(m *debian) bool { return !exists(m) }},
		{name: "a directory leaves that holds something", setUp: func(m *debian, s *session) []plan.Resource {
			s.bring(directory("/etc/relay"))
			m.Write("/etc/relay/notes", "mine\n")
			return nil
		}, says: []string{"- directory /etc/relay unless something else is in it"}, ends: "left in place: it is not empty", left: exists},
		{name: "a directory that was found leaves", setUp: func(m *debian, s *session) []plan.Resource {
			m.Mkdir("/etc/relay")
			s.bring(directory("/etc/relay"))
			return nil
		}, says: []string{"found by relayctl, so left as it is: directory /etc/relay"}, left: exists},
	}
}

func foretoldPackages() []foretelling {
	isThere := func(m *debian) bool { return m.Packages["caddy"].Installed }
	return []foretelling{
		{name: "a package leaves", setUp: func(m *debian, s *session) []plan.Resource {
			s.bring(caddyPackage)
			return nil
		}, says: []string{"- package caddy unless another package needs it", "its settings stay"},
			left: func(m *debian) bool { return !isThere(m) && m.Read(theirFile) == "stock\n" }},
		{name: "a package leaves that another needs", setUp: func(m *debian, s *session) []plan.Resource {
			s.bring(caddyPackage)
			m.Packages["site"] = &machinetest.Package{Installed: true}
			m.Packages["caddy"].NeededBy = "site"
			return nil
		}, says: []string{"- package caddy unless another package needs it"}, ends: "left in place: site would go with it",
			left: func(m *debian) bool { return isThere(m) && m.Packages["site"].Installed }},
		{name: "a package that was found leaves", setUp: func(m *debian, s *session) []plan.Resource {
			m.Packages["caddy"].Installed = true
			s.bring(caddyPackage)
			return nil
		}, says: []string{"found by relayctl, so left as it is: package caddy"}, left: isThere},
	}
}

// No plan says that an installation takes other packages away.
func TestPackageThatAnotherWouldHaveToGoFor(t *testing.T) {
	m := newMachine(t)
	m.Packages["httpd"] = &machinetest.Package{Installed: true}
	m.Packages["caddy"].Replaces = "httpd"
	s := m.lock()
	_, err := s.apply(s.plan(caddyPackage))
	if err == nil || !strings.Contains(err.Error(), "remove is disabled") || !m.Packages["httpd"].Installed {
		t.Errorf("httpd is installed: %v; the error is %v", m.Packages["httpd"].Installed, err)
	}
}

func foretoldUsers() []foretelling {
	relay := resource(plan.KindUser, "relay")
	isThere := func(m *debian) bool { return strings.Contains(m.Read("/etc/passwd"), "\nrelay:") }
	return []foretelling{
		{name: "a user leaves", setUp: func(_ *debian, s *session) []plan.Resource {
			s.bring(relay)
			return nil
		}, says: []string{"- user relay"}, left: func(m *debian) bool { return !isThere(m) }},
		{name: "a user that was found leaves", setUp: func(m *debian, s *session) []plan.Resource {
			m.AddUser("relay", "/srv")
			s.bring(relay)
			return nil
		}, says: []string{"found by relayctl, so left as it is: user relay"}, left: isThere},
	}
}

func foretoldUnits() []foretelling {
	const file = "/lib/systemd/system/nginx.service"
	displaced := func(m *debian, s *session) []plan.Resource {
		m.Write(file, "[Service]\n")
		unit := m.Systemd.Unit("nginx.service")
		unit.Enabled = true
		unit.Start()
		m.listens("nginx.service", "0050")
		s.adopt, s.ports = true, []plan.Port{{Number: 80, Unit: "caddy.service"}}
		return nil
	}
	leaves := func(m *debian, s *session) {
		s.bring(displaced(m, s)...)
		os.Remove(m.Path("/proc/net/tcp"))
		s.role, s.ports = plan.RoleDeparted, nil
	}
	state := func(m *debian, name string) (enabled, running bool) {
		unit := m.Systemd.Unit(name)
		return unit.Enabled && !unit.Masked, unit.State.Active == "active"
	}
	isOff := func(m *debian) bool {
		enabled, running := state(m, "nginx.service")
		return !enabled && !running && m.Read(file) == "[Service]\n"
	}
	return []foretelling{
		{name: "a unit that is in the way", setUp: displaced,
			says: []string{"~ unit nginx", "turned off and kept so; its files stay as they are"}, left: isOff},
		{name: "a unit that was in the way leaves", setUp: func(m *debian, s *session) []plan.Resource {
			leaves(m, s)
			return nil
		}, says: []string{"turned off by relayctl, and stays off: unit nginx"}, not: "left as it is", left: isOff},
		{name: "a unit that was in the way and came back leaves", setUp: func(m *debian, s *session) []plan.Resource {
			leaves(m, s)
			m.Systemd.Unit("nginx.service").Enabled = true
			m.Systemd.Unit("nginx.service").Start()
			return nil
		}, says: []string{"found by relayctl, so left as it is: unit nginx"}, not: "stays off",
			left: func(m *debian) bool {
				enabled, running := state(m, "nginx.service")
				return enabled && running
			}},
		{name: "a unit that ours hides", setUp: hidden,
			says: []string{"~ unit relay", "ours takes its place; its own file stays as it is"}, not: "original",
			left: func(m *debian) bool {
				enabled, running := state(m, "relay.service")
				return enabled && running && m.Read("/lib/systemd/system/relay.service") == "theirs\n" && m.Read(ourUnitFile) == "ours\n"
			}},
		{name: "a unit that ours hid leaves", setUp: func(m *debian, s *session) []plan.Resource {
			s.bring(hidden(m, s)...)
			return nil
		}, says: []string{"- unit relay", "the unit that it hid stays off"},
			left: func(m *debian) bool {
				enabled, running := state(m, "relay.service")
				return !enabled && !running && m.Read("/lib/systemd/system/relay.service") == "theirs\n" && m.Read(ourUnitFile) == "absent"
			}},
	}
}

const ourUnitFile = "/etc/systemd/system/relay.service"

// hidden is a unit of ours whose name a unit of somebody else has already.
func hidden(m *debian, s *session) []plan.Resource {
	m.Write("/lib/systemd/system/relay.service", "theirs\n")
	s.adopt = true
	unit := resource(plan.KindUnit, "relay.service", plan.AttrEnabled, plan.Yes, plan.AttrRunning, plan.Yes)
	unit.Unit = &plan.Unit{Restart: []plan.ID{{Kind: plan.KindFile, Name: ourUnitFile}}}
	return []plan.Resource{s.file(ourUnitFile, "ours\n"), unit}
}

// listens has a service listen on all addresses, on a port in hex.
func (m *debian) listens(service, port string) {
	m.T.Helper()
	m.Write("/proc/net/tcp", "sl local remote st\n0: 00000000:"+port+" 0:0 0A 0:0 0:0 0 0 0 71 1\n")
	m.Write("/proc/7/comm", "server\n")
	m.Write("/proc/7/cgroup", "0::/system.slice/"+service+"\n")
	m.Mkdir("/proc/7/fd")
	if err := os.Symlink("socket:[71]", m.Path("/proc/7/fd/3")); err != nil {
		m.T.Fatal(err)
	}
}

// What the history names to bring a unit back that ours hides is not what brings
// back one that is only off.
func TestHistoryTellsWhatHidesAUnit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMachine(t)
		s := m.lock()
		s.bring(hidden(m, s)...)
		told, err := s.host.History(hostapi.History{Stack: "home"})
		if err != nil {
			t.Fatal(err)
		}
		for _, original := range told.Originals {
			if original.Kind == plan.KindUnit && original.HiddenBy == ourUnitFile {
				return
			}
		}
		t.Errorf("the history tells of %+v", told.Originals)
	})
}

// What --adopt would do with a unit of our name is not what it does with one in
// the way of a port.
func TestWhatAdoptWouldDoWithAUnitOfOurName(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	wants := hidden(m, s)
	s.adopt = false
	s.plan(wants...)
	if blocked := s.planned.Blocked(); len(blocked) != 1 || !blocked[0].Adoptable || !blocked[0].Hides() {
		t.Errorf("blocked by %+v", blocked)
	}
}
