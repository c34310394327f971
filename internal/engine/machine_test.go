package engine_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/host"
	hostmachine "github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// machine is a host in a temporary folder: the real relay-host works on it,
// with commands and a systemd that only note what they are told.
type machine struct {
	t    testing.TB
	root string
	arch string

	mu          sync.Mutex
	packages    map[string]string // versions
	removed     map[string]bool   // packages whose settings are left
	units       map[string]*unit
	jobs        []string // "start relay-server.service", in order
	broken      string   // unit that does not come up
	journal     string
	starts      int // of any unit
	requests    []string
	put         []string                                                             // digests of what was brought
	hangUpAt    string                                                               // operation at which the connection ends
	hangUpAfter int                                                                  // that many of them pass before
	silentAt    string                                                               // operation from which on nothing gets through
	clockOff    time.Duration                                                        // how far its clock is ahead
	refuse      error                                                                // dialling fails so
	dial        func(ctx context.Context, network, address string) (net.Conn, error) // to itself; nil: really
	lie         lie                                                                  // nil: it says what relay-host says
	greets      lie                                                                  // the same, of its greeting
	dials       int
	open        int // conversations that were begun and not closed
}

type unit struct {
	enabled, active bool
	fragment        string
	invocation      int
}

// newMachine is a fresh Debian 12.
func newMachine(t testing.TB, name string) *machine {
	m := &machine{t: t, root: t.TempDir(), arch: "amd64", packages: map[string]string{}, removed: map[string]bool{}, units: map[string]*unit{}}
	m.write("/etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n")
	m.write("/etc/machine-id", "id-of-"+name+"\n")
	m.write("/proc/sys/kernel/random/boot_id", "boot-of-"+name+"\n")
	m.write("/proc/sys/kernel/hostname", name+"\n")
	m.write("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\n")
	m.write("/etc/group", "root:x:0:\n")
	m.write("/etc/systemd/system/default.target", "[Unit]\n")
	m.write("/run/systemd/system/.keep", "")
	return m
}

func (m *machine) path(absolute string) string { return filepath.Join(m.root, absolute) }

func (m *machine) write(path, content string) {
	m.t.Helper()
	if err := os.MkdirAll(filepath.Dir(m.path(path)), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(m.path(path), []byte(content), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) read(path string) string {
	m.t.Helper()
	content, err := os.ReadFile(m.path(path))
	if err != nil {
		m.t.Fatal(err)
	}
	return string(content)
}

func (m *machine) has(path string) bool {
	_, err := os.Lstat(m.path(path))
	return err == nil
}

// snapshot is every file with its content and mode.
func (m *machine) snapshot() map[string]string {
	m.t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(m.root, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		content := []byte("link")
		if info.Mode().IsRegular() {
			if content, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		files[path] = fmt.Sprint(info.Mode(), info.ModTime(), string(content))
		return nil
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return files
}

// addUser does what useradd does.
func (m *machine) addUser(name string) {
	id := 100 + strings.Count(m.read("/etc/passwd"), "\n")
	m.write("/etc/passwd", m.read("/etc/passwd")+fmt.Sprintf("%s:x:%d:%d::/nonexistent:/usr/sbin/nologin\n", name, id, id))
	m.write("/etc/group", m.read("/etc/group")+fmt.Sprintf("%s:x:%d:\n", name, id))
}

const defaultCaddyfile = ":80 {\n}\n"

// Run implements hostmachine.Runner.
func (m *machine) Run(_ context.Context, command hostmachine.Command) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	last := ""
	if len(command.Args) > 0 {
		last = command.Args[len(command.Args)-1]
	}
	switch command.Name {
	case "dpkg-query":
		var out bytes.Buffer
		for name, version := range m.packages {
			fmt.Fprintf(&out, "%s\tii \t%s\n /etc/caddy/Caddyfile %x\n", name, version, md5.Sum([]byte(defaultCaddyfile)))
		}
		for name := range m.removed {
			fmt.Fprintf(&out, "%s\trc \t%s\n /etc/caddy/Caddyfile %x\n", name, "2.6.2-5", md5.Sum([]byte(defaultCaddyfile)))
		}
		return out.Bytes(), nil
	case "apt-cache":
		return []byte("  Candidate: 2.6.2-5\n"), nil
	case "apt-get":
		return nil, m.apt(command.Args, last)
	case "useradd":
		m.addUser(last)
		return nil, nil
	case "userdel":
		return nil, m.dropUser(last)
	case "caddy":
		return []byte(`{"admin":{"disabled":true}}`), nil // no Caddy is there to be asked
	case "journalctl":
		return []byte(m.journal), nil
	}
	return nil, fmt.Errorf("run %s %q: not expected", command.Name, command.Args)
}

func (m *machine) apt(args []string, name string) error {
	switch {
	case slices.Contains(args, "--simulate"): // nothing else would go
	case slices.Contains(args, "install"):
		m.packages[name] = "2.6.2-5"
		delete(m.removed, name)
		m.addUser(name)
		m.write("/etc/caddy/Caddyfile", defaultCaddyfile)
		m.write("/var/lib/caddy/.profile", "") // its home
		m.write("/lib/systemd/system/"+name+".service", "[Service]\n")
		m.starts++
		m.units[name+".service"] = &unit{enabled: true, active: true, fragment: "/lib/systemd/system/" + name + ".service", invocation: m.starts}
	case slices.Contains(args, "remove"):
		delete(m.packages, name)
		m.removed[name] = true // dpkg still knows its settings
		delete(m.units, name+".service")
		return os.Remove(m.path("/lib/systemd/system/" + name + ".service"))
	}
	return nil
}

func (m *machine) dropUser(name string) error {
	var left []string
	for line := range strings.Lines(m.read("/etc/passwd")) {
		if !strings.HasPrefix(line, name+":") {
			left = append(left, line)
		}
	}
	m.write("/etc/passwd", strings.Join(left, ""))
	return nil
}

// unit finds a unit that has a file.
func (m *machine) unit(name string) *unit {
	if found := m.units[name]; found != nil {
		return found
	}
	if fragment := "/etc/systemd/system/" + name; m.has(fragment) {
		m.units[name] = &unit{fragment: fragment}
	}
	return m.units[name]
}

// Units implements hostmachine.Systemd.
func (m *machine) Units(_ context.Context, names []string) ([]hostmachine.UnitState, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	states := make([]hostmachine.UnitState, len(names))
	for i, name := range names {
		found := m.unit(name)
		if found == nil || !m.has(found.fragment) {
			states[i] = hostmachine.UnitState{Active: "inactive", Sub: "dead"}
			continue
		}
		states[i] = hostmachine.UnitState{
			Exists: true, Fragment: found.fragment, FileState: "disabled", Active: "inactive", Sub: "dead",
			Invocation: fmt.Sprintf("%032x", found.invocation), Result: "success",
		}
		if found.enabled {
			states[i].FileState = "enabled"
		}
		switch {
		case found.active && name == m.broken:
			states[i].Active, states[i].Sub, states[i].Result = "failed", "failed", "exit-code"
			states[i].ExitCode, states[i].ExitStatus = 1, 1
		case found.active:
			states[i].Active, states[i].Sub = "active", "running"
		}
	}
	return states, nil
}

// Job implements hostmachine.Systemd.
func (m *machine) Job(_ context.Context, verb hostmachine.JobVerb, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.jobs = append(m.jobs, string(verb)+" "+name)
	found := m.unit(name)
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
	if found := m.unit(name); found != nil && verb != hostmachine.ResetFailed {
		found.enabled = verb == hostmachine.EnableUnit
	}
	return nil
}

// network is the machines of a test, by address. It is an engine.Dialer.
type network map[string]*machine

// Dial implements engine.Dialer: it runs relay-host on the machine.
func (n network) Dial(_ context.Context, target engine.Target) (*engine.Conversation, error) {
	m := n[target.Address]
	if m == nil {
		return nil, errors.New("no route to host")
	}
	m.mu.Lock()
	refuse := m.refuse
	m.dials++
	if refuse == nil {
		m.open++
	}
	m.mu.Unlock()
	if refuse != nil {
		return nil, refuse
	}
	own := programText("relay-host", m.arch)
	program := filepath.Join(m.t.TempDir(), "relay-host")
	if err := os.WriteFile(program, own, 0o755); err != nil {
		return nil, err
	}
	h := host.New(host.Config{
		Machine: hostmachine.New(hostmachine.Config{Root: m.root, Runner: m, Systemd: m, Dial: m.dial}), Version: testVersion, Program: program, Digest: plan.Digest(own),
	})
	about, err := h.Describe()
	if err != nil {
		return nil, err
	}
	about.Arch = m.arch
	about.Clock = time.Now().Add(m.clockOff).UTC().Format(time.RFC3339)
	near, far := net.Pipe()
	hello := hostapi.Hello{Protocol: hostapi.ProtocolVersion, Version: testVersion, Digest: plan.Digest(own), Machine: about}
	go host.NewConversation(h, far, far).Serve(context.Background(), hello)
	reader := bufio.NewReader(near)
	if m.greets != nil {
		reader = bufio.NewReader(&liar{from: reader, lie: m.greets})
	}
	greeted, err := hostapi.ReadGreeting(reader)
	if err != nil {
		near.Close()
		return nil, err
	}
	if m.lie != nil {
		reader = bufio.NewReader(&liar{from: reader, lie: m.lie})
	}
	return &engine.Conversation{
		Hello: greeted, Stream: &stream{Reader: reader, Conn: near, machine: m, ended: make(chan struct{})},
	}, nil
}

// lie is what a patched relay-host says in the place of a line; again asks for
// more in the place of the same one.
type lie func(line string) (said string, again bool)

// lieOnce replaces text in everything that relay-host says.
func lieOnce(replacements ...string) lie {
	replacer := strings.NewReplacer(replacements...)
	return func(line string) (string, bool) { return replacer.Replace(line), false }
}

// liar is what a patched relay-host says.
type liar struct {
	from  *bufio.Reader
	lie   lie
	line  string
	again bool
	rest  string
}

func (l *liar) Read(p []byte) (int, error) {
	for l.rest == "" {
		if !l.again {
			line, err := l.from.ReadString('\n')
			if err != nil {
				return 0, err
			}
			l.line = line
		}
		l.rest, l.again = l.lie(l.line)
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

// stream notes the requests that pass.
type stream struct {
	*bufio.Reader
	net.Conn
	machine *machine
	closed  sync.Once
	ended   chan struct{}
	silent  atomic.Bool // nothing gets through any more
}

func (s *stream) Close() error {
	s.closed.Do(func() {
		close(s.ended)
		s.machine.mu.Lock()
		defer s.machine.mu.Unlock()
		s.machine.open--
	})
	return s.Conn.Close()
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if s.silent.Load() {
		<-s.ended
		return 0, io.EOF
	}
	return n, err
}

func (s *stream) Write(p []byte) (int, error) {
	line, _, _ := strings.Cut(string(p[:min(len(p), 300)]), "\n")
	if _, op, ok := strings.Cut(line, `"op":"`); ok {
		op, _, _ = strings.Cut(op, `"`)
		s.machine.mu.Lock()
		if _, digest, ok := strings.Cut(line, `"blob":"`); ok {
			digest, _, _ = strings.Cut(digest, `"`)
			s.machine.put = append(s.machine.put, digest)
		}
		s.machine.requests = append(s.machine.requests, op)
		if s.machine.silentAt == op {
			s.silent.Store(true)
		}
		hangUp := s.machine.hangUpAt == op && s.machine.hangUpAfter == 0
		if s.machine.hangUpAt == op {
			s.machine.hangUpAfter--
		}
		s.machine.mu.Unlock()
		if hangUp {
			s.Conn.Close()
		}
	}
	if s.silent.Load() {
		return len(p), nil
	}
	return s.Conn.Write(p)
}

// asked lists the requests since the last call, without pings and pieces.
func (m *machine) asked() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	asked := slices.DeleteFunc(m.requests, func(op string) bool { return op == "ping" || op == "put" })
	m.requests = nil
	return asked
}

// holdLock takes the machine's lock for somebody else.
func (m *machine) holdLock(operator string) (release func()) {
	m.t.Helper()
	other := host.New(host.Config{Machine: hostmachine.New(hostmachine.Config{Root: m.root, Runner: m, Systemd: m}), Version: testVersion})
	params := hostapi.Lock{Holder: hostapi.LockHolder{Operator: operator, Command: "apply"}, Stack: "home"}
	if _, err := other.Lock(m.t.Context(), params, func(string) {}); err != nil {
		m.t.Fatal(err)
	}
	return func() { other.Close() }
}
