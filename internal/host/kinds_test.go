package host_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/secret"
)

var caddyPackage = resource(plan.KindPackage, "caddy", plan.AttrInstalled, plan.Yes)

func TestPackageThatWeInstalledGoes(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	s.bring(caddyPackage)
	if !m.packages["caddy"].installed {
		t.Fatal("it is not installed")
	}
	if fact := m.observe().Find(caddyPackage.ID); !fact.Applied.Made {
		t.Errorf("the manifest says %+v", fact.Applied)
	}
	s.bring()
	if m.packages["caddy"].installed {
		t.Error("it stayed")
	}
}

func TestPackageThatWasFoundStays(t *testing.T) {
	m := newMachine(t)
	m.packages["caddy"].installed = true
	s := m.lock()
	s.bring(caddyPackage)
	s.bring()
	if !m.packages["caddy"].installed {
		t.Error("it was removed")
	}
}

func TestPackageThatAptDoesNotKnowYet(t *testing.T) {
	m := newMachine(t)
	m.packages["caddy"].listed = false
	m.lock().bring(caddyPackage)
	updates := slices.IndexFunc(m.commands, func(line string) bool { return strings.HasSuffix(line, " update") })
	installs := slices.IndexFunc(m.commands, func(line string) bool { return strings.HasSuffix(line, " install caddy") })
	if updates < 0 || installs < updates {
		t.Errorf("ran %q", m.commands)
	}
}

func TestPackageThatDoesNotExist(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	_, err := s.apply(s.plan(resource(plan.KindPackage, "caddyy", plan.AttrInstalled, plan.Yes)))
	if err == nil || !strings.HasSuffix(err.Error(), "install package caddyy: Unable to locate package caddyy") {
		t.Errorf("the error is %v", err)
	}
}

func TestPackageAfterDpkgWasCutOff(t *testing.T) {
	m := newMachine(t)
	m.write("/var/lib/dpkg/updates/0001", "Package: x\n")
	m.lock().bring(caddyPackage)
	if !m.packages["caddy"].installed {
		t.Error("it is not installed")
	}
}

func TestDpkgThatSomebodyElseHolds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMachine(t)
		m.write("/var/lib/dpkg/lock-frontend", "")
		release := holdLock(t, m.path("/var/lib/dpkg/lock-frontend"))
		s := m.lock()
		steps := s.plan(caddyPackage)
		go func() {
			time.Sleep(12 * time.Second)
			release()
		}()
		if _, err := s.apply(steps); err != nil {
			t.Fatal(err)
		}
		var waited []string
		for _, said := range s.said {
			if said.State == hostapi.Waiting {
				waited = append(waited, said.Text)
			}
		}
		if len(waited) != 3 || !strings.HasPrefix(waited[2], "dpkg is locked by ") || !strings.HasSuffix(waited[2], ", 10 s") {
			t.Errorf("said %q", waited)
		}
	})
}

// holdLock has another process lock a file as dpkg does: one process does not
// stand in its own way.
func holdLock(t *testing.T, path string) (release func()) {
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
	return func() {
		in.Close()
		cmd.Wait()
	}
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
	m.write("/etc/caddy/Caddyfile", "edited\n")
	if fact := m.observe(want).Find(want.ID); fact.Pristine {
		t.Errorf("edited: %+v", fact)
	}
}

func TestDefaultFileOfAPackageOfThisApplyIsReplaced(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	s.bring(caddyPackage, s.file("/etc/caddy/Caddyfile", "ours\n"))
	if got := m.read("/etc/caddy/Caddyfile"); got != "ours\n" {
		t.Errorf("content is %q", got)
	}
	s.bring(caddyPackage)
	if got := m.read("/etc/caddy/Caddyfile"); got != "stock\n" {
		t.Errorf("after leaving, content is %q", got)
	}
}

func TestUser(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	relay := resource(plan.KindUser, "relay", plan.AttrHome, "/nonexistent")
	s.bring(relay)
	if !strings.Contains(m.read("/etc/passwd"), "relay:x:") || m.observe(relay).Find(relay.ID).Have[plan.AttrHome] != "/nonexistent" {
		t.Errorf("passwd is %s", m.read("/etc/passwd"))
	}
	s.bring()
	if strings.Contains(m.read("/etc/passwd"), "relay:x:") {
		t.Error("the user stayed")
	}
}

func TestDirectory(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	s.bring(directory("/etc/relay"), directory("/etc/relay/workers.d"), s.file("/etc/relay/workers.d/a.json", "{}"))
	info, err := os.Stat(m.path("/etc/relay/workers.d"))
	if err != nil || info.Mode().Perm() != 0o750 {
		t.Fatalf("it is %v, %v", info, err)
	}
	s.bring()
	if _, err := os.Stat(m.path("/etc/relay")); !os.IsNotExist(err) {
		t.Errorf("an empty directory of ours stayed: %v", err)
	}
}

func TestDirectoryThatHoldsSomethingStays(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	s.bring(directory("/etc/relay"))
	m.write("/etc/relay/theirs", "x")
	s.bring()
	if got := m.read("/etc/relay/theirs"); got != "x" {
		t.Error("it is gone")
	}
}

func TestDirectoryThatWasFoundStays(t *testing.T) {
	m := newMachine(t)
	m.mkdir("/etc/relay")
	s := m.lock()
	s.bring(directory("/etc/relay"))
	s.bring()
	if _, err := os.Stat(m.path("/etc/relay")); err != nil {
		t.Error(err)
	}
}

func TestSecretStaysTheSame(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	token := resource(plan.KindSecret, "worker")
	copied := s.fileFrom("/etc/token", token.ID)
	s.bring(token, copied)
	text := m.read("/etc/token")
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
	if err := os.Remove(m.path("/etc/token")); err != nil {
		t.Fatal(err)
	}
	s.bring(token, copied)
	if got := m.read("/etc/token"); got != text {
		t.Error("a file that was removed came back with another token")
	}
	s.bring()
	if got := m.read("/var/lib/relayctl/secrets/worker"); got != "absent" {
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
		entries, err := os.ReadDir(m.path("/usr/local/lib/relayctl/relay-server"))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries) - 1 // less the link
	}
	for i, content := range []string{"one", "two", "three"} {
		s.bring(s.program("relay-server", "1.0."+content, content))
		if got := m.read(current); got != content {
			t.Errorf("current is %q instead of %q", got, content)
		}
		if got, want := releases(), min(i+1, 2); got != want {
			t.Errorf("after %s, %d releases are kept instead of %d", content, got, want)
		}
	}
	info, err := os.Stat(m.path(current))
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("it is %v, %v", info, err)
	}
	fact := m.observe().Find(plan.ID{Kind: plan.KindProgram, Name: "relay-server"})
	if fact.Have[plan.AttrVersion] != "1.0.three" || fact.Have[plan.AttrDigest] != plan.Digest([]byte("three")) {
		t.Errorf("the fact is %v", fact.Have)
	}
	s.bring()
	if _, err := os.Stat(m.path("/usr/local/lib/relayctl")); !os.IsNotExist(err) {
		t.Errorf("the folder stayed: %v", err)
	}
}

func TestReplacedProgramIsSeen(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	want := s.program("relay-server", "1.0.0", "one")
	s.bring(want)
	m.write("/usr/local/lib/relayctl/relay-server/current/relay-server", "other")
	s.bring(want)
	if got := m.read("/usr/local/lib/relayctl/relay-server/current/relay-server"); got != "one" {
		t.Errorf("it is %q", got)
	}
}

func TestAuthoritySignsForItsDomainAlone(t *testing.T) {
	for _, test := range []struct {
		domain  string
		refused []string
	}{
		{"llm.example.com", []string{"example.com", "evil.com", "10.0.0.1", "::1"}},
		{"203.0.113.10", []string{"203.0.113.11", "example.com", "::1"}},
		{"2001:db8::1", []string{"2001:db8::2", "example.com", "10.0.0.1"}},
	} {
		t.Run(test.domain, func(t *testing.T) {
			m := newMachine(t)
			s := m.lock()
			ca := resource(plan.KindCA, plan.CAInternal, plan.AttrDomain, test.domain)
			s.bring(ca,
				s.fileFrom("/etc/root.pem", plan.ID{Kind: plan.KindCA, Name: plan.CAInternal}),
				s.fileFrom("/etc/root.key", plan.ID{Kind: plan.KindCA, Name: plan.CAInternalKey}))
			have := m.observe().Find(ca.ID).Have
			if have[plan.AttrPublic] != m.read("/etc/root.pem") || have[plan.AttrDomain] != test.domain {
				t.Errorf("the fact is %v", have)
			}
			expires, err := time.Parse(time.RFC3339, have[plan.AttrNotAfter])
			if years := time.Until(expires).Hours() / 24 / 365; err != nil || years < 9.9 || years > 10.1 {
				t.Errorf("it expires %v, %v", expires, err)
			}
			if err := signs(t, m, test.domain); err != nil {
				t.Errorf("its own domain: %v", err)
			}
			for _, other := range test.refused {
				if err := signs(t, m, other); err == nil {
					t.Errorf("it signs for %s too", other)
				}
			}
		})
	}
}

// signs has the root sign a certificate for name and verifies it as a client.
func signs(t *testing.T, m *machine, name string) error {
	t.Helper()
	rootBlock, _ := pem.Decode([]byte(m.read("/etc/root.pem")))
	keyBlock, _ := pem.Decode([]byte(m.read("/etc/root.key")))
	root, err := x509.ParseCertificate(rootBlock.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	rootKey, err := x509.ParseECPrivateKey(keyBlock.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: root.NotBefore, NotAfter: root.NotAfter}
	if ip := net.ParseIP(name); ip != nil {
		leaf.IPAddresses = []net.IP{ip}
	} else {
		leaf.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, root, key.Public(), rootKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	_, err = certificate.Verify(x509.VerifyOptions{Roots: roots, DNSName: name})
	return err
}

func TestAuthorityForAnotherDomainIsNew(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	s.bring(resource(plan.KindCA, "internal", plan.AttrDomain, "a.example"))
	first := m.read("/var/lib/relayctl/ca/internal.pem")
	s.bring(resource(plan.KindCA, "internal", plan.AttrDomain, "a.example"))
	if m.read("/var/lib/relayctl/ca/internal.pem") != first {
		t.Error("the same domain made a new root")
	}
	s.bring(resource(plan.KindCA, "internal", plan.AttrDomain, "b.example"))
	if m.read("/var/lib/relayctl/ca/internal.pem") == first {
		t.Error("another domain kept the root")
	}
	if m.read("/var/lib/relayctl/generations/1/var/lib/relayctl/ca/internal.pem") != first {
		t.Error("the former root was not kept")
	}
}
