package lab_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/relayctl/relayctl/test/lab"
)

// childEnv makes this test program boot a host and wait, for the tests that
// end it.
const childEnv = "RELAYCTL_LAB_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Args = append(os.Args, "-test.run=^TestChild$", "-test.v")
	}
	os.Exit(m.Run())
}

// TestChild is a lab in a process of its own: it says where its lab is and
// waits to be ended. Run by itself it only says so.
func TestChild(t *testing.T) {
	if os.Getenv(childEnv) == "" {
		t.Log("runs as a child of TestCleanup")
		return
	}
	l := lab.New(t)
	l.Boot(lab.Spec{Name: "edge"})
	fmt.Printf("\nlab=%s\n", l.Dir)
	<-context.Background().Done()
}

// startChild starts TestChild and returns its lab's folder.
func startChild(t *testing.T) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	var said strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if dir, ok := strings.CutPrefix(lines.Text(), "lab="); ok {
			return cmd, dir
		}
	}
	t.Fatalf("the child booted no host:\n%s", said.String())
	return nil, ""
}

// diskLock is the file by which systemd-nspawn locks a host's disk.
func diskLock(t *testing.T, root string) string {
	t.Helper()
	var stat syscall.Stat_t
	if err := syscall.Stat(root, &stat); err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("/run/systemd/nspawn/locks/inode-%d:%d", stat.Dev, stat.Ino)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("a running host has no disk lock: %v", err)
	}
	return path
}

func TestCleanup(t *testing.T) {
	t.Parallel()
	lab.Require(t)
	t.Run("end of test", func(t *testing.T) {
		var dir, lock string
		t.Run("test", func(t *testing.T) {
			l := lab.New(t)
			l.Boot(lab.Spec{Name: "edge"})
			dir, lock = l.Dir, diskLock(t, filepath.Join(l.Dir, "hosts", "edge", "root"))
			if left := leftovers(t, dir); len(left) < 5 {
				t.Errorf("a standing lab shows only %q", left)
			}
		})
		if left := leftovers(t, dir); len(left) != 0 {
			t.Errorf("left behind: %q", left)
		}
		if _, err := os.Stat(lock); err == nil {
			t.Errorf("left behind: %s", lock)
		}
	})
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(s.String(), func(t *testing.T) {
			child, dir := startChild(t)
			if err := child.Process.Signal(s); err != nil {
				t.Fatal(err)
			}
			if err := child.Wait(); err == nil {
				t.Error("the child ended without an error")
			}
			if left := leftovers(t, dir); len(left) != 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
	t.Run("killed", func(t *testing.T) {
		child, dir := startChild(t)
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		child.Wait()
		if left := leftovers(t, dir); len(left) == 0 {
			t.Fatal("a killed process cleaned up")
		}
		l, err := lab.Open(t.Context(), lab.Options{Keep: true}) // sweeps
		if err != nil {
			t.Fatal(err)
		}
		if l.Dir != dir {
			if left := leftovers(t, dir); len(left) != 0 {
				t.Errorf("left behind: %q", left)
			}
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if left := leftovers(t, dir); len(left) != 0 {
			t.Errorf("left behind: %q", left)
		}
	})
}
