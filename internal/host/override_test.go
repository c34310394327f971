package host_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

const (
	caddyService   = "/lib/systemd/system/caddy.service"
	caddyDropIn    = "/etc/systemd/system/caddy.service.d/override.conf"
	packagedCaddy  = "[Unit]\nAfter=network.target\n[Service]\nUser=caddy\nExecStart=/usr/bin/caddy run --environ --config /etc/caddy/Caddyfile\nLimitNOFILE=1048576\n"
	relayService   = "/etc/systemd/system/relay-worker.service"
	ourRelayWorker = "[Service]\nUser=relay\nExecStart=/usr/local/lib/relayctl/relay-worker/current/relay-worker --config /etc/relay/worker.json\n"
)

func relayWorker() plan.Resource {
	return unit("relay-worker.service", plan.Unit{Restart: []plan.ID{fileID(relayService)}})
}

func packaged() plan.Resource { return unit("caddy.service", plan.Unit{}) }

func TestOverrides(t *testing.T) {
	const runShop = "[Service]\nExecStart=\nExecStart=/usr/bin/caddy run --config /etc/caddy/caddy.json --token=sesame sesame\n"
	const startsShop = "by it unit caddy starts caddy --config /etc/caddy/caddy.json --token"
	worker, caddy := relayWorker(), packaged()
	for _, row := range []struct {
		name  string
		unit  plan.Resource
		files map[string]string
		want  []string // "PATH: what it does"
	}{
		{"none", caddy, nil, nil},
		{"another command", caddy, map[string]string{caddyDropIn: runShop}, []string{caddyDropIn + ": " + startsShop}},
		{"until the next boot", caddy, map[string]string{"/run/systemd/system/caddy.service.d/override.conf": runShop},
			[]string{"/run/systemd/system/caddy.service.d/override.conf: " + startsShop}},
		{"no command", caddy, map[string]string{caddyDropIn: "[Service]\nExecStart=\n"}, []string{caddyDropIn + ": by it unit caddy starts nothing"}},
		{"another command, as root", caddy, map[string]string{caddyDropIn: runShop + "User=root\n"}, []string{caddyDropIn + ": " + startsShop + ", and it changes User"}},
		{"what runs after the start", caddy, map[string]string{caddyDropIn: "[Service]\nExecStartPost=/usr/bin/curl --data @/srv/shop.json http://localhost:2019/load\n"},
			[]string{caddyDropIn + ": it changes ExecStartPost of unit caddy"}},
		{"limits, restarts and order", caddy, map[string]string{caddyDropIn: "[Unit]\nAfter=ssh.service\nStartLimitIntervalSec=0\n[Service]\nLimitNOFILE=4096\nRestart=always\nOOMScoreAdjust=-500\nMemoryMax=1G\nProtectHome=yes\n"}, nil},
		{"a proxy on the way out, and more in the log", worker, map[string]string{"/etc/systemd/system/relay-worker.service.d/a.conf": "[Service]\nEnvironment=LOG_LEVEL=debug \"HTTPS_PROXY=http://proxy:3128\"\nEnvironment=no_proxy=localhost\n"}, nil},
		{"that and more", worker, map[string]string{"/etc/systemd/system/relay-worker.service.d/a.conf": "[Service]\nEnvironment=LOG_LEVEL=debug SSL_CERT_FILE=/srv/ca.pem\n"},
			[]string{"/etc/systemd/system/relay-worker.service.d/a.conf: it changes Environment of unit relay-worker"}},
		{"a property set", worker, map[string]string{"/etc/systemd/system.control/relay-worker.service.d/50-MemoryMax.conf": "[Service]\nMemoryMax=1073741824\n"}, nil},
		{"the same again", caddy, map[string]string{caddyDropIn: "# as it is\n[Service]\nUser = caddy\nExecStart=\nExecStart=/usr/bin/caddy run --environ \\\n# with its file\n  --config /etc/caddy/Caddyfile\n"}, nil},
		{"taken back by a later one", caddy, map[string]string{caddyDropIn: "[Service]\nEnvironment=A=b\n", "/etc/systemd/system/caddy.service.d/zz.conf": "[Service]\nEnvironment=\n"}, nil},
		{"another section", caddy, map[string]string{caddyDropIn: "[Socket]\nExecStartPre=/bin/true\n"}, nil},
		{"not a drop-in", caddy, map[string]string{"/etc/systemd/system/caddy.service.d/override.conf.bak": runShop}, nil},
		{"a file before the package's", caddy, map[string]string{"/etc/systemd/system/caddy.service": strings.ReplaceAll(packagedCaddy, "Caddyfile", "caddy.json")},
			[]string{"/etc/systemd/system/caddy.service: by it unit caddy starts caddy --environ --config /etc/caddy/caddy.json"}},
		{"a copy of the package's, with other limits", caddy, map[string]string{"/etc/systemd/system/caddy.service": strings.ReplaceAll(packagedCaddy, "1048576", "4096")}, nil},
		{"a file without the user", caddy, map[string]string{"/etc/systemd/system/caddy.service": strings.ReplaceAll(packagedCaddy, "User=caddy\n", "")},
			[]string{"/etc/systemd/system/caddy.service: it changes User of unit caddy"}},
		{"as root, with a variable", worker, map[string]string{"/etc/systemd/system/relay-worker.service.d/a.conf": "[Service]\nUser=root\nEnvironment=TOKEN=sesame\n"},
			[]string{"/etc/systemd/system/relay-worker.service.d/a.conf: it changes Environment, User of unit relay-worker"}},
		{"a file of variables, and another folder", worker, map[string]string{
			"/etc/systemd/system/relay-worker.service.d/a.conf": "[Service]\nEnvironmentFile=-/srv/env\n",
			"/etc/systemd/system/relay-worker.service.d/b.conf": "[Service]\nWorkingDirectory=/srv\n"}, []string{
			"/etc/systemd/system/relay-worker.service.d/a.conf: it changes EnvironmentFile of unit relay-worker",
			"/etc/systemd/system/relay-worker.service.d/b.conf: it changes WorkingDirectory of unit relay-worker"}},
		{"another file in the place of one that it reads", worker, map[string]string{"/etc/systemd/system/relay-worker.service.d/a.conf": "[Service]\nBindReadOnlyPaths=/srv/w.json:/etc/relay/worker.json\n"},
			[]string{"/etc/systemd/system/relay-worker.service.d/a.conf: it changes BindReadOnlyPaths of unit relay-worker"}},
		{"for all services", worker, map[string]string{"/etc/systemd/system/service.d/10-roots.conf": "[Service]\nEnvironment=SSL_CERT_FILE=/srv/ca.pem\n"},
			[]string{"/etc/systemd/system/service.d/10-roots.conf: it changes Environment of unit relay-worker (ln -s /dev/null /etc/systemd/system/relay-worker.service.d/10-roots.conf)"}},
		{"for all services, but not for this one", worker, map[string]string{
			"/etc/systemd/system/service.d/10-roots.conf":              "[Service]\nEnvironment=SSL_CERT_FILE=/srv/ca.pem\n",
			"/etc/systemd/system/relay-worker.service.d/10-roots.conf": ""}, nil},
		{"for all that begin so", worker, map[string]string{"/etc/systemd/system/relay-.service.d/a.conf": "[Service]\nGroup=root\n"},
			[]string{"/etc/systemd/system/relay-.service.d/a.conf: it changes Group of unit relay-worker (ln -s /dev/null /etc/systemd/system/relay-worker.service.d/a.conf)"}},
		{"of a package", caddy, map[string]string{"/usr/lib/systemd/system/caddy.service.d/a.conf": "[Service]\nEnvironment=A=b\n"},
			[]string{"/usr/lib/systemd/system/caddy.service.d/a.conf: it changes Environment of unit caddy (ln -s /dev/null /etc/systemd/system/caddy.service.d/a.conf)"}},
		{"for a unit that is still to come", unit("relay-server.service", plan.Unit{Restart: []plan.ID{fileID("/etc/systemd/system/relay-server.service")}}),
			map[string]string{"/etc/systemd/system/relay-server.service.d/a.conf": "[Service]\nUser=root\nNice=5\n"},
			[]string{"/etc/systemd/system/relay-server.service.d/a.conf: it changes User of unit relay-server"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := newMachine(t)
			m.Write(caddyService, packagedCaddy)
			m.Write(relayService, ourRelayWorker)
			for path, content := range row.files {
				m.Write(path, content)
			}
			facts := m.observe(row.unit)
			var got []string
			for _, over := range facts.Find(row.unit.ID).Overrides {
				line := over.Path + ": " + over.Says
				if _, how, ok := strings.Cut(over.Instead, " && "); ok {
					line += " (" + strings.TrimSuffix(how, " && systemctl daemon-reload") + ")"
				}
				got = append(got, line)
				if !facts.Find(fileID(over.Path)).Exists {
					t.Errorf("%s is not among the facts", over.Path)
				}
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Error("(-want +got)\n" + diff)
			}
		})
	}
}

// overridden is a machine on which relay-worker runs, and then a drop-in for it
// came.
func overridden(t *testing.T) (m *debian, s *session, dropIn string) {
	m = newMachine(t)
	s = m.lock()
	s.bring(s.file(relayService, ourRelayWorker), relayWorker())
	dropIn = "/etc/systemd/system/relay-worker.service.d/override.conf"
	m.Write(dropIn, "[Service]\nUser=root\n")
	return m, s, dropIn
}

func TestDropInIsTakenOver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, s, dropIn := overridden(t)
		want := []plan.Resource{s.file(relayService, ourRelayWorker), relayWorker()}
		if steps := s.plan(want...); len(steps) != 1 || steps[0].ID != fileID(dropIn) || steps[0].Block == "" || !steps[0].Adoptable {
			t.Fatalf("without --adopt: %+v", steps)
		}
		s.adopt = true
		u := m.Systemd.Unit("relay-worker.service")
		u.Jobs, m.Systemd.Reloads = nil, 0
		s.bring(want...)
		if got := m.Read(dropIn); got != "absent" || m.Systemd.Reloads == 0 || !cmp.Equal(u.Jobs, []machine.JobVerb{machine.RestartUnit}) {
			t.Errorf("the drop-in is %q; %d reloads of unit files, jobs %v", got, m.Systemd.Reloads, u.Jobs)
		}
		kept := "/var/lib/relayctl/generations/0" + dropIn
		entry := m.observe().Find(fileID(dropIn)).Applied
		if m.Read(kept) != "[Service]\nUser=root\n" || entry == nil || entry.Kept != kept || entry.Made || entry.Taken == nil {
			t.Errorf("kept %q; the manifest has %+v", m.Read(kept), entry)
		}
		if steps := s.plan(want...); len(steps) > 0 {
			t.Errorf("a second plan has %v", steps)
		}

		m.Write(dropIn, "[Service]\nUser=root\nGroup=root\n") // again, and another
		s.bring(want...)
		if entry := m.observe().Find(fileID(dropIn)).Applied; entry.Kept != kept+".2" || m.Read(entry.Kept) == m.Read(kept) {
			t.Errorf("the second one: the manifest has %+v", entry)
		}

		last := planOf(t, plan.Host{Role: plan.RoleDeparted, Facts: m.observe()})
		if _, err := s.apply(last.Changes); err != nil {
			t.Fatal(err)
		}
		if got := m.Read(dropIn); got != "[Service]\nUser=root\nGroup=root\n" {
			t.Errorf("after leaving the stack the drop-in is %q", got)
		}
	})
}

// One that comes between plan and apply is not started with.
func TestDropInSinceThePlan(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, s, dropIn := overridden(t)
		os.Remove(m.Path(dropIn))
		steps := s.plan(s.file(relayService, ourRelayWorker+"# another\n"), relayWorker())
		m.Write(dropIn, "[Service]\nUser=root\n")
		if _, err := s.apply(steps); code(err) != hostapi.CodeChangedSince || !strings.Contains(err.Error(), dropIn) {
			t.Errorf("the error is %v", err)
		}
	})
}

func TestDropInThatIsEditedSinceThePlan(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, s, dropIn := overridden(t)
		s.adopt = true
		steps := s.plan(s.file(relayService, ourRelayWorker), relayWorker())
		m.Write(dropIn, "[Service]\nUser=nobody\n")
		if _, err := s.apply(steps); code(err) != hostapi.CodeChangedSince || m.Read(dropIn) == "absent" {
			t.Errorf("the drop-in is %q, the error %v", m.Read(dropIn), err)
		}
	})
}

func TestProcessStartedOtherwise(t *testing.T) {
	const program = "/usr/local/lib/relayctl/relay-worker/current/relay-worker"
	for _, row := range []struct {
		name, command string
		uid           int
		seen, stale   bool
	}{
		{"as its file says", program + " --config /etc/relay/worker.json", 1, false, false},
		{"by another command", program + " --config /srv/worker.json", 1, false, true},
		{"by a shell", "/bin/sh -c " + program, 1, false, true},
		{"as another user", program + " --config /etc/relay/worker.json", 0, false, true},
		{"by a start that was seen through", program + " --config /srv/worker.json", 1, true, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m := newMachine(t)
				m.AddUser("relay", "/nonexistent")
				s := m.lock()
				s.bring(s.file(relayService, ourRelayWorker), relayWorker())
				u := m.Systemd.Unit("relay-worker.service")
				if !row.seen {
					m.Tick()
					u.Start()
				}
				u.State.MainPID = 4711
				m.Write("/proc/4711/cmdline", strings.ReplaceAll(row.command, " ", "\x00")+"\x00")
				m.Write("/proc/4711/status", fmt.Sprintf("Name:\tx\nUid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", os.Getuid()+row.uid))
				stale := m.observe(relayWorker()).Find(relayWorker().ID).Stale
				if got := len(stale) == 1 && stale[0] == fileID(relayService); got != row.stale || len(stale) > 1 {
					t.Errorf("stale: %v", stale)
				}
			})
		})
	}
}

func TestCaddyThatRunsSomethingElse(t *testing.T) {
	for _, row := range []struct {
		name, runs string
		job        []machine.JobVerb
	}{
		{"loaded through its admin API", "shop\n", nil},
		{"that turned the admin API off", "shop, admin off\n", []machine.JobVerb{machine.RestartUnit}},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m, s, _ := caddyMachine(t)
				m.Caddy.Runs = row.runs
				caddy := m.Systemd.Unit("caddy.service")
				caddy.Jobs = nil
				s.bring(s.caddy("one\n")...)
				if m.Caddy.Runs != "one\n" || !cmp.Equal(caddy.Jobs, row.job) {
					t.Errorf("Caddy runs %q after %v", m.Caddy.Runs, caddy.Jobs)
				}
				if steps := s.plan(s.caddy("one\n")...); len(steps) > 0 {
					t.Errorf("a second plan has %v", steps)
				}
			})
		})
	}
}

// What Caddy runs before the first apply is somebody's, where no file that it
// reads says so.
func TestWhatCaddyRunsBeforeTheFirstApply(t *testing.T) {
	const autosave = "/var/lib/caddy/.config/caddy/autosave.json"
	resumes := strings.Replace(packagedCaddy, "--config /etc/caddy/Caddyfile", "--resume", 1)
	for _, row := range []struct {
		name  string
		set   func(m *debian)
		wants []string
	}{
		{"its Caddyfile", func(*debian) {}, nil},
		{"loaded through its admin API", func(m *debian) { m.Caddy.Runs = "shop\n" }, []string{autosave}},
		{"loaded, and its admin API elsewhere", func(m *debian) { m.Caddy.Runs = "shop, admin off\n" }, []string{autosave}},
		{"its Caddyfile, with the admin API off", func(m *debian) {
			m.Write("/etc/caddy/Caddyfile", "admin off\n")
			m.Caddy.Runs = "admin off\n"
		}, nil},
		{"by a command of its own", func(m *debian) {
			m.Caddy.Runs = "shop\n"
			m.Write(caddyDropIn, "[Service]\nExecStart=\nExecStart=/usr/bin/caddy run --config /srv/shop.json\n")
		}, []string{caddyDropIn}},
		{"what it resumes", func(m *debian) {
			m.Caddy.Runs = "shop\n"
			m.Write("/etc/systemd/system/caddy.service", resumes)
		}, []string{"/etc/systemd/system/caddy.service", autosave}},
		{"by the package's other unit", func(m *debian) {
			m.Write("/lib/systemd/system/caddy-api.service", resumes)
			m.Systemd.Unit("caddy.service").Stop()
			m.Systemd.Unit("caddy-api.service").Enabled = true
		}, []string{autosave}},
		{"what it does not write down", func(m *debian) {
			m.Caddy.Runs = "shop\n"
			os.Remove(m.Path(autosave))
		}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m := newMachine(t)
				m.ServeCaddy()
				if err := m.Install("caddy"); err != nil {
					t.Fatal(err)
				}
				m.Write(caddyService, packagedCaddy)
				m.Write(autosave, "{}")
				row.set(m)
				s := m.lock()
				var got []string
				for _, over := range m.observe(s.caddy("ours\n")...).Find(packaged().ID).Overrides {
					got = append(got, over.Path)
				}
				if diff := cmp.Diff(row.wants, got); diff != "" {
					t.Fatal("(-want +got)\n" + diff)
				}
				s.adopt = true
				s.bring(s.caddy("ours\n")...)
				if m.Caddy.Runs != "ours\n" {
					t.Errorf("Caddy runs %q", m.Caddy.Runs)
				}
				for _, path := range row.wants {
					if m.Read(filepath.Join("/var/lib/relayctl/generations/0", path)) == "absent" {
						t.Errorf("%s is not kept", path)
					}
				}
				if steps := s.plan(s.caddy("ours\n")...); len(steps) > 0 {
					t.Errorf("a second plan has %v", steps)
				}
			})
		})
	}
}

// Whatever a service's user, or whoever a link of root's leads to, has in the
// place of a file: nobody waits for a pipe.
func TestPipesHoldNobodyUp(t *testing.T) {
	m := newMachine(t)
	m.Write(caddyService, packagedCaddy)
	m.Write("/lib/systemd/system/nginx.service", "[Service]\n")
	for path, link := range map[string]string{
		"/var/lib/caddy/.config/caddy/autosave.json": "",
		"/home/you/a.conf":                           caddyDropIn,
		"/home/you/b.conf":                           "/etc/nginx/sites-enabled/b",
		"/home/you/variables":                        "/etc/environment",
	} {
		m.Mkdir(filepath.Dir(path))
		if err := syscall.Mkfifo(m.Path(path), 0o644); err != nil {
			t.Fatal(err)
		}
		if link != "" {
			m.Mkdir(filepath.Dir(link))
			if err := os.Symlink(m.Path(path), m.Path(link)); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := m.lock()
	nginx := plan.ID{Kind: plan.KindUnit, Name: "nginx.service"}
	seen := m.observe(append(s.caddy("ours\n"), plan.Resource{ID: nginx})...)
	if overrides := seen.Find(packaged().ID).Overrides; len(overrides) > 0 || len(seen.Find(nginx).Serves) > 0 {
		t.Errorf("overrides %+v, sites %v", overrides, seen.Find(nginx).Serves)
	}
}

// Caddy's user may have its folder lead anywhere: nothing is taken from there,
// and nothing written to it.
func TestCaddyFolderThatIsALink(t *testing.T) {
	const autosave = "/var/lib/caddy/.config/caddy/autosave.json"
	for _, link := range []string{"/var/lib/caddy/.config", "/var/lib/caddy/.config/caddy"} {
		t.Run(link, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m := newMachine(t)
				m.ServeCaddy()
				if err := m.Install("caddy"); err != nil {
					t.Fatal(err)
				}
				m.Write(caddyService, packagedCaddy)
				m.Write(autosave, "{}")
				m.Caddy.Runs = "shop\n"
				s := m.lock()
				s.adopt = true
				steps := s.plan(s.caddy("ours\n")...)
				if err := os.Rename(m.Path(link), m.Path("/etc/elsewhere")); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink(m.Path("/etc/elsewhere"), m.Path(link)); err != nil {
					t.Fatal(err)
				}
				_, err := s.apply(steps)
				if err == nil || !strings.Contains(err.Error(), "move aside: open /var/lib/caddy/.config/caddy: ") || m.Read(autosave) != "{}" {
					t.Errorf("the error is %v; what the link leads to is %q", err, m.Read(autosave))
				}
			})
		})
	}
}

// The package's own file can't be moved: it has to be brought anew.
func TestPackagedUnitThatWasEdited(t *testing.T) {
	m := newMachine(t)
	m.Write(caddyService, strings.ReplaceAll(packagedCaddy, "Caddyfile", "caddy.json"))
	caddy := unit("caddy.service", plan.Unit{Lifecycle: plan.LifecycleCaddy})
	over := m.observe(caddy).Find(caddy.ID).Overrides
	want := []plan.Override{{
		Path: caddyService, Says: "by it unit caddy starts caddy --environ --config /etc/caddy/caddy.json",
		Instead: "it is the package's, edited; to have it anew, on the host: apt-get install --reinstall caddy",
	}}
	if diff := cmp.Diff(want, over); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
}

// Whatever the reason: a Caddy that does not come up with the Caddyfile is told.
func TestCaddyThatDoesNotTakeItsFile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, s, _ := caddyMachine(t)
		m.Caddy.IgnoresReload = true
		_, err := s.apply(s.plan(s.caddy("two\n")...))
		if want := "unit caddy.service runs, but with another configuration than /etc/caddy/Caddyfile"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v", err)
		}
	})
}
