package remote_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/remote"
	"github.com/relayctl/relayctl/internal/remote/remotetest"
)

// greeting begins the line with which the test's program greets.
const greeting = "test program greets "

// script is a Source whose program is a shell script that behaves as
// relay-host does: it removes itself, greets and ends with its input.
type script struct {
	digest string
	text   string // "" means programText(digest)
	level  int    // of packing; 0 means not at all
	err    error
}

func (s script) Digest(arch string) (string, error) { return s.digest + "-" + arch, s.err }

func (s script) Packed(arch string) ([]byte, error) {
	text := s.text
	if text == "" {
		text = programText(s.digest + "-" + arch)
	}
	var packed bytes.Buffer
	packing, err := gzip.NewWriterLevel(&packed, s.level)
	if err == nil {
		io.WriteString(packing, text)
		err = packing.Close()
	}
	return packed.Bytes(), errors.Join(err, s.err)
}

// removeItself is how a program of ours begins, which was brought along.
const removeItself = "rm -f \"$0\"\nrmdir \"$(dirname \"$0\")\" 2>/dev/null\n"

func programText(digest string) string {
	return "#!/bin/sh\n" + removeItself + "echo '" + greeting + digest + "'\nexec cat\n"
}

func greet(r *bufio.Reader) (string, error) {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", fmt.Errorf("no greeting: %w", err)
		}
		if digest, ok := strings.CutPrefix(line, greeting); ok {
			return strings.TrimSpace(digest), nil
		}
	}
}

func program(source remote.Source) remote.Program {
	return remote.Program{Name: "relay-host", Source: source, Greet: greet}
}

// install puts a program where a former apply would have installed it.
func install(t testing.TB, s *remotetest.Server, text string) {
	t.Helper()
	file := s.Path(remote.InstallRoot + "/relay-host/current/relay-host")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// trusting is a Dialer whose known_hosts lists nothing yet and takes any key.
func trusting(t testing.TB) *remote.Dialer {
	t.Helper()
	return &remote.Dialer{
		User:              "ops",
		Home:              t.TempDir(),
		KnownHosts:        []string{filepath.Join(t.TempDir(), "known_hosts")},
		AcceptNewHostKeys: true,
	}
}

func target(s *remotetest.Server) remote.Target {
	return remote.Target{Name: "edge", Address: "127.0.0.1", Port: s.Port(), IdentityFile: s.KeyFile}
}

// dial opens the way to s, closed again by the end of the test.
func dial(t testing.TB, d *remote.Dialer, to remote.Target) *remote.Host {
	t.Helper()
	host, err := d.Dial(t.Context(), to)
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	t.Cleanup(func() { host.Close() })
	return host
}

// dialError is how Dial fails, as an E.
func dialError[E error](t *testing.T, d *remote.Dialer, to remote.Target) E {
	t.Helper()
	host, err := d.Dial(t.Context(), to)
	if err == nil {
		host.Close()
		t.Fatal("Dial worked")
	}
	return as[E](t, err)
}

// startError is how Start fails, as an E.
func startError[E error](t *testing.T, host *remote.Host, p remote.Program) E {
	t.Helper()
	session, err := host.Start(t.Context(), p)
	if err == nil {
		session.Close()
		t.Fatal("Start worked")
	}
	return as[E](t, err)
}

// dialErrorOf is how Dial fails, an error of a kind.
func dialErrorOf(t *testing.T, kind remote.Kind, d *remote.Dialer, to remote.Target) *remote.Error {
	t.Helper()
	return ofKind(t, kind, dialError[*remote.Error](t, d, to))
}

// startErrorOf is how Start fails, an error of a kind.
func startErrorOf(t *testing.T, kind remote.Kind, host *remote.Host, p remote.Program) *remote.Error {
	t.Helper()
	return ofKind(t, kind, startError[*remote.Error](t, host, p))
}

func ofKind(t *testing.T, kind remote.Kind, err *remote.Error) *remote.Error {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("error is that %v (%v), want that %v", err.Kind, err, kind)
	}
	return err
}

func as[E error](t *testing.T, err error) E {
	t.Helper()
	var want E
	if !errors.As(err, &want) {
		t.Fatalf("error is %T (%v), want %T", err, err, want)
	}
	return want
}

// echo checks that the program's input comes back on its output.
func echo(t *testing.T, session *remote.Session) {
	t.Helper()
	if _, err := session.Write([]byte("ping\n")); err != nil {
		t.Fatalf("Write: %v", err)
	}
	line, err := bufio.NewReader(session).ReadString('\n')
	if line != "ping\n" || err != nil {
		t.Fatalf("read %q, %v; want what was written", line, err)
	}
	if err := session.CloseWrite(); err != nil {
		t.Fatalf("CloseWrite: %v", err)
	}
	if err := session.Wait(t.Context()); err != nil {
		t.Fatalf("Wait: %v", err)
	}
}

// leftBehind is everything in the folders that first contact may use.
func leftBehind(t *testing.T, s *remotetest.Server) []string {
	t.Helper()
	var left []string
	for _, folder := range []string{"/tmp", "/home/ops", "/var/tmp"} {
		entries, err := os.ReadDir(s.Path(folder))
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			left = append(left, filepath.Join(folder, entry.Name()))
		}
	}
	return left
}

// impatience is a Timeout for a host that does not answer: what comes before
// its silence takes less, however busy this machine is.
const impatience = 5 * time.Second

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
