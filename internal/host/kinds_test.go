package host_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/secret"
)

func TestUser(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	relay := resource(plan.KindUser, "relay", plan.AttrHome, "/nonexistent")
	s.bring(relay)
	if !strings.Contains(m.Read("/etc/passwd"), "relay:x:") || m.observe(relay).Find(relay.ID).Have[plan.AttrHome] != "/nonexistent" {
		t.Errorf("passwd is %s", m.Read("/etc/passwd"))
	}
	s.bring()
	if strings.Contains(m.Read("/etc/passwd"), "relay:x:") {
		t.Error("the user stayed")
	}
}

func TestDirectory(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	s.bring(directory("/etc/relay"), directory("/etc/relay/workers.d"), s.file("/etc/relay/workers.d/a.json", "{}"))
	info, err := os.Stat(m.Path("/etc/relay/workers.d"))
	if err != nil || info.Mode().Perm() != 0o750 {
		t.Fatalf("it is %v, %v", info, err)
	}
	s.bring()
	if _, err := os.Stat(m.Path("/etc/relay")); !os.IsNotExist(err) {
		t.Errorf("an empty directory of ours stayed: %v", err)
	}
}

func TestDirectoryThatHoldsSomethingStays(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	s.bring(directory("/etc/relay"))
	m.Write("/etc/relay/theirs", "x")
	s.bring()
	if got := m.Read("/etc/relay/theirs"); got != "x" {
		t.Error("it is gone")
	}
}

func TestDirectoryThatWasFoundStays(t *testing.T) {
	m := newMachine(t)
	m.Mkdir("/etc/relay")
	s := m.lock()
	s.bring(directory("/etc/relay"))
	s.bring()
	if _, err := os.Stat(m.Path("/etc/relay")); err != nil {
		t.Error(err)
	}
}

func TestSecretStaysTheSame(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	token := resource(plan.KindSecret, "worker")
	copied := s.fileFrom("/etc/token", token.ID)
	s.bring(token, copied)
	text := m.Read("/etc/token")
	if len(text) != 44 || text[43] != '\n' {
		t.Fatalf("the token is %d bytes long", len(text))
	}
	facts := m.observe(token, copied)
	fact := facts.Find(token.ID)
	if got := secret.New(strings.TrimSpace(text)).Hash(); fact.Have[plan.AttrPublic] != got {
		t.Errorf("its hash is told as %s", fact.Have[plan.AttrPublic])
	}
	if fact.Have[plan.AttrMAC] != facts.Find(copied.ID).Have[plan.AttrContent] {
		t.Error("its digest is not that of a file made from it")
	}
	if err := os.Remove(m.Path("/etc/token")); err != nil {
		t.Fatal(err)
	}
	s.bring(token, copied)
	if got := m.Read("/etc/token"); got != text {
		t.Error("a file that was removed came back with another token")
	}
	s.bring()
	if got := m.Read("/var/lib/relayctl/secrets/worker"); got != "absent" {
		t.Error("the secret stayed")
	}
}

func TestKeyIsShownOnce(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	key := resource(plan.KindKey, "laptop", plan.AttrDigest, strings.Repeat("ab", 32))
	s.bring(key)
	if have := m.observe().Find(key.ID).Have; have[plan.AttrShown] != plan.No || have[plan.AttrDigest] != strings.Repeat("ab", 32) {
		t.Fatalf("the fact is %v", have)
	}
	if err := s.host.Finish(hostapi.Finish{Stack: "home", Shown: []string{"laptop"}, OK: true}); err != nil {
		t.Fatal(err)
	}
	fact := m.observe().Find(key.ID)
	if fact.Have[plan.AttrShown] != plan.Yes || fact.Applied.Have[plan.AttrShown] != plan.Yes {
		t.Errorf("after it was shown: %+v", fact)
	}
	key.Want[plan.AttrDigest] = plan.Known(strings.Repeat("cd", 32))
	s.bring(key)
	if have := m.observe().Find(key.ID).Have; have[plan.AttrShown] != plan.No {
		t.Errorf("a new key counts as shown: %v", have)
	}
	s.bring()
	if m.observe().Find(key.ID).Exists {
		t.Error("the key stayed")
	}
}

func TestProgramIsSwappedBehindItsLink(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	const current = "/usr/local/lib/relayctl/relay-server/current/relay-server"
	releases := func() int {
		entries, err := os.ReadDir(m.Path("/usr/local/lib/relayctl/relay-server"))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries) - 1 // less the link
	}
	for i, content := range []string{"one", "two", "three"} {
		s.bring(s.program("relay-server", "1.0."+content, content))
		if got := m.Read(current); got != content {
			t.Errorf("current is %q instead of %q", got, content)
		}
		if got, want := releases(), i+1; got != want { // the record names them
			t.Errorf("after %s, %d releases are kept instead of %d", content, got, want)
		}
	}
	info, err := os.Stat(m.Path(current))
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("it is %v, %v", info, err)
	}
	fact := m.observe().Find(plan.ID{Kind: plan.KindProgram, Name: "relay-server"})
	if fact.Have[plan.AttrVersion] != "1.0.three" || fact.Have[plan.AttrDigest] != plan.Digest([]byte("three")) {
		t.Errorf("the fact is %v", fact.Have)
	}
	s.bring()
	if m.Read(current) != "absent" || releases() == 0 {
		t.Errorf("current is %q; %d releases are kept, which the record names", m.Read(current), releases())
	}
	s.finish(true, "")
	s.host.Close()
	for i := range 21 { // until the record names none any more
		s = m.lock()
		s.bring(s.file("/etc/motd", fmt.Sprint(i)))
		s.finish(true, "")
		s.host.Close()
	}
	if _, err := os.Stat(m.Path("/usr/local/lib/relayctl/relay-server")); !os.IsNotExist(err) {
		t.Errorf("the folder stayed: %v", err)
	}
}

// relay-host takes itself from where it runs; what has another digest is not it.
func TestOwnProgramNeedNotBePut(t *testing.T) {
	m := newMachine(t)
	m.Write("/proc/self/exe", "this very program")
	s := m.lock()
	own, other := resource(plan.KindProgram, "relay-host"), resource(plan.KindProgram, "relay-host")
	for r, text := range map[*plan.Resource]string{&own: "this very program", &other: "a newer one"} {
		r.Want = map[string]plan.Value{plan.AttrVersion: plan.Known("1.0.0"), plan.AttrDigest: plan.Known(plan.Digest([]byte(text)))}
	}
	if _, err := s.apply(s.plan(other)); err == nil || !strings.Contains(err.Error(), "no blob") {
		t.Errorf("another program: %v", err)
	}
	s.bring(own)
	if got := m.Read("/usr/local/lib/relayctl/relay-host/current/relay-host"); got != "this very program" {
		t.Errorf("installed is %q", got)
	}
}

func TestReplacedProgramIsSeen(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	want := s.program("relay-server", "1.0.0", "one")
	s.bring(want)
	m.Write("/usr/local/lib/relayctl/relay-server/current/relay-server", "other")
	s.bring(want)
	if got := m.Read("/usr/local/lib/relayctl/relay-server/current/relay-server"); got != "one" {
		t.Errorf("it is %q", got)
	}
}

// A user of the name that we need may be there already. One that nobody logs
// in with will do.
func TestUserThatIsSomebodyElses(t *testing.T) {
	for _, test := range []struct{ user, group, inWay string }{
		{"relay:x:998:998::/home/relay:/bin/sh", "relay:x:998:", ""},
		{"relay:x:1001:1001::/srv:/usr/sbin/nologin", "relay:x:1001:", ""},
		{"relay:x:1001:1001::/home/relay:/bin/bash", "relay:x:1001:", "it is a person's login (number 1001, /bin/bash)"},
		{"relay:x:998:100::/srv:/usr/sbin/nologin", "users:x:100:", "it has no group of its name"},
	} {
		m := newMachine(t)
		m.Write("/etc/passwd", test.user+"\n")
		m.Write("/etc/group", test.group+"\n")
		want := resource(plan.KindUser, "relay")
		got := m.observe(want).Find(want.ID).InWay
		if (got == "") != (test.inWay == "") || !strings.HasPrefix(got, test.inWay) {
			t.Errorf("%s: in the way is %q, want %q", test.user, got, test.inWay)
		}
	}
}

// A masked unit is in the way. Where its package was removed, the mask is the
// package's own, and goes with its next installation.
func TestUnitThatIsMasked(t *testing.T) {
	for _, file := range []string{"/lib/systemd/system/caddy.service", "/etc/systemd/system/caddy.service"} {
		m := newMachine(t)
		m.Write(file, "[Service]\n")
		m.Systemd.Unit("caddy.service").Masked = true
		want := resource(plan.KindUnit, "caddy.service", plan.AttrRunning, plan.Yes)
		got := m.observe(want).Find(want.ID).InWay
		if packaged := strings.HasPrefix(file, "/lib/"); packaged != strings.HasPrefix(got, "it is masked") {
			t.Errorf("%s: in the way is %q", file, got)
		}
	}
}

func TestUnitThatIsMaskedMeanwhile(t *testing.T) {
	m := newMachine(t)
	m.Write("/lib/systemd/system/web.service", "[Service]\n")
	s := m.lock()
	steps := s.plan(resource(plan.KindUnit, "web.service", plan.AttrRunning, plan.Yes))
	m.Systemd.Unit("web.service").Masked = true
	_, err := s.apply(steps)
	var told *hostapi.Error
	if !errors.As(err, &told) || told.Message != "unit web.service is masked, which keeps it from starting" || told.Hint == "" {
		t.Errorf("the error is %v", err)
	}
}
