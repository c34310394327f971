package machine_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/host/machine/machinetest"
)

// listenAt answers on a real socket, at a path of the machine.
func listenAt(t *testing.T, m *machinetest.Machine, path string) {
	t.Helper()
	m.Mkdir(filepath.Dir(path))
	l, err := net.Listen("unix", m.Path(path))
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
		set  func(m *machinetest.Machine) error
		says string // empty: it is asked
	}{
		{"its own", func(m *machinetest.Machine) error { return os.Rename(m.Path("/run/real.sock"), m.Path(socket)) }, ""},
		{"of its own user", func(m *machinetest.Machine) error {
			m.Write("/etc/passwd", fmt.Sprintf("root:x:%d:0::/root:/bin/sh\nrelay:x:%d:0::/:/bin/false\n", os.Getuid()+1, os.Getuid()))
			return os.Rename(m.Path("/run/real.sock"), m.Path(socket))
		}, ""},
		{"of another user", func(m *machinetest.Machine) error {
			m.Write("/etc/passwd", fmt.Sprintf("root:x:%d:0::/root:/bin/sh\nrelay:x:%d:0::/:/bin/false\nyou:x:%d:0::/:/bin/sh\n",
				os.Getuid()+1, os.Getuid()+2, os.Getuid()))
			return os.Rename(m.Path("/run/real.sock"), m.Path(socket))
		}, fmt.Sprintf("not the service's own socket: user %d listens on ", os.Getuid())},
		{"a link to another service's", func(m *machinetest.Machine) error { return os.Symlink(m.Path(other), m.Path(socket)) }, "is a symbolic link"},
		{"a pipe", func(m *machinetest.Machine) error { return syscall.Mkfifo(m.Path(socket), 0o600) }, "is a special file"},
		{"a file", func(m *machinetest.Machine) error { return os.WriteFile(m.Path(socket), nil, 0o600) }, "is a file"},
		{"nothing", func(*machinetest.Machine) error { return nil }, "no such file"},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := machinetest.New(t)
			listenAt(t, m, other)
			listenAt(t, m, "/run/real.sock")
			m.Mkdir(filepath.Dir(socket))
			if err := row.set(m); err != nil {
				t.Fatal(err)
			}
			body, err := send(t, m, machine.Request{Socket: socket, User: "relay", Method: "GET", URL: "http://relay/"})
			switch {
			case row.says == "" && (err != nil || body != "its own"):
				t.Errorf("the answer is %q, %v", body, err)
			case row.says != "" && (err == nil || !strings.Contains(err.Error(), row.says)):
				t.Errorf("the answer is %q, the error %v", body, err)
			}
		})
	}
}

// send sends a request over the real network, and returns the answer's body.
func send(t *testing.T, m *machinetest.Machine, request machine.Request) (string, error) {
	config := m.Config()
	config.Dial = nil
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	response, err := machine.New(config).Send(ctx, request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}
