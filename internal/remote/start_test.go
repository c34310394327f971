package remote_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/remote"
	"github.com/relayctl/relayctl/internal/remote/remotetest"
)

func TestInstalledProgramCostsOneStart(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{Noise: "Welcome to edge!\n"})
	install(t, s, programText("v2-arm64"))
	host := dial(t, trusting(t), target(s))
	session, err := host.Start(t.Context(), program(script{digest: "v2"}))
	if err != nil {
		t.Fatal(err)
	}
	echo(t, session)
	if s.Connections() != 1 || s.Channels() != 1 || len(s.Packets()) != 0 {
		t.Errorf("%d connections, %d sessions, %d packets of SFTP; want one of the first two", s.Connections(), s.Channels(), len(s.Packets()))
	}
	want := []string{"env LC_ALL=C sudo -S -p PROMPT " + remote.InstallRoot + "/relay-host/current/relay-host"}
	if diff := cmp.Diff(want, commands(s)); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
}

func TestRootNeedsNoSudo(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{Sudo: remotetest.SudoMissing, LoginDir: "/root"})
	to := target(s)
	to.User, to.Sudo = "root", remote.SudoNone
	session, err := dial(t, trusting(t), to).Start(t.Context(), program(script{digest: "v1"}))
	if err != nil {
		t.Fatal(err)
	}
	echo(t, session)
	if ran := s.Commands(); len(ran) == 0 || strings.Contains(strings.Join(ran, "\n"), "sudo") {
		t.Errorf("root ran %q", ran)
	}
}

func TestFirstContact(t *testing.T) {
	tests := []struct {
		name      string
		options   remotetest.Options
		installed string // its text
		folder    string // where the copy has to run
	}{
		{"a fresh host", remotetest.Options{}, "", "/tmp"},
		{"another version is installed", remotetest.Options{}, programText("v1-amd64"), "/tmp"},
		{"what is installed is broken", remotetest.Options{}, "#!/bin/sh\necho oops >&2\nexit 3\n", "/tmp"},
		{"on the other architecture", remotetest.Options{Uname: "Linux aarch64"}, "", "/tmp"},
		{"the login shell is chatty", remotetest.Options{Noise: "Linux edge 6.1\nhello \x1b[1mops\x1b[0m\n\n"}, "", "/tmp"},
		{"/tmp lets no program run", remotetest.Options{NoExec: []string{"/tmp"}}, "", "/home/ops"},
		{"only /var/tmp does", remotetest.Options{NoExec: []string{"/tmp", "/home/ops"}}, "", "/var/tmp"},
		{"the home's name is odd", remotetest.Options{NoExec: []string{"/tmp"}, LoginDir: "/home/o'ps; reboot"}, "", "/var/tmp"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := remotetest.Start(t, test.options)
			if test.installed != "" {
				install(t, s, test.installed)
			}
			var uploaded, total int64
			p := program(script{digest: "v2"})
			p.Uploading = func(sent, all int64) { uploaded, total = sent, all }
			host := dial(t, trusting(t), target(s))
			session, err := host.Start(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(session.Path(), test.folder+"/relayctl-") {
				t.Errorf("it ran as %s, want it under %s", session.Path(), test.folder)
			}
			for _, command := range s.Commands() {
				if strings.ContainsAny(command, "';") {
					t.Errorf("a shell would take %q for something else", command)
				}
			}
			if test.options.LoginDir == "" {
				if left := leftBehind(t, s); len(left) > 0 {
					t.Errorf("while it runs, there still are %v", left)
				}
			}
			if uploaded == 0 || uploaded != total {
				t.Errorf("upload told as %d of %d bytes", uploaded, total)
			}
			echo(t, session)
		})
	}
}

func TestNothingRunsAnywhere(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{NoExec: []string{"/tmp", "/home/ops"}})
	if err := os.Remove(s.Path("/var/tmp")); err != nil {
		t.Fatal(err)
	}
	err := startErrorOf(t, remote.NoFolder, dial(t, trusting(t), target(s)), program(script{digest: "v1"}))
	if want := "bring relay-host: none of /tmp, /home/ops, /var/tmp takes a program and lets it run"; err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}
	if !strings.Contains(err.Advice(), "  /home/ops: relay-host: Permission denied\n") {
		t.Errorf("the host is not quoted: %v", err.Advice())
	}
	if err := os.Mkdir(s.Path("/var/tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	if left := leftBehind(t, s); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// mustSay checks an error's first words, and those of its advice.
func mustSay(t *testing.T, err *remote.Error, says, advises string) {
	t.Helper()
	if !strings.HasPrefix(err.Error(), says) || !strings.HasPrefix(err.Advice(), advises) {
		t.Errorf("error is %v, with the advice:\n%s\nwant %s, with the advice:\n%s", err, err.Advice(), says, advises)
	}
}

func TestSudoNoneNeedsRoot(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{})
	to := target(s)
	to.Sudo = remote.SudoNone
	err := startErrorOf(t, remote.NotRoot, dial(t, trusting(t), to), program(script{digest: "v1"}))
	mustSay(t, err, `become root as ops: it is not root, and the stack says sudo = "none"`, "Log in as root, or take")
	if ran := s.Commands(); len(ran) > 0 {
		t.Errorf("commands were run: %q", ran)
	}
}

func TestUnsupportedMachine(t *testing.T) {
	for _, uname := range []string{"Linux riscv64", "Darwin arm64", "FreeBSD x86_64"} {
		s := remotetest.Start(t, remotetest.Options{Uname: uname})
		err := startErrorOf(t, remote.Unsupported, dial(t, trusting(t), target(s)), program(script{digest: "v1"}))
		mustSay(t, err, strings.Replace(uname, " ", " on ", 1)+" is not supported", "")
	}
}

func TestProgramThatDoesNotGreet(t *testing.T) {
	tests := []struct{ name, text, exit, said string }{
		{"ends badly", "#!/bin/sh\nrm -f \"$0\"\necho broken library >&2\nexit 7\n", "exit status 7", "broken library"},
		{"ends well", "#!/bin/sh\nrm -f \"$0\"\necho some noise\n", "", "no greeting"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := remotetest.Start(t, remotetest.Options{})
			err := startError[*remote.StartError](t, dial(t, trusting(t), target(s)), program(script{digest: "v1", text: test.text}))
			if !strings.Contains(err.Error(), test.exit) || !strings.Contains(err.Error(), test.said) {
				t.Errorf("error is %q, want %q and %q in it", err, test.exit, test.said)
			}
			if left := leftBehind(t, s); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestLastWordsAreBounded(t *testing.T) {
	text := "#!/bin/sh\nrm -f \"$0\"\nyes noise | head -c 1000000 >&2\necho the end >&2\nexit 1\n"
	s := remotetest.Start(t, remotetest.Options{})
	err := startError[*remote.StartError](t, dial(t, trusting(t), target(s)), program(script{digest: "v1", text: text}))
	if len(err.Stderr) > 8<<10 || !strings.HasSuffix(err.Stderr, "the end\n") {
		t.Errorf("%d bytes are kept of what it said", len(err.Stderr))
	}
}

func TestUploadedProgramTellsAnotherDigest(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{})
	session, err := dial(t, trusting(t), target(s)).Start(t.Context(), program(script{digest: "v2", text: programText("v1-amd64")}))
	if err == nil {
		session.Close()
		t.Fatal("a program with another digest was taken")
	}
	if !strings.Contains(err.Error(), "not the program that was uploaded") {
		t.Errorf("error is %q", err)
	}
}

func TestNothingCarried(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{})
	missing := errors.New("nothing is carried")
	_, err := dial(t, trusting(t), target(s)).Start(t.Context(), program(script{err: missing}))
	if !errors.Is(err, missing) {
		t.Errorf("error is %v, want the source's own", err)
	}
	if ran := s.Commands(); len(ran) > 0 {
		t.Errorf("commands were run: %q", ran)
	}
}

func TestNoSFTP(t *testing.T) {
	for _, test := range []struct {
		options       remotetest.Options
		says, advises string
	}{
		{remotetest.Options{NoSFTP: true}, "bring relay-host by SFTP: the host's sshd offers none", "Put this into /etc/ssh/sshd_config"},
		{remotetest.Options{Chatty: true, Noise: "Welcome to edge!\n"}, "bring relay-host by SFTP: what answers is not SFTP: ", "A start-up file of ops's login shell"},
	} {
		s := remotetest.Start(t, test.options)
		err := startErrorOf(t, remote.NoSFTP, dial(t, trusting(t), target(s)), program(script{digest: "v1"}))
		mustSay(t, err, test.says, test.advises)
	}
}

// A login shell that runs nothing is not sudo's fault.
func TestShellThatRunsNothing(t *testing.T) {
	const unavailable = "its login shell says: This account is currently not available. (exit status 1)"
	for name, test := range map[string]struct {
		options remotetest.Options
		says    string
	}{
		"nologin":              {remotetest.Options{NoLogin: true}, unavailable},
		"a flood before it":    {remotetest.Options{Noise: strings.Repeat("hello\n", 20000)}, "its login shell does not do it: it says more than 65536 bytes"},
		"nologin and sudo odd": {remotetest.Options{NoLogin: true, Sudo: remotetest.SudoMissing}, unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := remotetest.Start(t, test.options)
			err := startErrorOf(t, remote.ShellRefuses, dial(t, trusting(t), target(s)), program(script{digest: "v1"}))
			mustSay(t, err, "run a command as ops: "+test.says, "The shell of ops and its start-up files")
		})
	}
}

func TestShellThatWaits(t *testing.T) {
	t.Parallel()
	s := remotetest.Start(t, remotetest.Options{Hang: true})
	d := trusting(t)
	d.Timeout = impatience
	err := startError[*remote.StartError](t, dial(t, d, target(s)), program(script{digest: "v1"}))
	as[*remote.SilentError](t, err.Err)
}

func TestPrivateFolder(t *testing.T) {
	// The program reports the modes of its folder and of itself before it
	// removes itself.
	text := "#!/bin/sh\nstat -c %a \"$(dirname \"$0\")\" \"$0\" >&2\nrm -f \"$0\"\necho '" + greeting + "v1-amd64'\nexec cat\n"
	s := remotetest.Start(t, remotetest.Options{})
	session, err := dial(t, trusting(t), target(s)).Start(t.Context(), program(script{digest: "v1", text: text}))
	if err != nil {
		t.Fatal(err)
	}
	echo(t, session)
	if got := strings.Fields(session.Stderr()); !slices.Equal(got, []string{"700", "700"}) {
		t.Errorf("modes of folder and program are %v, want 700 each", got)
	}
}
