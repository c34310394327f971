package host_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/hostapi"
)

// listenAt answers on a real socket, at a path of the machine.
func listenAt(t *testing.T, m *debian, path string) {
	t.Helper()
	m.mkdir(filepath.Dir(path))
	l, err := net.Listen("unix", m.path(path))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "its own") })}
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-done })
}

// The folder of a socket is its service's: what else that user may put there is
// not asked, and holds nobody up.
func TestAskOfWhatIsNoSocketOfTheService(t *testing.T) {
	const socket, other = "/run/relay/admin.sock", "/run/other/control.sock"
	for _, row := range []struct {
		name string
		set  func(m *debian) error
		says string // empty: it is asked
	}{
		{"its own", func(m *debian) error { return os.Rename(m.path("/run/real.sock"), m.path(socket)) }, ""},
		{"of its own user", func(m *debian) error {
			m.write("/etc/passwd", fmt.Sprintf("root:x:%d:0::/root:/bin/sh\nrelay:x:%d:0::/:/bin/false\n", os.Getuid()+1, os.Getuid()))
			return os.Rename(m.path("/run/real.sock"), m.path(socket))
		}, ""},
		{"of another user", func(m *debian) error {
			m.write("/etc/passwd", fmt.Sprintf("root:x:%d:0::/root:/bin/sh\nrelay:x:%d:0::/:/bin/false\nyou:x:%d:0::/:/bin/sh\n",
				os.Getuid()+1, os.Getuid()+2, os.Getuid()))
			return os.Rename(m.path("/run/real.sock"), m.path(socket))
		}, fmt.Sprintf("not the service's own socket: user %d listens on ", os.Getuid())},
		{"a link to another service's", func(m *debian) error { return os.Symlink(m.path(other), m.path(socket)) }, "is a symbolic link"},
		{"a pipe", func(m *debian) error { return syscall.Mkfifo(m.path(socket), 0o600) }, "is a special file"},
		{"a file", func(m *debian) error { return os.WriteFile(m.path(socket), nil, 0o600) }, "is a file"},
		{"nothing", func(*debian) error { return nil }, "no such file"},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := newMachine(t)
			listenAt(t, m, other)
			listenAt(t, m, "/run/real.sock")
			m.mkdir(filepath.Dir(socket))
			if err := row.set(m); err != nil {
				t.Fatal(err)
			}
			answer, err := networked(m).Ask(t.Context(), hostapi.Ask{Socket: socket, Method: "GET", URL: "http://relay/", Timeout: 10 * time.Second})
			switch {
			case row.says == "" && (err != nil || string(answer.Body) != "its own"):
				t.Errorf("the answer is %q, %v", answer.Body, err)
			case row.says != "" && (err == nil || !strings.Contains(err.Error(), row.says)):
				t.Errorf("the answer is %q, the error %v", answer.Body, err)
			}
		})
	}
}
