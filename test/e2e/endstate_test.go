package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/test/lab"
)

// endState is all that an apply leaves on the hosts, by host and path: kind,
// mode and owner of everything, and the content of what relayctl or a package
// wrote, so that two hosts to which the same was applied are equal. What is
// random by nature is told by its form.
type endState map[string]map[string]string

// endState looks at all hosts, and fails the test where a lock is held, or where
// a program of relayctl still runs or lies about.
func (s *site) endState() endState {
	s.t.Helper()
	state := endState{}
	for _, h := range s.hosts() {
		files, err := hostState(h.Root)
		if err != nil {
			s.t.Fatalf("look at %s: %v", h.Name, err)
		}
		if len(files) < 1000 {
			s.t.Fatalf("%s has %d files only", h.Name, len(files))
		}
		state[h.Name] = files
		if left := lab.MustRun(s.t, h, leftBehind); left != "" {
			s.t.Errorf("%s: left behind:\n%s", h.Name, left)
		}
	}
	return state
}

// leftBehind lists what must not be there once an apply has ended, be it in the
// middle: relay-host has some seconds to finish its step. A host that is not of
// the stack has no lock.
const leftBehind = `for n in $(seq 100); do pgrep --exact relay-host >/dev/null || break; sleep 0.1; done
pgrep --list-name --exact relay-host
cd /var/lib/relayctl 2>/dev/null && { flock --nonblock lock true || echo the lock is held; ls -d blobs 2>/dev/null; }
find / -xdev \( -name '.*.relayctl-new' -o -path '/var/lib/relayctl/*.new' -o -path '/usr/local/lib/relayctl/*.new' \)
ls -d /tmp/relayctl-* /var/tmp/relayctl-* /root/relayctl-* /home/*/relayctl-* 2>/dev/null
true`

// mustEqual fails where hosts are not as an undisturbed apply left them.
func (s *site) mustEqual(undisturbed, got endState) {
	s.t.Helper()
	for _, h := range s.hosts() {
		want, have := undisturbed[h.Name], got[h.Name]
		for _, path := range slices.Sorted(maps.Keys(want)) {
			if now, there := have[path]; !there {
				s.t.Errorf("%s: %s is missing", h.Name, path)
			} else if diff := cmp.Diff(strings.Split(want[path], "\n"), strings.Split(now, "\n")); diff != "" {
				s.t.Errorf("%s: %s differs (-undisturbed +got):\n%s", h.Name, path, diff)
			}
		}
		for _, path := range slices.Sorted(maps.Keys(have)) {
			if _, there := want[path]; !there {
				s.t.Errorf("%s: %s should not be there: %s", h.Name, path, have[path])
			}
		}
	}
}

func (s *site) hosts() []*lab.Host { return append([]*lab.Host{s.Edge}, s.Workers...) }

// Where hosts are looked at, and where contents are compared: all that relayctl
// may write to.
var (
	stateRoots    = []string{"boot", "etc", "home", "opt", "root", "srv", "usr", "var"}
	contentsBelow = []string{"/etc/", "/usr/local/", "/var/lib/relayctl/", "/opt/"}
	// unsteady differs with how often and when something was done, not with
	// what: logs, caches, what apt and dpkg note, what services keep. Former
	// generations grow with every apply.
	unsteady = []string{
		"/home/" + lab.Admin + "/.sudo_as_admin_successful",
		"/var/cache", "/var/log", "/var/tmp", "/var/lib/apt", "/var/lib/caddy", "/var/lib/dpkg", "/var/lib/systemd",
		"/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-", "/etc/subuid-", "/etc/subgid-", "/etc/.pwd.lock",
	}
	// ownOfEach is what any two machines differ in.
	ownOfEach     = []string{"/etc/ssh/ssh_host_", "/etc/machine-id", "/etc/systemd/network/"}
	ownGeneration = regexp.MustCompile(`^/var/lib/relayctl/generations(/[1-9][0-9]*)?(/|$)`)
)

func hostState(root string) (map[string]string, error) {
	state := map[string]string{}
	for _, top := range stateRoots {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, entry fs.DirEntry, err error) error {
			name := strings.TrimPrefix(path, root)
			switch {
			case err != nil:
				return err
			case slices.Contains(unsteady, name) && entry.IsDir():
				return fs.SkipDir
			case slices.Contains(unsteady, name) || ownGeneration.MatchString(name):
				return nil
			}
			state[name], err = describeFile(name, path)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return state, nil
}

func describeFile(name, path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	stat := info.Sys().(*syscall.Stat_t)
	text := fmt.Sprintf("%s %d:%d", info.Mode(), stat.Uid, stat.Gid)
	below := func(folder string) bool { return strings.HasPrefix(name, folder) }
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		return text + " -> " + target, err
	case !info.Mode().IsRegular() || !slices.ContainsFunc(contentsBelow, below) || slices.ContainsFunc(ownOfEach, below):
		return text, nil
	}
	if name == plan.StoreDir+"/"+record.Name {
		remembered, err := recordForm(filepath.Dir(path))
		return text + " " + remembered, err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	return text + " " + form(name, content), nil
}

// random is what differs between two applies of the same: keys, secrets,
// digests that were made of them, times, and the lab's own addresses.
var random = []struct {
	what *regexp.Regexp
	form string
}{
	{regexp.MustCompile(`(?s)-----BEGIN ([A-Z ]+)-----.*?-----END`), "BEGIN $1 … END"},
	{regexp.MustCompile(`\b(hmac-)?(sha256:)?[0-9a-f]{64}\b`), "HASH"},
	{regexp.MustCompile(`[A-Za-z0-9_-]{43,}`), "TOKEN"},
	{regexp.MustCompile(`relayctl-[0-9a-f]{12}`), "relayctl-ID"},
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`), "TIME"},
	{regexp.MustCompile(`\b10\.\d+\.\d+\.(\d+)\b`), "10.x.x.$1"},
}

// form is a file's content without what is random in it.
func form(name string, content []byte) string {
	if name == "/var/lib/relayctl/mac.key" {
		return fmt.Sprintf("%d random bytes", len(content))
	}
	if len(content) > 64<<10 || bytes.ContainsRune(content, 0) {
		return fmt.Sprintf("%d bytes, %x", len(content), sha256.Sum256(content))
	}
	text := string(content)
	for _, one := range random {
		text = one.what.ReplaceAllString(text, one.form)
	}
	return text
}

// recordForm is what a host knows of the stack, without when it was done, and
// what it has begun and not ended.
func recordForm(folder string) (string, error) {
	journal, err := record.Read(folder)
	if err != nil {
		return "", err
	}
	var lines []string
	if manifest := journal.Manifest(); manifest != nil {
		for _, entry := range manifest.Resources {
			lines = append(lines, fmt.Sprintf("%s made %v kept %q", entry.ID, entry.Made, entry.Kept))
		}
		for _, member := range manifest.Hosts {
			lines = append(lines, "remembers "+member.Name)
		}
	}
	if begun, ok := journal.Begun(); ok {
		lines = append(lines, fmt.Sprintf("apply %d has not ended", begun.Number))
	}
	for _, change := range journal.Pending() {
		lines = append(lines, fmt.Sprintf("%s %s has not ended", change.Action, change.ID))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n"), nil
}
