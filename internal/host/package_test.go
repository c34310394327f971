package host_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/relayctl/relayctl/internal/host/machine/machinetest"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

var caddyPackage = resource(plan.KindPackage, "caddy", plan.AttrInstalled, plan.Yes)

func TestPackageThatWeInstalledGoes(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	s.bring(caddyPackage)
	if !m.Packages["caddy"].Installed {
		t.Fatal("it is not installed")
	}
	if fact := m.observe().Find(caddyPackage.ID); !fact.Applied.Made {
		t.Errorf("the manifest says %+v", fact.Applied)
	}
	s.bring()
	if m.Packages["caddy"].Installed {
		t.Error("it stayed")
	}
}

func TestPackageThatWasFoundStays(t *testing.T) {
	m := newMachine(t)
	m.Packages["caddy"].Installed = true
	s := m.lock()
	s.bring(caddyPackage)
	s.bring()
	if !m.Packages["caddy"].Installed {
		t.Error("it was removed")
	}
}

func TestPackageThatAptDoesNotKnowYet(t *testing.T) {
	m := newMachine(t)
	m.Packages["caddy"].Listed = false
	m.lock().bring(caddyPackage)
	updates := slices.IndexFunc(m.Commands, func(line string) bool { return strings.HasSuffix(line, " update") })
	installs := slices.IndexFunc(m.Commands, func(line string) bool { return strings.HasSuffix(line, " install caddy") })
	if updates < 0 || installs < updates {
		t.Errorf("ran %q", m.Commands)
	}
}

func TestPackageThatDoesNotExist(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	_, err := s.apply(s.plan(resource(plan.KindPackage, "caddyy", plan.AttrInstalled, plan.Yes)))
	if err == nil || !strings.HasSuffix(err.Error(), "install package caddyy: no package source of the host offers it") {
		t.Errorf("the error is %v", err)
	}
}

func TestPackageAfterDpkgWasCutOff(t *testing.T) {
	m := newMachine(t)
	m.Write("/var/lib/dpkg/updates/0001", "Package: x\n")
	m.lock().bring(caddyPackage)
	if !m.Packages["caddy"].Installed {
		t.Error("it is not installed")
	}
}

// Every lock of apt and dpkg is waited for, not the first only.
func TestDpkgThatSomebodyElseHolds(t *testing.T) {
	for _, path := range []string{"/var/lib/dpkg/lock-frontend", "/var/lib/apt/lists/lock"} {
		bubble(t, func(t *testing.T) {
			m := newMachine(t)
			m.Write(path, "")
			pid, release := holdLock(t, m.Path(path))
			m.Write(fmt.Sprintf("/proc/%d/cmdline", pid), "apt-get\x00upgrade\x00"+strings.Repeat("x", 100)+"\x00")
			s := m.lock()
			steps := s.plan(caddyPackage)
			go func() {
				time.Sleep(12 * time.Second)
				release()
			}()
			if _, err := s.apply(steps); err != nil {
				t.Fatal(err)
			}
			want := fmt.Sprintf("waiting for apt-get upgrade %s… (pid %d), which holds %s ( 10 s of at most 300 seconds)", strings.Repeat("x", 44), pid, path)
			if waited := s.waited(); len(waited) != 3 || waited[2] != want {
				t.Errorf("said %q, in the end not %q", waited, want)
			}
		})
	}
}

func TestDpkgThatStaysLocked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMachine(t)
		m.Write("/var/lib/dpkg/lock-frontend", "")
		pid, release := holdLock(t, m.Path("/var/lib/dpkg/lock-frontend"))
		defer release()
		s := m.lock()
		began := time.Now()
		_, err := s.apply(s.plan(caddyPackage))
		want := fmt.Sprintf("relay-host: waited 5 min for pid %d, which holds /var/lib/dpkg/lock-frontend", pid)
		if code(err) != hostapi.CodeStep || err.Error() != want || time.Since(began) > 301*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

// A package of somebody else may be broken, a driver's say: ours is there.
func TestPackageBesideABrokenOne(t *testing.T) {
	m := newMachine(t)
	m.Packages["driver"] = &machinetest.Package{Half: true}
	s := m.lock()
	s.bring(caddyPackage)
	if waited := s.waited(); len(waited) != 1 || !strings.Contains(waited[0], "dpkg has driver half configured") {
		t.Errorf("said %q", waited)
	}
}

func TestPackageWhoseScriptFails(t *testing.T) {
	m := newMachine(t)
	m.Packages["caddy"].Fails = true
	s := m.lock()
	_, err := s.apply(s.plan(caddyPackage))
	var told *hostapi.Error
	if !errors.As(err, &told) || told.Message != "install package caddy: dpkg has caddy half configured" ||
		!slices.Equal(told.Log, []string{"no such user"}) || !strings.Contains(told.Hint, "dpkg --configure -a") {
		t.Errorf("the error is %#v", err)
	}
	m.Packages["caddy"].Fails = false
	s.bring(caddyPackage)
	if fact := m.observe().Find(caddyPackage.ID); !fact.Exists || !fact.Applied.Made {
		t.Errorf("mended and done again: %+v", fact)
	}
}

// A step that only waits has nothing to finish.
func TestWaitForDpkgIsGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMachine(t)
		m.Write("/var/lib/dpkg/lock-frontend", "")
		_, release := holdLock(t, m.Path("/var/lib/dpkg/lock-frontend"))
		defer release()
		s := m.lock()
		ctx, cancel := context.WithCancel(t.Context())
		steps := s.plan(caddyPackage)
		began := time.Now()
		_, err := s.host.Apply(ctx, hostapi.Apply{Steps: steps}, func(p hostapi.Progress) {
			if p.State == hostapi.Waiting {
				cancel()
			}
		})
		if code(err) != hostapi.CodeCancelled || time.Since(began) > time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

// holdLock has another process lock a file as dpkg does: one process does not
// stand in its own way.
func holdLock(t *testing.T, path string) (pid int, release func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestHoldLock$")
	cmd.Env = append(os.Environ(), "HOLD_LOCK="+path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid, func() {
		in.Close()
		cmd.Wait()
	}
}

// waited is what was said of waiting.
func (s *session) waited() []string {
	var texts []string
	for _, said := range s.said {
		if said.State == hostapi.Waiting {
			texts = append(texts, words(said))
		}
	}
	return texts
}

// words are progress on a line.
func words(p hostapi.Progress) string {
	text := fmt.Sprintf("%s (%s %d s", p.What, p.By, int(p.Took.Seconds()))
	if p.Amount.Total > 0 {
		text += fmt.Sprintf(" of at most %d %s", p.Amount.Total, p.Amount.Measure)
	}
	return text + ")"
}

// TestHoldLock is the other process of holdLock; by itself it does nothing.
func TestHoldLock(t *testing.T) {
	path := os.Getenv("HOLD_LOCK")
	if path == "" {
		return
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.FcntlFlock(file.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		t.Fatal(err)
	}
	fmt.Println("locked")
	io.Copy(io.Discard, os.Stdin)
	file.Close()
}

func TestUntouchedDefaultFileIsPristine(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	s.bring(caddyPackage)
	want := s.file("/etc/caddy/Caddyfile", "ours\n")
	if fact := m.observe(want).Find(want.ID); !fact.Pristine {
		t.Errorf("untouched: %+v", fact)
	}
	m.Write("/etc/caddy/Caddyfile", "edited\n")
	if fact := m.observe(want).Find(want.ID); fact.Pristine {
		t.Errorf("edited: %+v", fact)
	}
}

func TestDefaultFileOfAPackageOfThisApplyIsReplaced(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	s.bring(caddyPackage, s.file("/etc/caddy/Caddyfile", "ours\n"))
	if got := m.Read("/etc/caddy/Caddyfile"); got != "ours\n" {
		t.Errorf("content is %q", got)
	}
	s.bring(caddyPackage)
	if got := m.Read("/etc/caddy/Caddyfile"); got != "stock\n" {
		t.Errorf("after leaving, content is %q", got)
	}
}

// A package that came since the plan, by the apt of an apply that was killed
// say, brought its default files: they are nobody's edit.
func TestPackageThatIsThereByNow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMachine(t)
		m.ServeCaddy()
		s := m.lock()
		steps := s.plan(s.caddy("caddy form 1\n")...)
		if err := m.Install("caddy"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.apply(steps); err != nil {
			t.Error(err)
		}
	})
}
