package lab

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestLab is a lab that belongs to a test: what fails fails the test.
type TestLab struct {
	*Lab
	t testing.TB
}

// Require fails the test, with the reason, where no lab can run.
func Require(t testing.TB) {
	t.Helper()
	if err := ready(); err != nil {
		t.Fatalf("%v", err)
	}
}

// New opens a lab for a test. It is removed when the test ends, also by a
// panic or a signal; after a kill, by the next lab that is opened.
func New(t testing.TB) *TestLab {
	t.Helper()
	Require(t)
	l, err := Open(t.Context(), Options{Logf: t.Logf})
	if err != nil {
		t.Fatalf("open lab: %v", err)
	}
	stop := closeOnSignal(l)
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			l.report(t.Logf)
		}
		if err := l.Close(); err != nil {
			t.Errorf("close lab: %v", err)
		}
	})
	return &TestLab{l, t}
}

// closeOnSignal removes the lab on an interrupt and then lets the signal do
// what it does by default. With several labs in one process, each handler is
// told, and the signal it sends on ends the process once the last has stopped
// listening.
func closeOnSignal(l *Lab) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	ended := make(chan struct{})
	go func() {
		select {
		case s := <-signals:
			l.Close()
			signal.Stop(signals)
			syscall.Kill(os.Getpid(), s.(syscall.Signal))
		case <-ended:
		}
	}()
	return func() {
		signal.Stop(signals)
		close(ended)
	}
}

// Boot boots a host or fails the test.
func (l *TestLab) Boot(spec Spec) *Host {
	l.t.Helper()
	return l.BootAll(spec)[0]
}

// BootAll boots hosts side by side or fails the test.
func (l *TestLab) BootAll(specs ...Spec) []*Host {
	l.t.Helper()
	hosts, err := l.Lab.BootAll(l.t.Context(), specs...)
	if err != nil {
		l.t.Fatalf("boot hosts: %v", err)
	}
	return hosts
}

// BootFrozen boots frozen hosts or fails the test.
func (l *TestLab) BootFrozen(f Frozen, specs ...Spec) (hosts []*Host, folder string) {
	l.t.Helper()
	hosts, folder, err := l.Lab.BootFrozen(l.t.Context(), f, specs...)
	if err != nil {
		l.t.Fatalf("boot frozen hosts: %v", err)
	}
	return hosts, folder
}

// Name gives a host a name or fails the test.
func (l *TestLab) Name(name string, h *Host) {
	l.t.Helper()
	if err := l.Lab.Name(name, h); err != nil {
		l.t.Fatalf("name host: %v", err)
	}
}

// MustRun runs a line of bash on a host as root and returns what it printed,
// without the white space around it, or fails the test.
func MustRun(t testing.TB, h *Host, line string) string {
	t.Helper()
	out, err := h.Run(t.Context(), line)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return strings.TrimSpace(out)
}

// report shows what the hosts of a failed test have to say.
func (l *Lab) report(logf func(string, ...any)) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.hosts {
		log, err := h.Run(ctx, "systemctl --failed --no-legend; journalctl --boot --no-pager --lines=30")
		if err != nil {
			log = err.Error()
		}
		logf("journal of %s:\n%s", h.Name, log)
	}
}
