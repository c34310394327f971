package remote_test

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relayctl/relayctl/internal/remote"
	"github.com/relayctl/relayctl/internal/remote/remotetest"
)

// made are the folders of first contact that stand on the host, by their names
// there.
func made(t *testing.T, s *remotetest.Server) []string {
	t.Helper()
	return slices.DeleteFunc(leftBehind(t, s), func(name string) bool { return !strings.Contains(name, "/relayctl-") })
}

// hosted is a server whose host is attacked in the moment in which a folder of
// first contact has been made, and relayctl not been told.
func hosted(t *testing.T, options remotetest.Options, attack func(s *remotetest.Server)) *remotetest.Server {
	t.Helper()
	started := make(chan *remotetest.Server, 1)
	options.On = func(point string) {
		if point == "mkdir" {
			s := <-started
			started <- s
			attack(s)
		}
	}
	s := remotetest.Start(t, options)
	started <- s
	return s
}

// Whatever the host's umask is, there is no moment in which anybody else could
// put something into the folder.
func TestFolderIsPrivateFromItsFirstMoment(t *testing.T) {
	for _, umask := range []os.FileMode{0, 0o002, 0o022, 0o077} {
		for base, noExec := range map[string][]string{"/tmp": nil, "/home/ops": {"/tmp"}, "/var/tmp": {"/tmp", "/home/ops"}} {
			t.Run(fmt.Sprintf("%s with umask %03o", base, umask), func(t *testing.T) {
				t.Parallel()
				var modes []fs.FileMode
				s := hosted(t, remotetest.Options{Umask: umask, NoExec: noExec}, func(s *remotetest.Server) {
					for _, folder := range made(t, s) {
						info, err := os.Lstat(s.Path(folder))
						if err != nil {
							t.Error(err)
							return
						}
						modes = append(modes, info.Mode().Perm())
					}
				})
				session, err := dial(t, trusting(t), target(s)).Start(t.Context(), program(script{digest: "v1"}))
				if err != nil {
					t.Fatal(err)
				}
				echo(t, session)
				if !strings.HasPrefix(session.Path(), base+"/") {
					t.Errorf("it ran as %s, want it under %s", session.Path(), base)
				}
				if len(modes) != len(noExec)+1 || slices.ContainsFunc(modes, func(mode fs.FileMode) bool { return mode != 0o700 }) {
					t.Errorf("folders were made %v, want each 0700", modes)
				}
			})
		}
	}
}

// exchange puts something in the place of each folder that was made below /tmp.
func exchange(t *testing.T, put func(name string) error) func(*remotetest.Server) {
	return func(s *remotetest.Server) {
		for _, folder := range made(t, s) {
			if !strings.HasPrefix(folder, "/tmp/") || os.Remove(s.Path(folder)) != nil {
				continue // it was exchanged before
			}
			if err := put(s.Path(folder)); err != nil {
				t.Error(err)
			}
		}
	}
}

// evilFolder is a folder with what somebody else would like to run.
func evilFolder(name string) error {
	return errors.Join(os.Mkdir(name, 0o755), os.Chmod(name, 0o755),
		os.WriteFile(filepath.Join(name, "relay-host"), []byte("#!/bin/sh\necho owned\n"), 0o755))
}

// Where others could have put something into the folder, or something else in
// its place, the program goes elsewhere; what is theirs is neither run nor
// removed.
func TestFolderThatOthersCanReach(t *testing.T) {
	const exchanged = "something else came in the place of a new folder"
	for name, test := range map[string]struct {
		put   func(name string) error // in the place of the new folder
		base  os.FileMode             // of /tmp; 0: 0755
		owner int                     // of /tmp; 0: the login
		says  string                  // of /tmp, where nothing else will do
	}{
		"a symbolic link": {put: func(name string) error {
			evil := filepath.Join(filepath.Dir(name), "../evil-"+filepath.Base(name))
			return errors.Join(evilFolder(evil), os.Symlink("../"+filepath.Base(evil), name))
		}, says: exchanged},
		"a link that leads nowhere":   {put: func(name string) error { return os.Symlink("nowhere", name) }, says: exchanged},
		"a file":                      {put: func(name string) error { return os.WriteFile(name, nil, 0o700) }, says: exchanged},
		"a folder that all may enter": {put: evilFolder, says: "a new folder there has the mode 0755, not 0700"},
		"nothing":                     {put: func(string) error { return nil }, says: "look at new folder: "},
		"all may write to the base":   {base: 0o777, says: "/tmp lets other users exchange what is in it: its mode is 0777"},
		"a group may write to it":     {base: 0o775, says: "/tmp lets other users exchange what is in it: its mode is 0775"},
		"the base is somebody else's": {owner: 4711, says: "/tmp belongs to somebody else"},
		"somebody else's, and sticky": {owner: 4711, base: 0o777 | os.ModeSticky, says: "/tmp belongs to somebody else"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := remotetest.Options{Owner: func(file string) int {
				if file == "/tmp" {
					return cmp.Or(test.owner, 1500)
				}
				return 1500
			}}
			attacked := func(modes map[string]os.FileMode) *remotetest.Server {
				s := hosted(t, options, func(s *remotetest.Server) {
					if test.put != nil {
						exchange(t, test.put)(s)
					}
				})
				for folder, mode := range modes {
					if err := os.Chmod(s.Path(folder), mode); err != nil {
						t.Fatal(err)
					}
				}
				return s
			}
			s := attacked(map[string]os.FileMode{"/tmp": cmp.Or(test.base, 0o755)})
			session, err := dial(t, trusting(t), target(s)).Start(t.Context(), program(script{digest: "v1"}))
			if err != nil {
				t.Fatal(err)
			}
			echo(t, session)
			if !strings.HasPrefix(session.Path(), "/home/ops/") || strings.Contains(strings.Join(s.Commands(), "\n"), " /tmp/") {
				t.Errorf("ran %q", s.Commands())
			}
			mustStay(t, s)

			s = attacked(map[string]os.FileMode{"/tmp": cmp.Or(test.base, 0o755), "/home/ops": 0o777, "/var/tmp": 0o777})
			refused := startErrorOf(t, remote.NoFolder, dial(t, trusting(t), target(s)), program(script{digest: "v1"}))
			if !strings.Contains(refused.Advice(), "/tmp: "+test.says) {
				t.Errorf("advice is:\n%s\nwant in it: %s", refused.Advice(), test.says)
			}
			mustStay(t, s)
		})
	}
}

// mustStay fails where an evil folder has lost its program.
func mustStay(t *testing.T, s *remotetest.Server) {
	t.Helper()
	for _, pattern := range []string{"/evil-*", "/tmp/relayctl-*"} {
		folders, _ := filepath.Glob(s.Path(pattern))
		for _, folder := range folders {
			if info, err := os.Lstat(folder); err != nil || !info.IsDir() {
				continue
			}
			if _, err := os.Stat(filepath.Join(folder, "relay-host")); err != nil {
				t.Errorf("what stood there was removed: %v", err)
			}
		}
	}
}

// A sticky folder of root's, or of the login's own, is what first contact is
// made for; it does not matter who may write to it.
func TestStickyFolderIsTaken(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{Owner: func(file string) int {
		if file == "/tmp" {
			return 0
		}
		return 1500
	}})
	if err := os.Chmod(s.Path("/tmp"), 0o777|fs.ModeSticky); err != nil {
		t.Fatal(err)
	}
	session, err := dial(t, trusting(t), target(s)).Start(t.Context(), program(script{digest: "v1"}))
	if err != nil {
		t.Fatal(err)
	}
	echo(t, session)
	if !strings.HasPrefix(session.Path(), "/tmp/") {
		t.Errorf("it ran as %s", session.Path())
	}
}

// Who may write to a folder on the way to the base can exchange the base.
func TestFolderOnTheWayThatOthersCanReach(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{NoExec: []string{"/tmp"}})
	if err := os.Chmod(s.Path("/home"), 0o777); err != nil {
		t.Fatal(err)
	}
	session, err := dial(t, trusting(t), target(s)).Start(t.Context(), program(script{digest: "v1"}))
	if err != nil {
		t.Fatal(err)
	}
	echo(t, session)
	if !strings.HasPrefix(session.Path(), "/var/tmp/") {
		t.Errorf("it ran as %s", session.Path())
	}
	if left := leftBehind(t, s); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A host whose SFTP gives folders the mode it likes is told of, and gets no
// program.
func TestServerThatMakesFoldersAsItLikes(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{Heedless: true, Umask: 0o002})
	refused := startErrorOf(t, remote.NoFolder, dial(t, trusting(t), target(s)), program(script{digest: "v1"}))
	if want := "/tmp: a new folder there has the mode 0775, not 0700"; !strings.Contains(refused.Advice(), want) {
		t.Errorf("advice is:\n%s\nwant in it: %s", refused.Advice(), want)
	}
	if left := leftBehind(t, s); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	for _, command := range s.Commands() {
		if strings.Contains(command, "relayctl-") {
			t.Errorf("it was run: %s", command)
		}
	}
}

// Each packet but those of the content, which are on their way together, and of
// the looks, which are, too, is a round trip.
func TestFirstContactInPackets(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{})
	session, err := dial(t, trusting(t), target(s)).Start(t.Context(), program(script{digest: "v1"}))
	if err != nil {
		t.Fatal(err)
	}
	echo(t, session)
	const begin, open, shut, write, lstat, setMode, mkdir, stat = 1, 3, 4, 6, 7, 10, 14, 17 // of SFTP, version 3
	together := map[byte]byte{stat: lstat}
	var got []byte
	for _, packet := range s.Packets() {
		if other, ok := together[packet]; ok {
			packet = other
		}
		got = append(got, packet)
	}
	if want := []byte{begin, mkdir, lstat, open, write, setMode, shut}; !slices.Equal(slices.Compact(got), want) {
		t.Errorf("packets are %v, want %v", got, want)
	}
	if ran := s.Commands(); len(ran) != 4 {
		t.Errorf("ran %q", ran)
	}
}
