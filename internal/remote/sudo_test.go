package remote_test

import (
	"bufio"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/remote"
	"github.com/relayctl/relayctl/internal/remote/remotetest"
	"github.com/relayctl/relayctl/internal/secret"
)

const sudoPassword = "correct horse battery staple"

// withPassword is a program that is started by sudo with a password.
func withPassword(password string) remote.Program {
	p := program(script{digest: "v1"})
	p.SudoPassword = secret.New(password)
	return p
}

var promptOption = regexp.MustCompile(`-p password-[0-9a-f]{32}\b`)

// commands are those that ran so far, each with PROMPT for what sudo asks with.
func commands(s *remotetest.Server) []string {
	ran := s.Commands()
	for i := range ran {
		ran[i] = promptOption.ReplaceAllString(ran[i], "-p PROMPT")
	}
	return ran
}

// wantsPassword are the kinds of sudo that ask for one in our words, and take it.
var wantsPassword = map[string]remotetest.Sudo{
	"sudo":                    remotetest.SudoWantsPassword,
	"sudo-rs":                 remotetest.SudoRSWantsPassword,
	"sudo-rs that asks again": remotetest.SudoRSAsksAgain,
}

// Where sudo wants a password, that is found out without a failed attempt, and
// the host goes on with one over the same connection.
func TestSudoPassword(t *testing.T) {
	for name, sudo := range wantsPassword {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := remotetest.Start(t, remotetest.Options{Sudo: sudo, SudoPassword: sudoPassword, Traces: true})
			host := dial(t, trusting(t), target(s))
			err := startErrorOf(t, remote.SudoWantsPassword, host, program(script{digest: "v1"}))
			mustSay(t, err, "become root as ops: sudo wants a password", "Run relayctl on a terminal")
			session, startErr := host.Start(t.Context(), withPassword(sudoPassword))
			if startErr != nil {
				t.Fatal(startErr)
			}
			echo(t, session)
			if s.SudoFailures() != 0 || s.Connections() != 1 {
				t.Errorf("%d failed attempts, %d connections", s.SudoFailures(), s.Connections())
			}
			want := []string{
				"env LC_ALL=C sudo -S -p PROMPT /usr/local/lib/relayctl/relay-host/current/relay-host",
				"env LC_ALL=C sudo -S -p PROMPT -k /usr/bin/uname -sm",
				"env LC_ALL=C sudo -S -p PROMPT -k /usr/local/lib/relayctl/relay-host/current/relay-host",
			}
			if diff := cmp.Diff(want, commands(s)[:len(want)]); diff != "" {
				t.Errorf("commands (-want +got):\n%s", diff)
			}
			if strings.Contains(strings.Join(s.Commands(), "\n"), sudoPassword) {
				t.Error("the password stands in a command line")
			}
			if left := leftBehind(t, s); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// A wrong password is one failed attempt, however often the host is tried.
func TestWrongSudoPassword(t *testing.T) {
	for name, sudo := range wantsPassword {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := remotetest.Start(t, remotetest.Options{Sudo: sudo, SudoPassword: sudoPassword})
			host := dial(t, trusting(t), target(s))
			for range 2 {
				err := startErrorOf(t, remote.SudoRefuses, host, withPassword("hunter2"))
				says := "become root as ops with the sudo password: " + map[remotetest.Sudo]string{
					remotetest.SudoWantsPassword:   "Sorry, try again.",
					remotetest.SudoRSWantsPassword: "sudo-rs: PAM error: Permission denied",
					remotetest.SudoRSAsksAgain:     "sudo: Authentication failed, try again.",
				}[sudo]
				mustSay(t, err, says, "It was tried once and is not tried again, so that ops is not locked out.")
			}
			if s.SudoFailures() != 1 {
				t.Errorf("%d failed attempts, want 1", s.SudoFailures())
			}
		})
	}
}

// Where PAM asks in its own words, it can't be known that sudo waits; a right
// password does it, and a wrong one ends all the same.
func TestSudoThatAsksOddly(t *testing.T) {
	options := remotetest.Options{Sudo: remotetest.SudoAsksOddly, SudoPassword: sudoPassword}
	s := remotetest.Start(t, options)
	session, err := dial(t, trusting(t), target(s)).Start(t.Context(), withPassword(sudoPassword))
	if err != nil {
		t.Fatal(err)
	}
	echo(t, session)

	simulated(t, options, func(t *testing.T, host *remote.Host) {
		began := time.Now()
		err := startErrorOf(t, remote.SudoRefuses, host, withPassword("hunter2"))
		mustSay(t, err, "become root as ops with the sudo password: sudo: 1 incorrect password attempt", "It was tried once")
		if took := time.Since(began); took > 11*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// A host that is known to want a password is not tried without one.
func TestSudoKnownToWantPassword(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{Sudo: remotetest.SudoWantsPassword, SudoPassword: sudoPassword})
	to := target(s)
	to.Sudo = remote.SudoPassword
	host := dial(t, trusting(t), to)
	startErrorOf(t, remote.SudoWantsPassword, host, program(script{digest: "v1"}))
	if ran := s.Commands(); len(ran) > 0 {
		t.Errorf("commands were run: %q", ran)
	}
	session, err := host.Start(t.Context(), withPassword(sudoPassword))
	if err != nil {
		t.Fatal(err)
	}
	echo(t, session)
}

// A sudo that wants no password leaves it to the program, which knows that.
func TestSudoThatWantsNoPassword(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{})
	session, err := dial(t, trusting(t), target(s)).Start(t.Context(), withPassword(sudoPassword))
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(io.LimitReader(session, int64(len(sudoPassword)+1))).ReadString('\n'); line != sudoPassword+"\n" {
		t.Errorf("it read %q, %v", line, err)
	}
	echo(t, session)
}

// An SSH server that passes no signals on makes a failed attempt of each end, and
// is not waited for.
func TestSudoThatCannotBeKilled(t *testing.T) {
	simulated(t, remotetest.Options{Sudo: remotetest.SudoWantsPassword, SudoPassword: sudoPassword, NoKill: true}, func(t *testing.T, host *remote.Host) {
		began := time.Now()
		startErrorOf(t, remote.SudoWantsPassword, host, program(script{digest: "v1"}))
		startErrorOf(t, remote.SudoRefuses, host, withPassword("hunter2"))
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// simulated has a host in a bubble where time passes as it is waited for.
func simulated(t *testing.T, options remotetest.Options, test func(*testing.T, *remote.Host)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		options.Listener = network
		s := remotetest.Start(t, options)
		d := trusting(t)
		d.Connect = network.dial
		host := dial(t, d, target(s))
		defer host.Close()
		test(t, host)
	})
}

func TestPasswordOfSeveralLines(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{Sudo: remotetest.SudoWantsPassword, SudoPassword: sudoPassword})
	err := startErrorOf(t, remote.SudoRefuses, dial(t, trusting(t), target(s)), withPassword("hunter2\nhunter3"))
	mustSay(t, err, "become root as ops: the sudo password has several lines", "A file with the password has it in its first and only line.")
	if ran := s.Commands(); len(ran) > 0 {
		t.Errorf("commands were run: %q", ran)
	}
}

// What sudo and sudo-rs say decides what is advised, and nothing else.
func TestSudoRefuses(t *testing.T) {
	const (
		tty     = "Log in as root, or let ops use sudo without a terminal."
		rights  = "Log in as root, or let ops use sudo for every command."
		expired = "The password or the account of ops has expired, or is locked."
		other   = "Log in as root, or let ops use sudo without a password and without a terminal."
	)
	for says, advises := range map[string]string{
		"sudo: sorry, you must have a tty to run sudo":                               tty,
		"ops is not in the sudoers file.":                                            rights,
		"Sorry, user ops is not allowed to execute '/usr/bin/uname -sm' as root.":    rights,
		"sudo-rs: I'm sorry ops. I'm afraid I can't do that":                         rights,
		"sudo: Account or password is expired, reset your password and try again":    expired,
		"sudo: account validation failure, is your account locked?":                  expired,
		"sudo-rs: Account validation failure, is your account locked?":               expired,
		"sudo-rs: PAM error: Authentication token manipulation error":                expired,
		"sudo: /usr/bin/sudo must be owned by uid 0 and have the setuid bit set":     other,
		"sudo: Le drapeau « no new privileges » est positionné":                      other,
		"sudo: unable to resolve host edge: Name or service not known\nsudo: broken": other,
	} {
		t.Run(says, func(t *testing.T) {
			s := remotetest.Start(t, remotetest.Options{Sudo: remotetest.SudoSays, SudoSays: says})
			err := startErrorOf(t, remote.SudoRefuses, dial(t, trusting(t), target(s)), program(script{digest: "v1"}))
			mustSay(t, err, "become root as ops with sudo: "+says[strings.LastIndexByte(says, '\n')+1:], advises)
		})
	}
	s := remotetest.Start(t, remotetest.Options{Sudo: remotetest.SudoWantsOtherCommand, SudoPassword: sudoPassword})
	err := startErrorOf(t, remote.SudoRefuses, dial(t, trusting(t), target(s)), withPassword(sudoPassword))
	mustSay(t, err, "become root as ops with sudo: ops is not in the sudoers file.", rights)
	if s.SudoFailures() != 0 {
		t.Errorf("%d failed attempts", s.SudoFailures())
	}
}

// Without sudo it is done by doas, which can't be given a password.
func TestDoas(t *testing.T) {
	for name, test := range map[string]struct {
		doas          remotetest.Doas
		password      string
		says, advises string // "": it works
	}{
		"works":                        {remotetest.DoasWorks, "", "", ""},
		"works with a password for it": {remotetest.DoasWorks, sudoPassword, "", ""},
		"wants a password": {remotetest.DoasWantsPassword, "",
			"become root as ops with doas -n: doas: Authentication required", "doas takes a password from a terminal only."},
		"wants a password that is there": {remotetest.DoasWantsPassword, sudoPassword,
			"become root as ops with doas -n: doas: Authentication required", "doas takes a password from a terminal only."},
		"is not there": {remotetest.DoasMissing, "",
			"become root as ops: neither sudo nor doas is installed", "Log in as root, or install sudo"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := remotetest.Start(t, remotetest.Options{Sudo: remotetest.SudoMissing, Doas: test.doas})
			host := dial(t, trusting(t), target(s))
			if test.says != "" {
				mustSay(t, startErrorOf(t, remote.SudoRefuses, host, withPassword(test.password)), test.says, test.advises)
				return
			}
			session, err := host.Start(t.Context(), withPassword(test.password))
			if err != nil {
				t.Fatal(err)
			}
			echo(t, session)
		})
	}
}

// An installed program is found by doas as well.
func TestInstalledProgramByDoas(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{Sudo: remotetest.SudoMissing, Doas: remotetest.DoasWorks})
	install(t, s, programText("v1-amd64"))
	session, err := dial(t, trusting(t), target(s)).Start(t.Context(), program(script{digest: "v1"}))
	if err != nil {
		t.Fatal(err)
	}
	echo(t, session)
	if len(s.Packets()) != 0 {
		t.Errorf("ran %q, and brought a copy along", s.Commands())
	}
}

// sshd may let a connection have one session at a time.
func TestOneSessionAtATime(t *testing.T) {
	for name, options := range map[string]remotetest.Options{
		"a fresh host":               {},
		"/tmp lets no program run":   {NoExec: []string{"/tmp"}},
		"sudo wants a password":      {Sudo: remotetest.SudoWantsPassword, SudoPassword: sudoPassword},
		"there is doas":              {Sudo: remotetest.SudoMissing, Doas: remotetest.DoasWorks},
		"the login shell is chatty":  {Noise: "hello\n"},
		"a slow way to a fresh host": {RTT: 20 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options.MaxSessions = 1
			s := remotetest.Start(t, options)
			install(t, s, programText("v0-amd64"))
			host := dial(t, trusting(t), target(s))
			if options.SudoPassword != "" {
				startErrorOf(t, remote.SudoWantsPassword, host, program(script{digest: "v1"}))
			}
			session, err := host.Start(t.Context(), withPassword(options.SudoPassword))
			if err != nil {
				t.Fatal(err)
			}
			if left := leftBehind(t, s); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			echo(t, session)
		})
	}
}
