package host_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/host"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

func TestLockIsWaitedForWithItsHolder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMachine(t)
		first := m.lock()
		second := m.host()
		var said []string
		begun := time.Now()
		_, err := second.Lock(t.Context(), hostapi.Lock{Stack: "home", Wait: 12 * time.Second}, func(text string) { said = append(said, text) })
		if code(err) != hostapi.CodeLocked || !strings.Contains(err.Error(), "ops@desk (apply since ") {
			t.Errorf("the error is %v", err)
		}
		if took := time.Since(begun); took < 12*time.Second || took > 13*time.Second {
			t.Errorf("it waited %v", took)
		}
		if len(said) != 3 || !strings.HasPrefix(said[0], "locked by ops@desk (apply since ") {
			t.Errorf("it said %q", said)
		}
		observation, err := second.Observe(t.Context(), hostapi.Observe{})
		if err != nil || observation.Holder == nil || observation.Holder.Operator != "ops@desk" || observation.Holder.PID != os.Getpid() {
			t.Errorf("a look tells %+v, %v", observation.Holder, err)
		}
		if err := first.host.Unlock(); err != nil {
			t.Fatal(err)
		}
		if observation, err = second.Observe(t.Context(), hostapi.Observe{}); err != nil || observation.Holder != nil {
			t.Errorf("after it was given back, a look tells %+v, %v", observation.Holder, err)
		}
		if _, err := second.Lock(t.Context(), hostapi.Lock{Stack: "home"}, func(string) {}); err != nil {
			t.Error(err)
		}
		second.Close()
	})
}

func TestWaitForTheLockIsGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMachine(t)
		m.lock()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := m.host().Lock(ctx, hostapi.Lock{Stack: "home", Wait: time.Minute}, func(string) {})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the error is %v", err)
		}
	})
}

// The store may go with everything of ours while somebody waits for its lock.
func TestLockOfAForgottenHost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMachine(t)
		first := m.lock()
		taken := make(chan error)
		second := m.host()
		go func() {
			_, err := second.Lock(t.Context(), hostapi.Lock{Stack: "home", Wait: time.Minute}, func(string) {})
			taken <- err
		}()
		time.Sleep(time.Second)
		if err := first.host.Finish(hostapi.Finish{Stack: "home", Forget: true}); err != nil {
			t.Fatal(err)
		}
		third := m.host()
		if err := <-taken; err != nil {
			t.Fatal(err)
		}
		const manifest = "/var/lib/relayctl/manifest.json"
		m.Write(manifest, "the second's")
		if err := first.host.Unlock(); err != nil || m.Read(manifest) == "absent" {
			t.Fatalf("the second's manifest is %s: %v", m.Read(manifest), err)
		}
		os.Remove(m.Path(manifest))
		if _, err := third.Lock(t.Context(), hostapi.Lock{Stack: "home"}, func(string) {}); code(err) != hostapi.CodeLocked {
			t.Errorf("a third got it too: %v", err)
		}
		second.Close()
	})
}

// Who gets the lock finds the stack gone, not on its way.
func TestLockIsForgottenLast(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	s.bring(s.file("/etc/motd", "1"))
	for i := range 3000 { // what takes time to remove
		m.Write(fmt.Sprintf("/var/lib/relayctl/steps/old/%d", i), "")
	}
	isThere := func(path string) bool {
		_, err := os.Lstat(m.Path(path))
		return err == nil
	}
	done := make(chan bool)
	go func() {
		for isThere("/var/lib/relayctl/lock") {
		}
		done <- isThere("/var/lib/relayctl/manifest.json")
	}()
	if err := s.host.Finish(hostapi.Finish{Stack: "home", Forget: true}); err != nil {
		t.Fatal(err)
	}
	if <-done {
		t.Error("the lock went while the manifest was there")
	}
}

func TestHostOfAnotherStack(t *testing.T) {
	for name, test := range map[string]struct {
		manifest string
		code     hostapi.Code
	}{
		"another stack": {`{"schema":1,"stack":"work"}`, hostapi.CodeOtherStack},
		"newer":         {`{"schema":3,"stack":"home","version":"9.0.0"}`, hostapi.CodeNewer},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.Write("/var/lib/relayctl/manifest.json", test.manifest)
			_, err := m.host().Lock(t.Context(), hostapi.Lock{Stack: "home"}, func(string) {})
			if code(err) != test.code {
				t.Errorf("the error is %v", err)
			}
			if m.observe().Manifest == nil {
				t.Error("it can't be looked at")
			}
		})
	}
}

func TestUnsupportedSystem(t *testing.T) {
	m := newMachine(t)
	m.Write("/etc/os-release", "ID=fedora\nVERSION_ID=42\nPRETTY_NAME=\"Fedora Linux 42 (Server Edition)\"\n")
	h := m.host()
	_, observe := h.Observe(t.Context(), hostapi.Observe{})
	_, lock := h.Lock(t.Context(), hostapi.Lock{Stack: "home"}, func(string) {})
	for _, err := range []error{observe, lock} {
		if code(err) != hostapi.CodeUnsupported || !strings.Contains(err.Error(), "Fedora Linux 42 (Server Edition) is not supported") {
			t.Errorf("the error is %v", err)
		}
	}
	if is, err := h.Describe(); err != nil || is.System != "fedora" || is.MachineID != strings.Repeat("a", 32) {
		t.Errorf("the greeting would tell %+v, %v", is, err)
	}
	if m.Read("/var/lib/relayctl/lock") != "absent" {
		t.Error("something was written")
	}
}

func TestNothingIsChangedWithoutTheLock(t *testing.T) {
	m := newMachine(t)
	h := m.host()
	_, apply := h.Apply(t.Context(), hostapi.Apply{}, nil)
	for name, err := range map[string]error{
		"apply": apply, "finish": h.Finish(hostapi.Finish{}), "put": h.Put(hostapi.Put{}, nil),
	} {
		if code(err) != hostapi.CodeNotLocked {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
}

func TestFinishIsTakenDown(t *testing.T) {
	m := newMachine(t)
	for i := 1; i <= 24; i++ {
		s := m.lock()
		s.bring(s.file("/etc/motd", fmt.Sprintf("form %d\n", i)))
		hosts := []plan.Member{{Name: "gpu-1", Address: "10.0.0.21"}}
		if i == 24 {
			hosts = nil
		}
		err := s.host.Finish(hostapi.Finish{Stack: "home", Operator: "ops@desk", Version: "1.0.0", OK: true, Summary: "1 changed", Hosts: hosts})
		if err != nil {
			t.Fatal(err)
		}
		s.host.Close()
	}
	history := m.history(0).Applies
	if len(history) != 24 || history[23].Number != 24 || history[23].Command != "apply" {
		t.Errorf("the history is %+v", history)
	}
	manifest := m.observe().Manifest
	if manifest.Number != 24 || manifest.Operator != "ops@desk" || manifest.Version != "1.0.0" || len(manifest.Hosts) != 1 {
		t.Errorf("the manifest is %+v", manifest)
	}
	if m.Read("/var/lib/relayctl/generations/5/etc/motd") != "form 4\n" || m.Read("/var/lib/relayctl/generations/4/etc/motd") != "absent" {
		t.Error("the wrong generations are kept")
	}
}

func TestBlobThatIsNotWhatItSays(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	good := plan.Digest([]byte("abcdef"))
	for name, test := range map[string]struct {
		put   hostapi.Put
		piece string
	}{
		"other bytes":   {hostapi.Put{Blob: good, Size: 6, Last: true}, "abcdeX"},
		"a gap":         {hostapi.Put{Blob: good, Size: 3, Offset: 3, Last: true}, "def"},
		"other size":    {hostapi.Put{Blob: good, Size: 5, Last: true}, "abcdef"},
		"no digest":     {hostapi.Put{Blob: "../../etc/passwd", Size: 6, Last: true}, "abcdef"},
		"no gzip":       {hostapi.Put{Blob: good, Size: 6, Last: true, Encoding: hostapi.Gzip}, "abcdef"},
		"odd encoding":  {hostapi.Put{Blob: good, Size: 6, Last: true, Encoding: "zip"}, "abcdef"},
		"out of bounds": {hostapi.Put{Blob: good, Size: 6, Offset: 1 << 40, Last: true}, "abcdef"},
		"upper case":    {hostapi.Put{Blob: "sha256:" + strings.ToUpper(good[7:]), Size: 6, Last: true}, "abcdef"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := s.host.Put(test.put, []byte(test.piece)); code(err) != hostapi.CodeBadRequest {
				t.Errorf("the error is %v", err)
			}
		})
	}
	if entries, _ := os.ReadDir(m.Path("/var/lib/relayctl/blobs")); len(entries) > 0 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestBlobThatThereIsNoRoomFor(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	err := s.host.Put(hostapi.Put{Blob: plan.Digest(nil), Size: 6, Room: 1 << 60}, []byte("abcdef"))
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("the error is %v", err)
	}
	if told := host.Explained(err, 0); told == nil || !strings.HasSuffix(told.Message, "1073741824.0 GiB needed") {
		t.Errorf("told %+v", told)
	}
	if entries, _ := os.ReadDir(m.Path("/var/lib/relayctl/blobs")); len(entries) > 0 {
		t.Errorf("left behind: %v", entries)
	}
}

// Work that ends in the middle is told of by the next look, with who began it;
// work that was finished, or given up in order, is not.
func TestWorkThatWasCutOffIsTold(t *testing.T) {
	m := newMachine(t)
	look := func() *hostapi.LockHolder {
		t.Helper()
		seen, err := m.host().Observe(t.Context(), hostapi.Observe{})
		if err != nil || seen.Holder != nil {
			t.Fatalf("held by %v: %v", seen.Holder, err)
		}
		return seen.CutOff
	}
	begin := func() *host.Host {
		t.Helper()
		h := m.host()
		params := hostapi.Lock{Holder: hostapi.LockHolder{Operator: "ops@desk", Command: "apply"}, Stack: "home"}
		if _, err := h.Lock(t.Context(), params, func(string) {}); err != nil {
			t.Fatal(err)
		}
		return h
	}
	begin().Close()
	if cut := look(); cut == nil || cut.Operator != "ops@desk" || cut.Command != "apply" {
		t.Errorf("cut off: %+v", cut)
	}
	next := begin()
	if err := next.Finish(hostapi.Finish{Stack: "home"}); err != nil {
		t.Fatal(err)
	}
	next.Close()
	if cut := look(); cut != nil {
		t.Errorf("finished, and told as cut off: %+v", cut)
	}
	begin().Unlock()
	if cut := look(); cut != nil {
		t.Errorf("given up in order, and told as cut off: %+v", cut)
	}
}
