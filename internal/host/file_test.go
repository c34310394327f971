package host_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

func TestFileIsWrittenAsWanted(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	s.bring(s.file("/etc/motd", "hello\n"))
	if got := m.Read("/etc/motd"); got != "hello\n" {
		t.Errorf("content is %q", got)
	}
	info, err := os.Stat(m.Path("/etc/motd"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o640 {
		t.Errorf("mode is %v", info.Mode())
	}
	fact := m.observe().Find(fileID("/etc/motd"))
	if fact.Applied == nil || !fact.Applied.Made || fact.Applied.Number != 1 {
		t.Errorf("the manifest says %+v", fact.Applied)
	}
	if string(fact.Content) != "hello\n" {
		t.Errorf("its text is carried as %q", fact.Content)
	}
	if steps := s.plan(s.file("/etc/motd", "hello\n")); len(steps) > 0 {
		t.Errorf("a second plan has %v", steps)
	}
	noLeftovers(t, m)
}

// noLeftovers fails when a temporary file stayed anywhere.
func noLeftovers(t *testing.T, m *debian) {
	t.Helper()
	err := filepath.WalkDir(m.Root, func(path string, _ os.DirEntry, err error) error {
		if strings.HasSuffix(path, "-new") || strings.HasSuffix(path, ".new") || strings.HasSuffix(path, ".part") {
			t.Errorf("%s was left", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOnlyTheModeIsChanged(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	s.bring(s.file("/etc/motd", "hello\n"))
	before, err := os.Stat(m.Path("/etc/motd"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(m.Path("/etc/motd"), 0o666); err != nil {
		t.Fatal(err)
	}
	s.blobs = map[string][]byte{} // nothing needs to be brought for that
	r := s.file("/etc/motd", "hello\n")
	clear(s.blobs)
	s.bring(r)
	after, err := os.Stat(m.Path("/etc/motd"))
	if err != nil {
		t.Fatal(err)
	}
	if after.Mode() != 0o640 || !os.SameFile(before, after) {
		t.Errorf("mode is %v, same file: %v", after.Mode(), os.SameFile(before, after))
	}
}

func TestEditSinceThePlanIsNotOverwritten(t *testing.T) {
	for name, edit := range map[string]func(m *debian) error{
		"edited":   func(m *debian) error { m.Write("/etc/motd", "by hand\n"); return nil },
		"chmodded": func(m *debian) error { return os.Chmod(m.Path("/etc/motd"), 0o600) },
		"removed":  func(m *debian) error { return os.Remove(m.Path("/etc/motd")) },
		"made other": func(m *debian) error {
			os.Remove(m.Path("/etc/motd"))
			return os.Symlink("/etc/passwd", m.Path("/etc/motd"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			s := m.lock()
			s.bring(s.file("/etc/motd", "one\n"))
			steps := s.plan(s.file("/etc/motd", "two\n"))
			if err := edit(m); err != nil {
				t.Fatal(err)
			}
			_, err := s.apply(steps)
			var told *hostapi.Error
			if !errors.As(err, &told) || told.Code != hostapi.CodeChangedSince || told.Step != 0 {
				t.Fatalf("the error is %v", err)
			}
			if got := m.Read("/etc/motd"); got == "two\n" {
				t.Error("it was written over")
			}
		})
	}
}

func TestFileThatAppearedSinceThePlanStays(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	steps := s.plan(s.file("/etc/motd", "ours\n"))
	m.Write("/etc/motd", "theirs\n")
	if _, err := s.apply(steps); code(err) != hostapi.CodeChangedSince {
		t.Fatalf("the error is %v", err)
	}
	if got := m.Read("/etc/motd"); got != "theirs\n" {
		t.Errorf("content is %q", got)
	}
}

func code(err error) hostapi.Code {
	var told *hostapi.Error
	if errors.As(err, &told) {
		return told.Code
	}
	return ""
}

func TestAdoptedFileComesBack(t *testing.T) {
	m := newMachine(t)
	m.Write("/etc/motd", "theirs\n")
	s := m.lock()
	if steps := s.plan(s.file("/etc/motd", "ours\n")); steps[0].Block == "" {
		t.Fatal("a foreign file does not block")
	}
	s.adopt = true
	s.bring(s.file("/etc/motd", "ours\n"))
	if got := m.Read("/etc/motd"); got != "ours\n" {
		t.Fatalf("content is %q", got)
	}
	kept := m.observe().Find(fileID("/etc/motd")).Applied.Kept
	if kept != "/var/lib/relayctl/generations/0/etc/motd" || m.Read(kept) != "theirs\n" {
		t.Errorf("the original is kept in %q", kept)
	}
	s.bring(s.file("/etc/motd", "ours, again\n"))
	s.bring() // it leaves the stack
	if got := m.Read("/etc/motd"); got != "theirs\n" {
		t.Errorf("after leaving, content is %q", got)
	}
	info, err := os.Stat(m.Path("/etc/motd"))
	if err != nil || info.Mode() != 0o644 {
		t.Errorf("the original came back as %v, %v", info, err)
	}
}

func TestFileThatWeMadeGoes(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	s.bring(s.file("/etc/motd", "ours\n"))
	s.bring()
	if got := m.Read("/etc/motd"); got != "absent" {
		t.Errorf("content is %q", got)
	}
	if got := m.Read("/var/lib/relayctl/generations/1/etc/motd"); got != "ours\n" {
		t.Errorf("the generation holds %q", got)
	}
	if entries := m.observe().Manifest.Resources; len(entries) > 0 {
		t.Errorf("the manifest still names %v", entries)
	}
}

func TestFoundFileStays(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	m.Write("/etc/motd", "same\n")
	if err := os.Chmod(m.Path("/etc/motd"), 0o640); err != nil {
		t.Fatal(err)
	}
	steps := s.bring(s.file("/etc/motd", "same\n"))
	if len(steps) != 1 || steps[0].Action != plan.Take {
		t.Fatalf("planned %v", steps)
	}
	s.bring()
	if got := m.Read("/etc/motd"); got != "same\n" {
		t.Errorf("content is %q", got)
	}
}

func TestSymlinkIsNeverFollowed(t *testing.T) {
	m := newMachine(t)
	m.Write("/etc/precious", "precious\n")
	if err := os.Symlink(m.Path("/etc/precious"), m.Path("/etc/motd")); err != nil {
		t.Fatal(err)
	}
	s := m.lock()
	fact := m.observe(s.file("/etc/motd", "ours\n")).Find(fileID("/etc/motd"))
	if !strings.HasPrefix(fact.Detail, "is a symbolic link to ") || fact.Content != nil {
		t.Errorf("the fact is %+v", fact)
	}
	s.adopt = true
	s.bring(s.file("/etc/motd", "ours\n"))
	if got := m.Read("/etc/precious"); got != "precious\n" {
		t.Errorf("it was written through: %q", got)
	}
	s.bring()
	if target, err := os.Readlink(m.Path("/etc/motd")); err != nil || target != m.Path("/etc/precious") {
		t.Errorf("the link came back to %q, %v", target, err)
	}
}

func TestDirectoryInTheWayOfAFile(t *testing.T) {
	m := newMachine(t)
	m.Write("/etc/motd/inside", "x")
	s := m.lock()
	s.adopt = true
	steps := s.plan(s.file("/etc/motd", "ours\n"))
	if len(steps) != 1 || steps[0].Block != "a directory stands in its place" || steps[0].Adoptable {
		t.Errorf("the plan is %+v", steps)
	}
	if got := m.Read("/etc/motd/inside"); got != "x" {
		t.Error("what stood in it is gone")
	}
}

func TestSecretFileIsNeverShown(t *testing.T) {
	const content = "hunter2hunter2hunter2hunter2hunt\n"
	m := newMachine(t)
	s := m.lock()
	secretFile := s.secretFile("/etc/key", content)
	s.bring(caddyPackage, secretFile)
	if got := m.Read("/etc/key"); got != content {
		t.Errorf("content is %q", got)
	}
	fact := m.observe().Find(fileID("/etc/key")) // known as secret by the manifest alone
	if fact.Content != nil || !strings.HasPrefix(fact.Have[plan.AttrContent], plan.MACPrefix) {
		t.Errorf("the fact is %+v", fact)
	}
	if text := m.Read(journalFile); !strings.Contains(text, "/etc/key") || strings.Contains(text, "hunter2") || strings.Contains(text, "sha256:") {
		t.Errorf("the journal tells: %s", text)
	}
	if steps := s.plan(caddyPackage, s.secretFile("/etc/key", content)); len(steps) > 0 {
		t.Errorf("a second plan has %v", steps)
	}
}

func TestRefusedContentIsNotSwappedIn(t *testing.T) {
	m := newMachine(t)
	m.Caddy.Refuses = "nonsense"
	s := m.lock()
	want := s.file("/etc/caddy/Caddyfile", "good\n")
	want.Check = plan.LifecycleCaddy
	s.bring(resource(plan.KindPackage, "caddy", plan.AttrInstalled, plan.Yes), want)
	bad := s.file("/etc/caddy/Caddyfile", "nonsense\n")
	bad.Check = plan.LifecycleCaddy
	_, err := s.apply(s.plan(resource(plan.KindPackage, "caddy", plan.AttrInstalled, plan.Yes), bad))
	var told *hostapi.Error
	if !errors.As(err, &told) || len(told.Log) != 1 || !strings.HasSuffix(told.Log[0], "/Caddyfile:3: unknown directive") {
		t.Fatalf("the error is %v%s", err, logOf(err))
	}
	if got := m.Read("/etc/caddy/Caddyfile"); got != "good\n" {
		t.Errorf("content is %q", got)
	}
	noLeftovers(t, m)
}

func TestOddNamesAreRefused(t *testing.T) {
	for _, id := range []plan.ID{
		{Kind: plan.KindFile, Name: "etc/motd"}, {Kind: plan.KindFile, Name: "/etc/../motd"}, {Kind: plan.KindFile, Name: "/etc/a\nb"},
		{Kind: plan.KindPackage, Name: "-o"}, {Kind: plan.KindPackage, Name: "a;reboot"}, {Kind: plan.KindUser, Name: "$(id)"},
		{Kind: plan.KindUnit, Name: "../x.service"}, {Kind: plan.KindUnit, Name: "x"}, {Kind: plan.KindSecret, Name: "../../etc/shadow"},
		{Kind: plan.KindProgram, Name: "a/b"}, {Kind: plan.KindKey, Name: ""}, {Kind: "", Name: "x"}, {Kind: plan.KindDirectory, Name: "/"},
	} {
		t.Run(id.String(), func(t *testing.T) {
			_, err := newMachine(t).host().Observe(t.Context(), hostapi.Observe{Resources: []plan.Resource{{ID: id}}})
			if code(err) != hostapi.CodeBadRequest {
				t.Errorf("the error is %v", err)
			}
		})
	}
}
