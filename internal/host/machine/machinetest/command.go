package machinetest

import (
	"context"
	"crypto/md5"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/relayctl/relayctl/internal/host/machine"
)

// version is that of every package.
const version = "2.6.2-5"

// Package is a package that apt may offer.
type Package struct {
	Installed bool
	Fails     bool              // its script fails when it is installed
	Half      bool              // dpkg has it half configured
	Held      bool              // somebody keeps it as it is
	Listed    bool              // apt knows it without updating its lists
	Conffiles map[string]string // content, by path
	User      string            // that it brings
	Unit      string            // that it brings and starts
	NeededBy  string            // another package
	Replaces  string            // another package, which has to go for it

	removed bool // it was: its conffiles are still there, and dpkg knows them
}

// Run implements machine.Runner: a command is killed when ctx ends.
func (m *Machine) Run(ctx context.Context, command machine.Command) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hear = command.Hear
	output, err := m.execute(command)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("run %s: %w", command.Name, context.Cause(ctx))
	}
	return output, err
}

// say tells whoever listens a line of the command that runs.
func (m *Machine) say(line string) {
	if m.hear != nil {
		m.hear(line)
	}
}

func (m *Machine) execute(command machine.Command) ([]byte, error) {
	line := command.Name + " " + strings.Join(command.Args, " ")
	m.Commands = append(m.Commands, line)
	m.Env[command.Name] = command.Env
	last := command.Args[len(command.Args)-1]
	switch command.Name {
	case "dpkg-query":
		return []byte(m.dpkgStatus()), nil
	case "apt-cache":
		m.at("before apt-cache")
		return m.policy(last), nil
	case "apt-mark":
		if p := m.Packages[last]; p != nil && p.Held {
			return []byte(last + "\n"), nil
		}
		return nil, nil
	case "apt-get":
		if slices.Contains(command.Args, "--simulate") {
			return []byte(m.simulate(last)), nil
		}
		return nil, m.apt(command.Args, last)
	case "dpkg":
		return nil, os.RemoveAll(m.Path("/var/lib/dpkg/updates"))
	case "useradd", "userdel", "usermod":
		return nil, m.changeUser(command.Name, command.Args, last)
	case "caddy":
		return m.runCaddy(command)
	case "journalctl":
		return []byte(strings.Join(m.Log[strings.TrimPrefix(last, "_SYSTEMD_UNIT=")], "\n")), nil
	}
	return nil, fmt.Errorf("run %s: %w", command.Name, exec.ErrNotFound)
}

func (m *Machine) dpkgStatus() string {
	var status strings.Builder
	for name, p := range m.Packages {
		if p.Half {
			fmt.Fprintf(&status, "%s\tiF \t%s\n\n", name, version)
			continue
		}
		if !p.Installed && !p.removed {
			continue
		}
		state := "ii "
		if !p.Installed {
			state = "rc "
		}
		fmt.Fprintf(&status, "%s\t%s\t%s\n", name, state, version)
		for path, content := range p.Conffiles {
			fmt.Fprintf(&status, " %s %x\n", path, md5.Sum([]byte(content)))
		}
		status.WriteString("\n")
	}
	return status.String()
}

func (m *Machine) policy(name string) []byte {
	if p := m.Packages[name]; p != nil && p.Listed {
		return []byte(name + ":\n  Installed: (none)\n  Candidate: " + version + "\n")
	}
	return nil
}

// simulate is what apt says that a removal would do.
func (m *Machine) simulate(name string) string {
	if name == "autoremove" {
		return "Reading package lists...\n" // everything is needed
	}
	text := "Reading package lists...\nRemv " + name + " [" + version + "]\n"
	if other := m.Packages[name].NeededBy; other != "" {
		text += "Remv " + other + " [" + version + "]\n"
	}
	return text
}

// Install has apt install a package, as somebody may by hand.
func (m *Machine) Install(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.apt([]string{"install"}, name)
}

func (m *Machine) apt(args []string, name string) error {
	if m.AptFails != nil {
		return m.AptFails
	}
	if m.Read("/var/lib/dpkg/updates/0001") != "absent" {
		return &machine.CommandError{Name: "apt-get", ExitCode: 100, Stderr: []string{"E: dpkg was interrupted"}}
	}
	m.say("Setting up " + name + " ...")
	m.at("before apt")
	defer m.at("after apt")
	if name == "update" {
		for _, p := range m.Packages {
			p.Listed = true
		}
		return nil
	}
	p := m.Packages[name]
	if p == nil {
		return &machine.CommandError{Name: "apt-get", ExitCode: 100, Stdout: []string{"Reading lists..."}, Stderr: []string{"E: Unable to locate package " + name}}
	}
	if p.Held {
		return &machine.CommandError{Name: "apt-get", ExitCode: 100, Stderr: []string{"E: Held packages were changed and -y was used without --allow-change-held-packages."}}
	}
	if other := m.Packages[p.Replaces]; other != nil && slices.Contains(args, "install") {
		if slices.Contains(args, "--no-remove") {
			return &machine.CommandError{Name: "apt-get", ExitCode: 100, Stderr: []string{"E: Packages need to be removed but remove is disabled."}}
		}
		other.Installed = false
	}
	if p.Half = p.Fails && slices.Contains(args, "install"); p.Half {
		return &machine.CommandError{Name: "apt-get", ExitCode: 100, Stderr: []string{"no such user", "E: Sub-process /usr/bin/dpkg returned an error code (1)"}}
	}
	p.Installed = slices.Contains(args, "install")
	if p.removed = !p.Installed; p.removed {
		if unit := m.Systemd.All[p.Unit]; unit != nil {
			unit.Stop()
		}
		os.Remove(m.Path("/lib/systemd/system/" + p.Unit))
		if slices.Contains(args, "purge") {
			m.purge(p)
		}
		return nil
	}
	if p.User != "" && !strings.Contains(m.Read("/etc/passwd"), "\n"+p.User+":") {
		m.AddUser(p.User, "/var/lib/"+p.User)
		m.Mkdir("/var/lib/" + p.User)
	}
	for path, content := range p.Conffiles {
		if m.Read(path) == "absent" {
			m.Write(path, content)
		}
	}
	if p.Unit != "" {
		m.Write("/lib/systemd/system/"+p.Unit, "[Service]\n")
		unit := m.Systemd.Unit(p.Unit)
		unit.Enabled = true
		unit.Start()
		m.Caddy.Runs = m.Read("/etc/caddy/Caddyfile")
	}
	for other, p := range m.Packages {
		if p.Half {
			return &machine.CommandError{Name: "apt-get", ExitCode: 100, Stderr: []string{"dpkg: error processing package " + other}}
		}
	}
	return nil
}

// AddUser adds a user with a group of its name.
func (m *Machine) AddUser(name, home string) {
	m.T.Helper()
	offset := 0 // from the user who runs the tests, who is the machine's root
	for line := range strings.Lines(m.Read("/etc/passwd")) {
		if fields := strings.Split(line, ":"); len(fields) > 2 {
			id, _ := strconv.Atoi(fields[2])
			offset = max(offset, id-os.Getuid()+1)
		}
	}
	uid, gid := os.Getuid()+offset, os.Getgid()+offset
	m.Write("/etc/passwd", m.Read("/etc/passwd")+fmt.Sprintf("%s:x:%d:%d::%s:/usr/sbin/nologin\n", name, uid, gid, home))
	m.Write("/etc/group", m.Read("/etc/group")+fmt.Sprintf("%s:x:%d:\n", name, gid))
}

// purge takes away what removing a package leaves.
func (m *Machine) purge(p *Package) {
	p.removed = false
	for path := range p.Conffiles {
		os.Remove(m.Path(path))
		os.Remove(m.Path(filepath.Dir(path))) // only when it is empty
	}
	if p.Unit != "" {
		m.Systemd.Unit(p.Unit).Enabled = false
	}
	if p.User != "" && strings.Contains("\n"+m.Read("/etc/passwd"), "\n"+p.User+":") {
		m.dropUser(p.User)
		os.RemoveAll(m.Path("/var/lib/" + p.User))
	}
}

// dropUser takes the lines of a user and of their group away.
func (m *Machine) dropUser(name string) {
	for _, file := range []string{"/etc/passwd", "/etc/group"} {
		lines := slices.DeleteFunc(strings.SplitAfter(m.Read(file), "\n"), func(line string) bool { return strings.HasPrefix(line, name+":") })
		m.Write(file, strings.Join(lines, ""))
	}
}

func (m *Machine) changeUser(command string, args []string, name string) error {
	m.at("before " + command)
	defer m.at("after " + command)
	home := "/home/" + name
	for i, arg := range args {
		if arg == "--home-dir" || arg == "--home" {
			home = args[i+1]
		}
	}
	exists := strings.Contains("\n"+m.Read("/etc/passwd"), "\n"+name+":")
	if exists == (command == "useradd") {
		return &machine.CommandError{Name: command, ExitCode: 9, Stderr: []string{command + ": user " + name + ": wrong state"}}
	}
	if command != "useradd" {
		m.dropUser(name)
	}
	if command != "userdel" {
		m.AddUser(name, home)
	}
	return nil
}
