package remote_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/relayctl/relayctl/internal/remote"
	"github.com/relayctl/relayctl/internal/remote/remotetest"
)

// Whatever state known_hosts is in, what stood there stands there afterwards,
// and the new line is one of its own.
func TestListingLosesNothing(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{})
	line := listed(s, s.HostKeys[0])
	old := "other " + keyText(public(t, remotetest.NewKey(t, "ed25519")))
	for name, test := range map[string]struct {
		before, after string
		prepare       func(file string) error // makes the file what it is called
	}{
		"empty":                {"", line, nil},
		"no final newline":     {old, old + "\n" + line, nil},
		"no final newline, CR": {old + "\r\n" + old, old + "\r\n" + old + "\n" + line, nil},
		"a line that is cut":   {old + "\nother ssh-ed25519 AAA", old + "\nother ssh-ed25519 AAA\n" + line, nil},
		"ends in NUL":          {old + "\n\x00", old + "\n\x00\n" + line, nil},
		"a symbolic link": {old, old + "\n" + line, func(file string) error {
			return errors.Join(os.Rename(file, file+".real"), os.Symlink(filepath.Base(file)+".real", file))
		}},
		"a link that leads nowhere": {"", line, func(file string) error {
			return errors.Join(os.Remove(file), os.Symlink(filepath.Base(file)+".real", file))
		}},
		"a link to a link": {old, old + "\n" + line, func(file string) error {
			return errors.Join(os.Rename(file, file+".real"), os.Symlink(file+".real", file+".link"), os.Symlink(file+".link", file))
		}},
		"a hard link": {old, old + "\n" + line, func(file string) error { return os.Link(file, file+".real") }},
	} {
		t.Run(name, func(t *testing.T) {
			d := strict(t, test.before)
			d.AcceptNewHostKeys = true
			file := d.KnownHosts[0]
			if test.prepare != nil {
				if err := test.prepare(file); err != nil {
					t.Fatal(err)
				}
			}
			before, err := os.Lstat(file)
			if err != nil {
				t.Fatal(err)
			}
			dial(t, d, target(s))
			after, err := os.Lstat(file)
			if err != nil || !os.SameFile(before, after) || after.Mode() != before.Mode() {
				t.Errorf("the file was %v and is %v (%v)", before.Mode(), after.Mode(), err)
			}
			content, err := os.ReadFile(file)
			if diff := cmp.Diff(test.after, string(content)); err != nil || diff != "" {
				t.Errorf("known_hosts, %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// A key that can't be written down is not trusted, and told of nowhere but in
// the error, with the file's name.
func TestKnownHostsThatCannotBeWritten(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{})
	folder := t.TempDir()
	pipe, link := filepath.Join(folder, "pipe"), filepath.Join(folder, "link")
	makePipe(t, pipe)
	if err := os.Symlink("no/such/folder", link); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ file, says string }{
		"a folder":            {folder, "is a directory"},
		"a pipe":              {pipe, "is not a regular file"},
		"below a file":        {filepath.Join(s.KeyFile, "known_hosts"), "not a directory"},
		"a link into nowhere": {link, "it is a link to no/such/folder, whose folder does not exist"},
		"a full device":       {"/dev/full", "is not a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			d := trusting(t)
			d.KnownHosts = []string{test.file}
			d.OnNewHostKey = func(key remote.NewHostKey) { t.Errorf("told of %+v", key) }
			err := dialErrorOf(t, remote.HostKeyUnknown, d, target(s))
			want := fmt.Sprintf("list host key of [127.0.0.1]:%d in %s: ", s.Port(), test.file)
			if !strings.HasPrefix(err.Error(), want) || !strings.HasSuffix(err.Error(), test.says) {
				t.Errorf("error is %v, want %s%s", err, want, test.says)
			}
			if want := fmt.Sprintf("put host_key = %q", described(s.HostKeys[0])); !strings.Contains(err.Advice(), want) {
				t.Errorf("advice is:\n%s\nwant in it: %s", err.Advice(), want)
			}
		})
	}
}

// Where ssh's configuration wants nothing kept, nothing is: not in the file of
// all users either, and that is said.
func TestNewHostKeysAreKeptNowhere(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{})
	everybody := write(t, filepath.Join(t.TempDir(), "ssh_known_hosts"), nil)
	d := trusting(t)
	d.KnownHosts = nil
	d.SSH = fakeSSH(t, "hostname 127.0.0.1", "userknownhostsfile none", "globalknownhostsfile "+everybody)
	none := dialErrorOf(t, remote.HostKeyUnknown, d, target(s))
	if want := "ssh's configuration names no file for it (UserKnownHostsFile none)"; !strings.HasSuffix(none.Error(), want) {
		t.Errorf("error is %v, want %q at its end", none, want)
	}
	told := ""
	d.OnNewHostKey = func(key remote.NewHostKey) { told = key.String() }
	d.SSH = fakeSSH(t, "hostname 127.0.0.1", "userknownhostsfile "+os.DevNull, "globalknownhostsfile "+everybody)
	dial(t, d, target(s))
	if want := fmt.Sprintf("%s of [127.0.0.1]:%d, kept nowhere: ssh's configuration has new keys go to %s", described(s.HostKeys[0]), s.Port(), os.DevNull); told != want {
		t.Errorf("told %q, want %q", told, want)
	}
	if content, err := os.ReadFile(everybody); err != nil || len(content) > 0 {
		t.Errorf("the file of all users has %q, %v", content, err)
	}
}

// A file that is read-only stays what it is, whether or not who runs relayctl
// may write to it all the same, as root may.
func TestKnownHostsThatIsReadOnly(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{})
	old := "other " + keyText(public(t, remotetest.NewKey(t, "ed25519"))) + "\n"
	d := strict(t, old)
	d.AcceptNewHostKeys = true
	if err := os.Chmod(d.KnownHosts[0], 0o400); err != nil {
		t.Fatal(err)
	}
	host, err := d.Dial(soon(t), target(s))
	want := old
	if err == nil {
		host.Close()
		want += listed(s, s.HostKeys[0])
	} else if !errors.Is(err, os.ErrPermission) {
		t.Errorf("error is %v", err)
	}
	content, _ := os.ReadFile(d.KnownHosts[0])
	info, _ := os.Stat(d.KnownHosts[0])
	if diff := cmp.Diff(want, string(content)); diff != "" || info.Mode().Perm() != 0o400 {
		t.Errorf("known_hosts is %v (-want +got):\n%s", info.Mode(), diff)
	}
}

// limited is set for the process of TestDiskIsFullInTheMiddleOfALine that may
// not write as much as it likes: for which file.
const limited = "RELAYCTL_TEST_LIMITED"

// Of a line that does not fit nothing stays.
func TestDiskIsFullInTheMiddleOfALine(t *testing.T) {
	if file := os.Getenv(limited); file != "" {
		listWithinLimit(t, file)
		return
	}
	old := "other " + keyText(public(t, remotetest.NewKey(t, "ed25519")))
	for _, ending := range []string{"", "\n"} {
		file := write(t, filepath.Join(t.TempDir(), "known_hosts"), []byte(old+ending))
		child := exec.Command(os.Args[0], "-test.run=^TestDiskIsFullInTheMiddleOfALine$", "-test.timeout=1m")
		child.Env = append(os.Environ(), limited+"="+file)
		if out, err := child.CombinedOutput(); err != nil {
			t.Errorf("%v:\n%s", err, out)
		}
		content, err := os.ReadFile(file)
		if diff := cmp.Diff(old+ending, string(content)); err != nil || diff != "" {
			t.Errorf("known_hosts, %v (-want +got):\n%s", err, diff)
		}
	}
}

func listWithinLimit(t *testing.T, file string) {
	s := remotetest.Start(t, remotetest.Options{})
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	d := trusting(t)
	d.KnownHosts = []string{file}
	room := uint64(info.Size()) + 20
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: room, Max: room}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Dial(soon(t), target(s)); !errors.Is(err, syscall.EFBIG) {
		t.Errorf("error is %v", err)
	}
}

// during has what another relayctl does happen once a Dialer has read
// known_hosts, and before it sees the host's key.
func during(d *remote.Dialer, other func()) {
	d.Connect = func(ctx context.Context, network, address string) (net.Conn, error) {
		other()
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
}

// Two relayctl that meet a new host at once list one key for it: whoever comes
// second believes the first, and another key is a changed one.
func TestListedByAnotherMeanwhile(t *testing.T) {
	real, other := remotetest.Start(t, remotetest.Options{}), remotetest.Start(t, remotetest.Options{})
	for name, second := range map[string]*remotetest.Server{"the same key": real, "another key": other} {
		t.Run(name, func(t *testing.T) {
			first, d := trusting(t), trusting(t)
			first.SSH = fakeSSH(t, "hostname 127.0.0.1", "hostkeyalias edge")
			d.SSH, d.KnownHosts = first.SSH, first.KnownHosts
			told := 0
			d.OnNewHostKey = func(remote.NewHostKey) { told++ }
			during(d, func() { dial(t, first, target(real)) })
			if second == real {
				dial(t, d, target(second))
			} else {
				dialErrorOf(t, remote.HostKeyChanged, d, target(second))
			}
			content, err := os.ReadFile(d.KnownHosts[0])
			if want := "edge " + string(ssh.MarshalAuthorizedKey(real.HostKeys[0])); err != nil || string(content) != want || told != 0 {
				t.Errorf("known_hosts is %q, %v, told %d times; want %q", content, err, told, want)
			}
		})
	}
}

// Many relayctl write to one file, which has no final newline: each line stays
// whole, and none is empty.
func TestListingByManyAtOnce(t *testing.T) {
	old := "other " + keyText(public(t, remotetest.NewKey(t, "ed25519")))
	file := write(t, filepath.Join(t.TempDir(), "known_hosts"), []byte(old))
	want := map[string]bool{old: true}
	var dials sync.WaitGroup
	for range 12 {
		s := remotetest.Start(t, remotetest.Options{})
		want[strings.TrimSpace(listed(s, s.HostKeys[0]))] = true
		d := trusting(t)
		d.KnownHosts = []string{file}
		dials.Go(func() {
			host, err := d.Dial(t.Context(), target(s))
			if err != nil {
				t.Error(err)
				return
			}
			host.Close()
		})
	}
	dials.Wait()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for line := range strings.Lines(string(content)) {
		got[strings.TrimSuffix(line, "\n")] = true
	}
	if diff := cmp.Diff(want, got); diff != "" || strings.Count(string(content), "\n") != len(want) {
		t.Errorf("known_hosts (-want +got):\n%s\n%s", diff, content)
	}
}

// A relayctl that holds the file and does nothing is not waited for longer
// than for the host.
func TestListingIsNotWaitedForWithoutEnd(t *testing.T) {
	t.Parallel()
	s := remotetest.Start(t, remotetest.Options{})
	d := strict(t)
	d.AcceptNewHostKeys = true
	held, err := os.Open(d.KnownHosts[0])
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := syscall.Flock(int(held.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	d.Timeout = impatience
	_, err = d.Dial(soon(t), target(s))
	if want := d.KnownHosts[0] + ": wait for another program that holds it"; !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), want) {
		t.Errorf("error is %v, want %q in it", err, want)
	}
}

// The error about an unknown key says where it would be written to.
func TestAdviceNamesTheFile(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{})
	d := strict(t)
	err := dialErrorOf(t, remote.HostKeyUnknown, d, target(s))
	if want := "written to " + d.KnownHosts[0] + ": relayctl plan --accept-new-host-keys"; !strings.Contains(err.Advice(), want) {
		t.Errorf("advice is:\n%s\nwant in it: %s", err.Advice(), want)
	}
	d.KnownHosts = []string{}
	err = dialErrorOf(t, remote.HostKeyUnknown, d, target(s))
	if strings.Contains(err.Advice(), "--accept-new-host-keys") {
		t.Errorf("there is no file to write to, and the advice is:\n%s", err.Advice())
	}
}
