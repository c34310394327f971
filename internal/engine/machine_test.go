package engine_test

import (
	"bufio"
	"context"
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
	"github.com/relayctl/relayctl/internal/host/machine/machinetest"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// machine is a host that the real relay-host works on.
type machine struct {
	*machinetest.Machine
	t    testing.TB
	arch string

	mu          sync.Mutex
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

// newMachine is a fresh Debian 12.
func newMachine(t testing.TB, name string) *machine {
	m := &machine{Machine: machinetest.New(t), t: t, arch: "amd64"}
	m.write("/etc/machine-id", "id-of-"+name+"\n")
	m.write("/proc/sys/kernel/random/boot_id", "boot-of-"+name+"\n")
	m.write("/proc/sys/kernel/hostname", name+"\n")
	m.Caddy.Off = true // nobody answers there
	return m
}

func (m *machine) path(absolute string) string { return m.Path(absolute) }

func (m *machine) write(path, content string) { m.t.Helper(); m.Write(path, content) }

func (m *machine) read(path string) string { m.t.Helper(); return m.Read(path) }

func (m *machine) has(path string) bool {
	_, err := os.Lstat(m.path(path))
	return err == nil
}

// relayHost is a fresh run of relay-host, whose own program is given.
func (m *machine) relayHost(program, digest string) *host.Host {
	config := m.Config()
	config.Dial = m.dial
	return host.New(host.Config{
		Machine: hostmachine.New(config), Version: testVersion, Program: program, Digest: digest,
	})
}

// snapshot is every file with its content and mode.
func (m *machine) snapshot() map[string]string {
	m.t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(m.Root, func(path string, entry os.DirEntry, err error) error {
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
	h := m.relayHost(program, plan.Digest(own))
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
	line, _, _ := strings.Cut(strings.TrimPrefix(string(p[:min(len(p), 300)]), hostapi.Start+"\n"), "\n")
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
	other := m.relayHost("", "")
	params := hostapi.Lock{Holder: hostapi.LockHolder{Operator: operator, Command: "apply"}, Stack: "home"}
	if _, err := other.Lock(m.t.Context(), params, func(string) {}); err != nil {
		m.t.Fatal(err)
	}
	return func() { other.Close() }
}
