// Package bench measures relayctl against the figures that it is held to: a
// plan in round trips and in time, and the relay beside what it stands before.
// docs/performance.md says how.
package bench_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/relayctl/relayctl/internal/host"
	hostmachine "github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/plan"
)

// machine is a Debian 12 in a temporary folder, for the real relay-host to work
// on: its commands succeed at once, and its units run when they are told to.
type machine struct {
	root string

	mu       sync.Mutex
	packages []string
	units    map[string]*unit
	starts   int
}

type unit struct {
	enabled, active bool
	invocation      int
}

func newMachine(t testing.TB, name string) *machine {
	m := &machine{root: t.TempDir(), units: map[string]*unit{}}
	for path, content := range map[string]string{
		"/etc/os-release":                    "ID=debian\nVERSION_ID=\"12\"\n",
		"/etc/machine-id":                    "id-of-" + name + "\n",
		"/proc/sys/kernel/random/boot_id":    "boot-of-" + name + "\n",
		"/proc/sys/kernel/hostname":          name + "\n",
		"/etc/passwd":                        "root:x:0:0:root:/root:/bin/bash\n",
		"/etc/group":                         "root:x:0:\n",
		"/etc/systemd/system/default.target": "[Unit]\n",
		"/run/systemd/system/.keep":          "",
		ownProgram:                           string(programText("relay-host", "amd64")),
	} {
		if err := m.add(path, content); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// ownProgram is where the relay-host that runs on a machine stands.
const ownProgram = "/proc/self/exe"

func (m *machine) host() *host.Host {
	return host.New(host.Config{
		Machine: hostmachine.New(hostmachine.Config{Root: m.root, Runner: m, Systemd: m}), Version: version,
		Program: filepath.Join(m.root, ownProgram), Digest: plan.Digest(programText("relay-host", "amd64")),
	})
}

// add appends to a file, which may be new.
func (m *machine) add(path, content string) error {
	path = filepath.Join(m.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.WriteString(content)
	return err
}

const stockCaddyfile = ":80 {\n}\n"

// Run implements hostmachine.Runner.
func (m *machine) Run(_ context.Context, command hostmachine.Command) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch command.Name {
	case "dpkg-query":
		var out bytes.Buffer
		for _, name := range m.packages {
			fmt.Fprintf(&out, "%s\tii \t2.6.2-5\n /etc/caddy/Caddyfile %x\n", name, md5.Sum([]byte(stockCaddyfile)))
		}
		return out.Bytes(), nil
	case "apt-cache":
		return []byte("  Candidate: 2.6.2-5\n"), nil
	case "apt-get":
		if !slices.Contains(command.Args, "install") {
			return nil, nil
		}
		return nil, m.install(command.Args[len(command.Args)-1])
	case "useradd":
		return nil, m.addUser(command.Args[len(command.Args)-1])
	case "caddy":
		return []byte(`{"admin":{"disabled":true}}`), nil // no Caddy is there to be asked
	}
	return nil, fmt.Errorf("run %s %q: not expected", command.Name, command.Args)
}

func (m *machine) install(name string) error {
	m.packages = append(m.packages, name)
	m.starts++
	m.units[name+".service"] = &unit{enabled: true, active: true, invocation: m.starts}
	if err := m.addUser(name); err != nil {
		return err
	}
	if err := m.add("/etc/caddy/Caddyfile", stockCaddyfile); err != nil {
		return err
	}
	if err := m.add("/var/lib/caddy/.profile", ""); err != nil { // its home
		return err
	}
	return m.add("/lib/systemd/system/"+name+".service", "[Service]\n")
}

func (m *machine) addUser(name string) error {
	id := 100 + int(name[0])
	if err := m.add("/etc/passwd", fmt.Sprintf("%s:x:%d:%d::/nonexistent:/usr/sbin/nologin\n", name, id, id)); err != nil {
		return err
	}
	return m.add("/etc/group", fmt.Sprintf("%s:x:%d:\n", name, id))
}

// unit finds a unit that has a file, and the file.
func (m *machine) unit(name string) (*unit, string) {
	for _, folder := range []string{"/etc/systemd/system/", "/lib/systemd/system/"} {
		if _, err := os.Stat(filepath.Join(m.root, folder, name)); err == nil {
			if m.units[name] == nil {
				m.units[name] = &unit{}
			}
			return m.units[name], folder + name
		}
	}
	return nil, ""
}

// Units implements hostmachine.Systemd.
func (m *machine) Units(_ context.Context, names []string) ([]hostmachine.UnitState, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	states := make([]hostmachine.UnitState, len(names))
	for i, name := range names {
		states[i] = hostmachine.UnitState{Active: "inactive", Sub: "dead"}
		found, fragment := m.unit(name)
		if found == nil {
			continue
		}
		states[i].Exists, states[i].Fragment, states[i].FileState = true, fragment, "disabled"
		states[i].Invocation, states[i].Result = fmt.Sprintf("%032x", found.invocation), "success"
		if found.enabled {
			states[i].FileState = "enabled"
		}
		if found.active {
			states[i].Active, states[i].Sub = "active", "running"
		}
	}
	return states, nil
}

// Job implements hostmachine.Systemd.
func (m *machine) Job(_ context.Context, verb hostmachine.JobVerb, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	found, _ := m.unit(name)
	if found == nil {
		return fmt.Errorf("%s %s: %w", verb, name, hostmachine.ErrJobFailed)
	}
	switch verb {
	case hostmachine.StopUnit:
		found.active = false
	case hostmachine.StartUnit, hostmachine.RestartUnit:
		m.starts++
		found.active, found.invocation = true, m.starts
	}
	return nil
}

// Configure implements hostmachine.Systemd.
func (m *machine) Configure(_ context.Context, verb hostmachine.ConfigureVerb, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if found, _ := m.unit(name); found != nil {
		switch verb {
		case hostmachine.EnableUnit:
			found.enabled = true
		case hostmachine.DisableUnit:
			found.enabled = false
		}
	}
	return nil
}
