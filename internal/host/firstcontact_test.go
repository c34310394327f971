package host_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/host"
)

// upload makes a folder as first contact does, last written to some time ago.
func (m *debian) upload(folder string, age time.Duration, files ...string) {
	m.T.Helper()
	if err := os.MkdirAll(m.Path(folder), 0o700); err != nil {
		m.T.Fatal(err)
	}
	for _, file := range files {
		m.Write(folder+"/"+file, "part of a program")
		m.age(folder+"/"+file, age)
	}
	m.age(folder, age)
}

func (m *debian) age(path string, age time.Duration) {
	m.T.Helper()
	then := time.Now().Add(-age)
	if err := os.Chtimes(m.Path(path), then, then); err != nil {
		m.T.Fatal(err)
	}
}

func (m *debian) link(target, path string) {
	m.T.Helper()
	if err := os.Symlink(target, m.Path(path)); err != nil {
		m.T.Fatal(err)
	}
}

// uploadName is a name as relayctl gives it.
func uploadName(digit string) string { return "relayctl-" + strings.Repeat(digit, 32) }

func TestUploadsLeftBehindAreSwept(t *testing.T) {
	m := newMachine(t)
	m.Write("/etc/passwd", "root:x:0:0::/root:/bin/bash\nadmin:x:1000:1000::/home/admin:/bin/bash\n")
	swept := []string{"/tmp/" + uploadName("1"), "/var/tmp/" + uploadName("2"), "/root/" + uploadName("3"), "/home/admin/" + uploadName("4")}
	for i, folder := range swept {
		m.upload(folder, 2*time.Hour, [][]string{nil, {"relay-host.gz"}, {"relay-host"}, {"relay-host", "relay-host.gz"}}[i]...)
	}
	m.host().SweepUploads("admin", time.Now())
	for _, folder := range swept {
		if _, err := os.Lstat(m.Path(folder)); !os.IsNotExist(err) {
			t.Errorf("%s stayed: %v", folder, err)
		}
	}
	m.host().SweepUploads("nobody that is known", time.Now())
}

// A program that somebody else put somewhere does not remove itself.
func TestWhatIsAnUpload(t *testing.T) {
	for path, want := range map[string]bool{
		"/tmp/" + uploadName("1") + "/relay-host":                  true,
		"/root/relayctl-main/relay-host":                           false,
		"/usr/local/lib/relayctl/relay-host/1-2a/relay-host":       false,
		"/tmp/" + uploadName("1") + "/bin/relay-host":              false,
		"/tmp/" + uploadName("1") + "/something else":              false,
		"/tmp/" + uploadName("1") + "/relay-host (deleted)":        false,
		"/tmp/" + uploadName("1") + "0/relay-host":                 false,
		"/tmp/" + strings.ToUpper(uploadName("1")) + "/relay-host": false,
	} {
		if got := host.IsUpload(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

func TestUploadOnItsWayStays(t *testing.T) {
	m := newMachine(t)
	m.upload("/tmp/"+uploadName("1"), 30*time.Minute, "relay-host.gz")
	m.upload("/tmp/"+uploadName("2"), 2*time.Hour, "relay-host.gz") // slowly
	m.age("/tmp/"+uploadName("2")+"/relay-host.gz", time.Minute)
	m.upload("/tmp/"+uploadName("3"), time.Minute, "relay-host.gz")
	m.age("/tmp/"+uploadName("3")+"/relay-host.gz", 2*time.Hour)
	m.mustStay(time.Now())
}

func TestHomeThatIsNoFolderIsNotWaitedFor(t *testing.T) {
	m := newMachine(t)
	m.Write("/etc/passwd", "admin:x:1000:1000::/home/admin:/bin/bash\n")
	m.Mkdir("/home")
	if err := syscall.Mkfifo(m.Path("/home/admin"), 0o600); err != nil {
		t.Fatal(err)
	}
	swept := make(chan struct{})
	go func() {
		m.host().SweepUploads("admin", time.Now())
		close(swept)
	}()
	select {
	case <-swept:
	case <-time.After(time.Minute):
		t.Fatal("a pipe was opened, and waits for somebody to write")
	}
}

// Whatever others put where everybody may write, nothing is lost that is not
// an upload.
func TestSweepTouchesNothingElse(t *testing.T) {
	m := newMachine(t)
	for _, folder := range []string{
		"/tmp/relayctl-backup", "/tmp/" + uploadName("g"), "/tmp/x" + uploadName("1"), "/tmp/" + uploadName("1") + "0",
		"/home/victim", "/tmp/" + uploadName("2") + "/relay-host",
	} {
		m.upload(folder, 0, "relay-host")
	}
	m.upload("/tmp/"+uploadName("3"), 0, "relay-host", "thesis.tex")
	m.link(m.Path("/home/victim"), "/tmp/"+uploadName("4"))
	m.upload("/tmp/"+uploadName("5"), 0)
	m.link(m.Path("/home/victim/relay-host"), "/tmp/"+uploadName("5")+"/relay-host")
	m.Write("/tmp/"+uploadName("6"), "a file")
	m.mustStay(time.Now().Add(3 * time.Hour))
}

// mustStay fails where a sweep removes anything.
func (m *debian) mustStay(now time.Time) {
	m.T.Helper()
	before := m.tree()
	m.host().SweepUploads("", now)
	if after := m.tree(); after != before {
		m.T.Errorf("before:\n%safter:\n%s", before, after)
	}
}

// tree lists the machine's files.
func (m *debian) tree() string {
	m.T.Helper()
	var list strings.Builder
	err := filepath.WalkDir(m.Root, func(path string, entry os.DirEntry, err error) error {
		if err == nil {
			list.WriteString(strings.TrimPrefix(path, m.Root) + "\n")
		}
		return err
	})
	if err != nil {
		m.T.Fatal(err)
	}
	return list.String()
}
