package main_test

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// build returns relay-host's program.
func build(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "relay-host")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-X main.version=1.2.3", "-o", path, ".")
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, output)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// place puts a program in a folder.
func place(t *testing.T, program []byte, folder string, mode os.FileMode) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), folder)
	if err := os.Mkdir(dir, mode); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "relay-host")
	if err := os.WriteFile(path, program, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// run is a relay-host that runs, with what it says.
type run struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	ended chan error
}

func start(t *testing.T, path string) *run {
	t.Helper()
	cmd := exec.Command(path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, outWriter, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = outWriter
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	outWriter.Close()
	r := &run{cmd, in, bufio.NewReader(out), make(chan error, 1)}
	go func() { r.ended <- cmd.Wait() }()
	t.Cleanup(func() { in.Close(); cmd.Process.Kill(); out.Close() })
	return r
}

// end waits for the end, which comes soon.
func (r *run) end(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.ended:
		return err
	case <-time.After(time.Minute):
		t.Fatal("it did not end")
		return nil
	}
}

// uploaded is a folder as relayctl makes one for a first contact.
const uploaded = "relayctl-0123456789abcdef0123456789abcdef"

func TestStart(t *testing.T) {
	program := build(t)
	t.Run("says its version", func(t *testing.T) {
		output, err := exec.Command(place(t, program, "any", 0o755), "--version").Output()
		if err != nil || string(output) != "relay-host 1.2.3\n" {
			t.Errorf("%q, %v", output, err)
		}
	})
	t.Run("takes nothing else", func(t *testing.T) {
		path := place(t, program, uploaded, 0o700)
		output, err := exec.Command(path, "observe").CombinedOutput()
		if err == nil || !strings.Contains(string(output), "restore [--to N]") {
			t.Errorf("%q, %v", output, err)
		}
	})
	t.Run("removes a copy that was brought for one conversation", func(t *testing.T) {
		path := place(t, program, uploaded, 0o700)
		r := start(t, path)
		r.in.Close()
		r.end(t)
		if exists(path) || exists(filepath.Dir(path)) {
			t.Error("it stayed")
		}
	})
	for folder, mode := range map[string]os.FileMode{"bin": 0o700, "relayctl-1": 0o700, uploaded: 0o755} {
		t.Run("stays in a folder of somebody else's: "+folder, func(t *testing.T) {
			path := place(t, program, folder, mode)
			r := start(t, path)
			r.in.Close()
			r.end(t)
			if !exists(path) {
				t.Error("it removed itself")
			}
		})
	}
}

func TestConversationNeedsRoot(t *testing.T) {
	program := build(t)
	if os.Getuid() != 0 {
		output, err := exec.Command(place(t, program, "any", 0o755)).CombinedOutput()
		if err == nil || !strings.Contains(string(output), "has to be started by root") {
			t.Errorf("%q, %v", output, err)
		}
		return
	}
	t.Run("greets and ends with its input", func(t *testing.T) {
		r := start(t, place(t, program, uploaded, 0o700))
		hello, err := hostapi.ReadGreeting(r.out)
		if err != nil || hello.Version != "1.2.3" || hello.Digest != plan.Digest(program) || hello.Machine.Arch == "" {
			t.Errorf("%+v, %v", hello, err)
		}
		r.in.Close()
		if err := r.end(t); err != nil {
			t.Error(err)
		}
	})
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run("ends at "+signal.String(), func(t *testing.T) {
			r := start(t, place(t, program, uploaded, 0o700))
			if _, err := hostapi.ReadGreeting(r.out); err != nil {
				t.Fatal(err)
			}
			r.cmd.Process.Signal(signal)
			if err := r.end(t); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("goes on when the login hangs up", func(t *testing.T) {
		r := start(t, place(t, program, uploaded, 0o700))
		if _, err := hostapi.ReadGreeting(r.out); err != nil {
			t.Fatal(err)
		}
		r.cmd.Process.Signal(syscall.SIGHUP)
		r.cmd.Process.Signal(syscall.SIGPIPE)
		io.WriteString(r.in, hostapi.Start+"\n"+`{"id":1,"op":"ping"}`+"\n")
		if line, err := r.out.ReadString('\n'); err != nil || line != `{"id":1,"result":null}`+"\n" {
			t.Errorf("%q, %v", line, err)
		}
	})
}
