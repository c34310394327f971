package host_test

import (
	"cmp"
	"context"
	"crypto/md5"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relayctl/relayctl/internal/host"
	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// debian is a folder that looks like a Debian machine, with commands and a
// service manager that work on it.
type debian struct {
	t        testing.TB
	root     string
	packages map[string]*fakePackage // that apt offers
	journal  map[string][]string     // by unit
	systemd  *fakeSystemd
	commands []string              // that were run, in order
	env      map[string][]string   // of the last command of each name
	aptFails *machine.CommandError // of every run of apt-get; nil: it does its work

	refuseCaddyfile string // text that Caddy's validation refuses
	refuseReload    string // text that Caddy refuses only when it loads it
	caddyRuns       string // the Caddyfile that Caddy has loaded
	ignoresReload   bool   // Caddy says that it loads, and does not
	caddyMoved      string // where a reload that it refused had Caddy take orders; empty: where what it runs says

	listeners    map[string]*pipeListener // by path of the socket
	caddyListens map[string]bool          // which of them are Caddy's, one at a time

	// point is told before and after everything that changes the machine; a
	// test makes it panic to end relay-host there.
	point func(what string)
}

type fakePackage struct {
	installed bool
	fails     bool              // its script fails when it is installed
	half      bool              // dpkg has it half configured
	listed    bool              // apt knows it without updating its lists
	conffiles map[string]string // content, by path
	user      string            // that it brings
	unit      string            // that it brings and starts
	neededBy  string            // another package
	replaces  string            // another package, which has to go for it
}

func newMachine(t testing.TB) *debian {
	m := &debian{
		t: t, root: folder(t), packages: map[string]*fakePackage{}, journal: map[string][]string{}, env: map[string][]string{},
		point: func(string) {}, listeners: map[string]*pipeListener{}, caddyListens: map[string]bool{},
	}
	m.systemd = &fakeSystemd{machine: m, units: map[string]*fakeUnit{}}
	m.write("/etc/os-release", "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n")
	m.write("/etc/machine-id", strings.Repeat("a", 32)+"\n")
	m.write("/etc/passwd", fmt.Sprintf("root:x:%d:%d:root:/root:/bin/bash\n", os.Getuid(), os.Getgid()))
	m.write("/etc/group", fmt.Sprintf("root:x:%d:\n", os.Getgid()))
	for _, dir := range []string{"/etc/systemd/system", "/lib/systemd/system", "/var/lib", "/usr/local/lib", "/proc", "/run/systemd/system"} {
		m.mkdir(dir)
	}
	m.packages["caddy"] = &fakePackage{
		listed: true, user: "caddy", unit: "caddy.service",
		conffiles: map[string]string{"/etc/caddy/Caddyfile": "stock\n"},
	}
	return m
}

// folder is in memory where that can be had: a disk would take most of the
// tests' time with syncing.
func folder(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "relay-host-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// host is a fresh run of relay-host on the machine.
func (m *debian) host() *host.Host {
	return host.New(host.Config{
		Machine: machine.New(machine.Config{Root: m.root, Runner: m, Systemd: m.systemd, Dial: m.dial}), Version: "1.0.0",
		Program: m.path("/proc/self/exe"), Digest: plan.Digest([]byte("this very program")),
	})
}

func (m *debian) path(path string) string { return filepath.Join(m.root, path) }

func (m *debian) mkdir(path string) {
	m.t.Helper()
	if err := os.MkdirAll(m.path(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
}

func (m *debian) write(path, content string) {
	m.t.Helper()
	m.mkdir(filepath.Dir(path))
	if err := os.WriteFile(m.path(path), []byte(content), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

// read returns a file's content; "absent" where there is none.
func (m *debian) read(path string) string {
	m.t.Helper()
	content, err := os.ReadFile(m.path(path))
	if os.IsNotExist(err) {
		return "absent"
	}
	if err != nil {
		m.t.Fatal(err)
	}
	return string(content)
}

// Run implements machine.Runner: a command is killed when ctx ends.
func (m *debian) Run(ctx context.Context, command machine.Command) ([]byte, error) {
	output, err := m.execute(command)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("run %s: %w", command.Name, context.Cause(ctx))
	}
	return output, err
}

func (m *debian) execute(command machine.Command) ([]byte, error) {
	line := command.Name + " " + strings.Join(command.Args, " ")
	m.commands = append(m.commands, line)
	m.env[command.Name] = command.Env
	last := command.Args[len(command.Args)-1]
	switch command.Name {
	case "dpkg-query":
		return []byte(m.dpkgStatus()), nil
	case "apt-cache":
		m.point("before apt-cache")
		return m.policy(last), nil
	case "apt-get":
		if slices.Contains(command.Args, "--simulate") {
			return []byte(m.simulate(last)), nil
		}
		return nil, m.apt(command.Args, last)
	case "dpkg":
		return nil, os.RemoveAll(m.path("/var/lib/dpkg/updates"))
	case "useradd", "userdel", "usermod":
		return nil, m.changeUser(command.Name, command.Args, last)
	case "caddy":
		return m.caddy(command)
	case "journalctl":
		return []byte(strings.Join(m.journal[strings.TrimPrefix(last, "_SYSTEMD_UNIT=")], "\n")), nil
	}
	return nil, fmt.Errorf("run %s: %w", command.Name, exec.ErrNotFound)
}

func (m *debian) dpkgStatus() string {
	var status strings.Builder
	for name, p := range m.packages {
		if p.half {
			fmt.Fprintf(&status, "%s\tiF \t1.0\n\n", name)
			continue
		}
		if !p.installed {
			fmt.Fprintf(&status, "%s\trc \t1.0\n\n", name)
			continue
		}
		fmt.Fprintf(&status, "%s\tii \t1.0\n", name)
		for path, content := range p.conffiles {
			fmt.Fprintf(&status, " %s %x\n", path, md5.Sum([]byte(content)))
		}
		status.WriteString("\n")
	}
	return status.String()
}

func (m *debian) policy(name string) []byte {
	if p := m.packages[name]; p != nil && p.listed {
		return []byte(name + ":\n  Installed: (none)\n  Candidate: 1.0\n")
	}
	return nil
}

// simulate is what apt says that a removal would do.
func (m *debian) simulate(name string) string {
	text := "Reading package lists...\nRemv " + name + " [1.0]\n"
	if other := m.packages[name].neededBy; other != "" {
		text += "Remv " + other + " [1.0]\n"
	}
	return text
}

func (m *debian) apt(args []string, name string) error {
	if m.aptFails != nil {
		return m.aptFails
	}
	if m.read("/var/lib/dpkg/updates/0001") != "absent" {
		return &machine.CommandError{Name: "apt-get", ExitCode: 100, Stderr: []string{"E: dpkg was interrupted"}}
	}
	m.point("before apt")
	defer m.point("after apt")
	if name == "update" {
		for _, p := range m.packages {
			p.listed = true
		}
		return nil
	}
	p := m.packages[name]
	if p == nil {
		return &machine.CommandError{Name: "apt-get", ExitCode: 100, Stdout: []string{"Reading lists..."}, Stderr: []string{"E: Unable to locate package " + name}}
	}
	if other := m.packages[p.replaces]; other != nil && slices.Contains(args, "install") {
		if slices.Contains(args, "--no-remove") {
			return &machine.CommandError{Name: "apt-get", ExitCode: 100, Stderr: []string{"E: Packages need to be removed but remove is disabled."}}
		}
		other.installed = false
	}
	if p.half = p.fails && slices.Contains(args, "install"); p.half {
		return &machine.CommandError{Name: "apt-get", ExitCode: 100, Stderr: []string{"no such user", "E: Sub-process /usr/bin/dpkg returned an error code (1)"}}
	}
	p.installed = slices.Contains(args, "install")
	if !p.installed {
		if unit := m.systemd.units[p.unit]; unit != nil {
			unit.stop()
		}
		os.Remove(m.path("/lib/systemd/system/" + p.unit))
		return nil
	}
	if p.user != "" && !strings.Contains(m.read("/etc/passwd"), "\n"+p.user+":") {
		m.addUser(p.user, "/var/lib/"+p.user)
	}
	for path, content := range p.conffiles {
		if m.read(path) == "absent" {
			m.write(path, content)
		}
	}
	if p.unit != "" {
		m.write("/lib/systemd/system/"+p.unit, "[Service]\n")
		unit := m.systemd.unit(p.unit)
		unit.enabled = true
		unit.start()
		m.caddyRuns = m.read("/etc/caddy/Caddyfile")
	}
	for other, p := range m.packages {
		if p.half {
			return &machine.CommandError{Name: "apt-get", ExitCode: 100, Stderr: []string{"dpkg: error processing package " + other}}
		}
	}
	return nil
}

// addUser adds a user. No test gives it files, so that tests need not be root.
func (m *debian) addUser(name, home string) {
	m.write("/etc/passwd", m.read("/etc/passwd")+fmt.Sprintf("%s:x:%d:%d::%s:/usr/sbin/nologin\n", name, os.Getuid()+1, os.Getgid()+1, home))
	m.write("/etc/group", m.read("/etc/group")+fmt.Sprintf("%s:x:%d:\n", name, os.Getgid()+1))
}

func (m *debian) changeUser(command string, args []string, name string) error {
	m.point("before " + command)
	defer m.point("after " + command)
	home := "/home/" + name
	for i, arg := range args {
		if arg == "--home-dir" || arg == "--home" {
			home = args[i+1]
		}
	}
	exists := strings.Contains("\n"+m.read("/etc/passwd"), "\n"+name+":")
	if exists == (command == "useradd") {
		return &machine.CommandError{Name: command, ExitCode: 9, Stderr: []string{command + ": user " + name + ": wrong state"}}
	}
	for _, file := range []string{"/etc/passwd", "/etc/group"} {
		lines := slices.DeleteFunc(strings.SplitAfter(m.read(file), "\n"), func(line string) bool {
			return command != "useradd" && strings.HasPrefix(line, name+":")
		})
		m.write(file, strings.Join(lines, ""))
	}
	if command != "userdel" {
		m.addUser(name, home)
	}
	return nil
}

func (m *debian) caddy(command machine.Command) ([]byte, error) {
	path := command.Args[slices.Index(command.Args, "--config")+1]
	content := m.read(path)
	refused := func(text string) bool { return text != "" && strings.Contains(content, text) }
	switch command.Args[0] {
	case "adapt":
		return adapted(content), nil
	case "validate":
		if refused(m.refuseCaddyfile) {
			return nil, &machine.CommandError{Name: "caddy", ExitCode: 1, Stderr: []string{
				`{"level":"info","msg":"using provided configuration"}`, "Error: adapting: " + path + ":3: unknown directive",
			}}
		}
	case "reload":
		m.point("before caddy reload")
		to := adminIn(content)
		if at := slices.Index(command.Args, "--address"); at > 0 {
			to = command.Args[at+1]
		}
		if to != m.caddyTakesOrders() {
			return nil, &machine.CommandError{Name: "caddy", ExitCode: 1, Stderr: []string{"Error: sending configuration to instance: dial " + to}}
		}
		if content == m.caddyRuns && !slices.Contains(command.Args, "--force") {
			return nil, nil
		}
		if refused(m.refuseReload) {
			m.caddyMoved = adminIn(content) // as Caddy 2.6.2 does
			return nil, &machine.CommandError{Name: "caddy", ExitCode: 1, Stderr: []string{"Error: sending configuration: HTTP 400"}}
		}
		if m.ignoresReload {
			return nil, nil
		}
		m.caddyRuns, m.caddyMoved = content, ""
		m.systemd.unit("caddy.service").load()
		m.point("after caddy reload")
	}
	return nil, nil
}

// adapted is a Caddyfile as Caddy takes it.
func adapted(caddyfile string) []byte {
	return fmt.Appendf(nil, `{"admin":{"listen":%q,"disabled":%t},"text":%q}`,
		adminIn(caddyfile), adminIn(caddyfile) == "off", caddyfile)
}

// adminIn is where a Caddyfile has Caddy take orders.
func adminIn(caddyfile string) string {
	_, place, said := strings.Cut(caddyfile, "admin ")
	if !said {
		return "unix/" + caddySocket
	}
	return strings.Fields(place)[0]
}

func (m *debian) caddyTakesOrders() string { return cmp.Or(m.caddyMoved, adminIn(m.caddyRuns)) }

// observe looks at resources with a fresh relay-host.
func (m *debian) observe(resources ...plan.Resource) plan.Facts {
	m.t.Helper()
	observation, err := m.host().Observe(m.t.Context(), hostapi.Observe{Resources: resources})
	if err != nil {
		m.t.Fatal(err)
	}
	return observation.Facts
}
