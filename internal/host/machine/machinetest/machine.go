// Package machinetest is a machine for tests: a folder that looks like Debian,
// with commands and a systemd that work on it.
package machinetest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/host/machine"
)

// Machine is one machine. It is a machine.Runner; its fields are set before
// anybody works on it, or between.
type Machine struct {
	T        testing.TB
	Root     string
	Packages map[string]*Package // that apt offers
	Log      map[string][]string // by unit
	Systemd  *Systemd
	Commands []string              // that were run, in order
	Env      map[string][]string   // of the last command of each name
	AptFails *machine.CommandError // of every run of apt-get; nil: it does its work

	Caddy Caddy

	// Point is told before and after everything that changes the machine; a
	// test makes it panic to end relay-host there.
	Point func(what string)

	listeners map[string]*pipeListener // by path of the socket, or address
	hear      func(line string)        // what the command that runs prints
	mu        sync.Mutex               // held by each command, and by what systemd does, but not for Point
}

// Folder is an empty folder until the test ends. It is in memory where that can
// be had: a disk would take most of the tests' time with syncing. Its path is
// short enough for sockets.
func Folder(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "relay-host-test-")
	if err != nil {
		dir, err = os.MkdirTemp("", "relay-host-test-")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// New is a fresh Debian 12 in a Folder.
func New(t testing.TB) *Machine { return NewIn(t, Folder(t)) }

// NewIn is a fresh Debian 12 in a folder.
func NewIn(t testing.TB, root string) *Machine {
	m := &Machine{
		T: t, Root: root, Log: map[string][]string{}, Env: map[string][]string{},
		Point: func(string) {}, listeners: map[string]*pipeListener{},
		Packages: map[string]*Package{"caddy": {
			Listed: true, User: "caddy", Unit: "caddy.service", Conffiles: map[string]string{"/etc/caddy/Caddyfile": "stock\n"},
		}},
	}
	m.Systemd = &Systemd{machine: m, All: map[string]*Unit{}}
	m.Write("/etc/os-release", "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n")
	m.Write("/etc/machine-id", strings.Repeat("a", 32)+"\n")
	m.Write("/etc/passwd", fmt.Sprintf("root:x:%d:%d:root:/root:/bin/bash\n", os.Getuid(), os.Getgid()))
	m.Write("/etc/group", fmt.Sprintf("root:x:%d:\n", os.Getgid()))
	for _, dir := range []string{"/etc/systemd/system", "/lib/systemd/system", "/var/lib", "/usr/local/lib", "/proc", "/run/systemd/system"} {
		m.Mkdir(dir)
	}
	return m
}

// Config is for relay-host to work on the machine. It connects to what Serve
// serves.
func (m *Machine) Config() machine.Config {
	return machine.Config{Root: m.Root, Runner: m, Systemd: m.Systemd, Dial: m.dial}
}

// at tells Point, which may take its time, and may ask the machine.
func (m *Machine) at(what string) {
	m.mu.Unlock()
	defer m.mu.Lock()
	m.Point(what)
}

// Path is where an absolute path of the machine stands.
func (m *Machine) Path(path string) string { return filepath.Join(m.Root, path) }

// Mkdir makes a folder and those above it.
func (m *Machine) Mkdir(path string) {
	m.T.Helper()
	if err := os.MkdirAll(m.Path(path), 0o755); err != nil {
		m.T.Fatal(err)
	}
}

// Write writes a file, and makes its folder.
func (m *Machine) Write(path, content string) {
	m.T.Helper()
	m.Mkdir(filepath.Dir(path))
	if err := os.WriteFile(m.Path(path), []byte(content), 0o644); err != nil {
		m.T.Fatal(err)
	}
}

// Read returns a file's content; "absent" where there is none.
func (m *Machine) Read(path string) string {
	m.T.Helper()
	content, err := os.ReadFile(m.Path(path))
	if os.IsNotExist(err) {
		return "absent"
	}
	if err != nil {
		m.T.Fatal(err)
	}
	return string(content)
}

// Content is a file's content, or that of all files in a folder.
func (m *Machine) Content(path string) string {
	names, err := filepath.Glob(m.Path(path) + "/*")
	info, statErr := os.Stat(m.Path(path))
	if err != nil || statErr != nil || !info.IsDir() {
		return m.Read(path)
	}
	var whole string
	for _, name := range names {
		whole += name + "\n" + m.Read(path+"/"+filepath.Base(name))
	}
	return whole
}

// Now is the file system's time: in a bubble of synctest, the clock is another.
func (m *Machine) Now() time.Time {
	m.Write("/run/clock", "")
	info, err := os.Stat(m.Path("/run/clock"))
	if err != nil {
		m.T.Fatal(err)
	}
	return info.ModTime()
}

// Tick returns when the file system's time has gone on.
func (m *Machine) Tick() {
	for before := m.Now(); !m.Now().After(before); {
	}
}
