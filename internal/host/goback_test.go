package host_test

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/host/machine/machinetest"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// serverMachine has a unit with a program, settings and a folder of more that
// it publishes the digest of; it refuses what holds the word "bad" at a reload,
// and stops with it after a start.
func serverMachine(t *testing.T) (*debian, *machinetest.Unit) {
	m := newMachine(t)
	u := m.Systemd.Unit("relay.service")
	u.Reads = []string{"/etc/relay/relay.json", "/etc/relay/workers.d/a.json", "/etc/relay/workers.d/b.json", serviceFile,
		"/usr/local/lib/relayctl/relay-server/current/relay-server"}
	u.Bad = "bad"
	taken, refused := "", ""
	u.Publish = func() string {
		whole := ""
		for _, path := range u.Reads[:3] {
			if content := u.Loaded[path]; content != "absent" {
				whole += fmt.Sprintf("%s\x00%x\n", strings.TrimPrefix(path, "/etc/relay/"), sha256.Sum256([]byte(content)))
			}
			if strings.Contains(u.Loaded[path], "refused") {
				refused = "; reload refused: no such word"
				return "settings " + taken + refused
			}
		}
		taken = fmt.Sprintf("%x", sha256.Sum256([]byte(whole)))
		return "settings " + taken
	}
	return m, u
}

// server is all that the unit needs: content by path, and its program.
func (s *session) server(program string, files map[string]string) []plan.Resource {
	carried := s.program("relay-server", program, program)
	list := []plan.Resource{directory("/etc/relay"), directory("/etc/relay/workers.d"), carried}
	if files[serviceFile] == "" {
		list = append(list, s.file(serviceFile, "[Service]\n"))
	}
	for path, content := range files {
		list = append(list, s.file(path, content))
	}
	return append(list, unit("relay.service", plan.Unit{
		Restart:  []plan.ID{fileID(serviceFile)},
		Reload:   []plan.ID{fileID("/etc/relay/relay.json"), {Kind: plan.KindDirectory, Name: "/etc/relay/workers.d"}},
		Settings: []string{"/etc/relay/relay.json", "/etc/relay/workers.d"},
		Program:  &carried.ID,
	}))
}

// zone is a unit that comes after, with a file of its own.
func (s *session) zone(content string) []plan.Resource {
	unitFile := s.file("/etc/systemd/system/zone.service", "[Service]\n")
	file := s.file("/etc/zone.conf", content)
	return []plan.Resource{unitFile, file, unit("zone.service", plan.Unit{Restart: []plan.ID{unitFile.ID}, Reload: []plan.ID{file.ID}})}
}

func TestUnitGetsItsFormerFilesBack(t *testing.T) {
	const settings, a, b = "/etc/relay/relay.json", "/etc/relay/workers.d/a.json", "/etc/relay/workers.d/b.json"
	before := map[string]string{settings: "one", a: "a"}
	for _, row := range []struct {
		name    string
		program string
		files   map[string]string
		says    []string
		jobs    []machine.JobVerb
		last    string // what is named after the file of another unit
	}{
		{"settings that it refuses", "1", map[string]string{settings: "refused", a: "a"},
			[]string{"runs, but refused its new settings: no such word; put back as before: " + settings}, []machine.JobVerb{machine.ReloadUnit, machine.ReloadUnit}, ""},
		{"a file that came, and one that left", "1", map[string]string{settings: "one", b: "refused"},
			[]string{"refused its new settings: no such word; put back as before: " + a + ", " + b}, []machine.JobVerb{machine.ReloadUnit, machine.ReloadUnit}, ""},
		{"a unit's file that it does not start with", "1", map[string]string{settings: "two", a: "a", serviceFile: "bad"},
			[]string{"did not stay up: it stopped once", "put back as before: " + settings + ", " + serviceFile}, []machine.JobVerb{machine.RestartUnit, machine.RestartUnit}, ""},
		{"a program that does not stay up", "bad", map[string]string{settings: "two", a: "a"},
			[]string{"did not stay up: it stopped once", "put back as before: " + settings}, []machine.JobVerb{machine.RestartUnit, machine.RestartUnit}, ", program relay-server"},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m, u := serverMachine(t)
				s := m.lock()
				m.Systemd.Unit("zone.service").Reads = []string{"/etc/zone.conf"}
				s.bring(append(s.server("1", before), s.zone("before")...)...)
				u.Jobs = nil
				_, err := s.apply(s.plan(append(s.server(row.program, row.files), s.zone("after")...)...))
				if code(err) != hostapi.CodeStep {
					t.Fatalf("the error is %v", err)
				}
				for _, says := range row.says {
					if !strings.Contains(err.Error(), says) {
						t.Errorf("the error is %v; %q is missing", err, says)
					}
				}
				if !slices.Equal(u.Jobs, row.jobs) || !u.Fresh() || !u.State.Running() {
					t.Errorf("the unit is %+v after %v", u, u.Jobs)
				}
				got := map[string]string{settings: m.Read(settings), a: m.Read(a), b: m.Read(b)}
				if diff := cmp.Diff(map[string]string{settings: "one", a: "a", b: "absent"}, got); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
				if m.Read("/etc/zone.conf") != "before" || !strings.HasSuffix(err.Error(), ", /etc/zone.conf"+row.last) {
					t.Errorf("the file of a unit whose turn did not come is %q; the error is %v", m.Read("/etc/zone.conf"), err)
				}
				if steps := s.plan(append(s.server("1", before), s.zone("before")...)...); len(steps) > 0 {
					t.Errorf("a plan of what was before has %v", steps)
				}
				s.bring(append(s.server("2", map[string]string{settings: "two"}), s.zone("after")...)...)
			})
		})
	}
}

// What was moved aside for a unit that then does not stay up is moved back.
func TestDropInComesBackWithTheFormerFiles(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, s, dropIn := overridden(t)
		u := m.Systemd.Unit("relay-worker.service")
		u.Reads, u.Bad = []string{relayService}, "bad"
		s.adopt = true
		_, err := s.apply(s.plan(s.file(relayService, ourRelayWorker+"# bad\n"), relayWorker()))
		if err == nil || !strings.HasSuffix(err.Error(), "put back as before: "+relayService+", "+dropIn) {
			t.Errorf("the error is %v", err)
		}
		if m.Read(dropIn) != "[Service]\nUser=root\n" || m.Read(relayService) != ourRelayWorker {
			t.Errorf("the drop-in is %q, the unit's file %q", m.Read(dropIn), m.Read(relayService))
		}
		s.adopt = false
		if steps := s.plan(s.file(relayService, ourRelayWorker), relayWorker()); len(steps) == 0 || steps[0].ID != fileID(dropIn) || steps[0].Block == "" {
			t.Errorf("the drop-in is not in the way any more: %v", steps)
		}
	})
}
