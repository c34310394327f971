package remote_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/remote"
)

// TestMessages holds what a stranger reads when a host can't be worked on: what
// was tried, what is in the way, and below it what to do.
func TestMessages(t *testing.T) {
	reset := &net.OpError{Op: "read", Net: "tcp", Err: &os.SyscallError{Syscall: "read", Err: syscall.ECONNRESET}}
	unreachable := func(reason remote.Reason, heard string, err error) error {
		return &remote.UnreachableError{Address: "edge:22", Reason: reason, Heard: heard, Err: err}
	}
	tests := []struct {
		err    error
		says   string
		advice string // its first words
	}{
		{unreachable(remote.ReasonName, "", &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "edge", IsNotFound: true}}),
			"reach edge:22: its name can't be resolved: no such host", "Is the address right?"},
		{unreachable(remote.ReasonName, "", &net.OpError{Op: "dial", Err: &net.DNSError{Err: "server misbehaving", Name: "edge", Server: "10.0.0.1:53"}}),
			"reach edge:22: its name can't be resolved: server misbehaving, says 10.0.0.1:53", "Is the address right?"},
		{unreachable(remote.ReasonRefused, "", syscall.ECONNREFUSED),
			"reach edge:22: the connection was refused", "It is up, but nothing takes connections there."},
		{unreachable(remote.ReasonRoute, "", syscall.EHOSTUNREACH),
			"reach edge:22: there is no route to it", "Is it up, is the address right,"},
		{unreachable(remote.ReasonSilent, "", os.ErrDeadlineExceeded),
			"reach edge:22: it takes the connection and says nothing", "Its sshd hangs, or the whole host does."},
		{unreachable(remote.ReasonLost, "", fmt.Errorf("ssh: handshake failed: %w", io.EOF)),
			"reach edge:22: it hangs up before the log-in", "Its sshd may have too many connections at once (MaxStartups)"},
		{unreachable(remote.ReasonLost, "", fmt.Errorf("ssh: handshake failed: %w", reset)),
			"reach edge:22: it hangs up before the log-in: connection reset by peer", "Its sshd may have too many"},
		{unreachable(remote.ReasonLost, "SSH-2.0-OpenSSH_9.2p1", fmt.Errorf("ssh: handshake failed: %w", io.EOF)),
			"reach edge:22: it hangs up before the log-in", "Its sshd ends the connection after it has begun to speak"},
		{&remote.UnreachableError{Address: "edge:22", Reason: remote.ReasonLost, LogIn: true, Err: reset},
			"reach edge:22: it hangs up in the middle of the log-in: connection reset by peer", "Its sshd ends the connection after it has begun to speak"},
		{unreachable(remote.ReasonNotSSH, "HTTP/1.1 400 Bad Request", io.EOF),
			`reach edge:22: it does not begin to speak SSH, but says "HTTP/1.1 400 Bad Request"`, "Is it sshd that listens there? Another port is set by port"},
		{unreachable(remote.ReasonNotSSH, "", errors.New("ssh: no common algorithm for key exchange")),
			"reach edge:22: what answers does not speak SSH as we do: ssh: no common algorithm for key exchange", "Both have to know the same algorithms"},
		{&remote.AuthError{User: "ops", Address: "edge:22", Tried: make([]remote.Key, 1)},
			"log in to edge:22 as ops: the server did not take the key", "tried"},
		{&remote.AuthError{User: "ops", Address: "edge:22", Reason: remote.ReasonMidway, Tried: make([]remote.Key, 2), Banner: "Closed for\ntoday", Said: "today"},
			"log in to edge:22 as ops: the server hangs up in the middle of the log-in; it says: today", "tried"},
		{&remote.AuthError{User: "ops", Address: "edge:22", Reason: remote.ReasonMore, Methods: []string{"keyboard-interactive"}},
			"log in to edge:22 as ops: the server takes the key and wants more: keyboard-interactive", "relayctl logs in with a key alone"},
		{&remote.AuthError{User: "ops", Address: "edge:22", Reason: remote.ReasonAccount, Waited: time.Minute, Said: "System is booting up."},
			"log in to edge:22 as ops: the server knows the key and refuses the account, for 60 s now; it says: System is booting up.", "It lets only root in while it boots or goes down."},
		{&remote.LostError{Address: "edge:22", User: "ops", AtOnce: true, Err: reset},
			"connection to edge:22 lost right after the log-in: connection reset by peer", "The host lets ops in and ends the connection at once."},
		{&remote.NotRootError{User: "ops"},
			`become root as ops: it is not root, and the stack says sudo = "none"`, "Log in as root, or take"},
		{&remote.SudoError{User: "ops", Stderr: "We trust you have received the usual lecture.\nsudo: a password is required\n"},
			"become root as ops with sudo -n: sudo: a password is required", "Log in as root, or let ops use sudo without a password and without a terminal."},
		{&remote.SudoError{User: "ops", Missing: true},
			"become root as ops: sudo is not installed", "Log in as root, or install sudo"},
		{&remote.ShellError{User: "ops", Said: "This account is currently not available.", Err: &remote.ExitError{Status: 1}},
			"run a command as ops: its login shell says: This account is currently not available. (exit status 1)", "The shell of ops and its start-up files"},
		{&remote.ShellError{User: "ops", Err: &remote.ExitError{Status: 3}},
			"run a command as ops: its login shell does not do it: exit status 3", "The shell of ops"},
		{&remote.SFTPError{User: "ops", Err: errors.New("ssh: subsystem request failed")},
			"bring relay-host by SFTP: the host's sshd offers none", "Put this into /etc/ssh/sshd_config"},
		{&remote.SFTPError{User: "ops", Noise: true, Err: errors.New("packet too long")},
			"bring relay-host by SFTP: what answers is not SFTP: packet too long", "A start-up file of ops's login shell"},
		{&remote.NoExecError{Size: 10 << 20, Tried: []*remote.FolderError{{Folder: "/tmp", Err: syscall.EROFS}, {Folder: "/var/tmp", Err: syscall.ENOSPC}}},
			"bring relay-host: none of /tmp, /var/tmp takes a program and lets it run",
			"  /tmp: read-only file system\n  /var/tmp: no space left on device\nOne of them has to have 11 MiB free"},
		{&remote.StartError{Program: "/usr/x", Err: &remote.SilentError{After: 15 * time.Second}},
			"start /usr/x: nothing came for 15 s", "Does a start-up file of the login shell wait for something"},
		{&remote.StartError{Program: "/usr/x", Err: io.EOF, Exit: &remote.LostError{Address: "edge:22", Err: reset}},
			"start /usr/x: connection to edge:22 lost: connection reset by peer", "Is the host still up,"},
		{&remote.LostError{Address: "edge:22", Err: io.EOF},
			"connection to edge:22 lost: it hung up", "Is the host still up,"},
		{&remote.LostError{Address: "edge:22", Err: &remote.SilentError{After: 30 * time.Second}},
			"connection to edge:22 lost: nothing came for 30 s", "Is the host still up,"},
	}
	for _, test := range tests {
		if diff := cmp.Diff(test.says, test.err.Error()); diff != "" {
			t.Errorf("%T says (-want +got):\n%s", test.err, diff)
		}
		var adviser interface{ Advice() string }
		if !errors.As(test.err, &adviser) || !strings.HasPrefix(adviser.Advice(), test.advice) {
			t.Errorf("%v: its advice does not begin with %q", test.err, test.advice)
		}
	}
}
