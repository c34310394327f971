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
			"reach edge:22: its name can't be resolved: lookup edge: no such host", "Is the address right?"},
		{unreachable(remote.ReasonName, "", &net.OpError{Op: "dial", Err: &net.DNSError{Err: "server misbehaving", Name: "edge", Server: "10.0.0.1:53"}}),
			"reach edge:22: its name can't be resolved: lookup edge on 10.0.0.1:53: server misbehaving", "Is the address right?"},
		{unreachable(remote.ReasonRefused, "", syscall.ECONNREFUSED),
			"reach edge:22: the connection was refused", "It is up, but nothing takes connections there."},
		{unreachable(remote.ReasonRoute, "", syscall.EHOSTUNREACH),
			"reach edge:22: there is no route to it", "Is it up, is the address right,"},
		{unreachable(remote.ReasonSilent, "", os.ErrDeadlineExceeded),
			"reach edge:22: it takes the connection and says nothing", "Its sshd hangs, or the whole host does."},
		{unreachable(remote.ReasonLost, "", fmt.Errorf("ssh: handshake failed: %w", io.EOF)),
			"reach edge:22: it hangs up before the log-in is done", "Its sshd may have too many connections at once (MaxStartups)"},
		{unreachable(remote.ReasonLost, "", fmt.Errorf("ssh: handshake failed: %w", reset)),
			"reach edge:22: it hangs up before the log-in is done: connection reset by peer", "Its sshd may have too many"},
		{unreachable(remote.ReasonLost, "Closed for\ntoday", reset),
			"reach edge:22: it hangs up before the log-in is done; it says: Closed for today", "Its sshd may have too many"},
		{unreachable(remote.ReasonStuck, "", os.ErrDeadlineExceeded),
			"reach edge:22: it falls silent before the log-in is done", "Its sshd hangs, or the whole host does."},
		{unreachable(remote.ReasonNotSSH, "HTTP/1.1 400 Bad Request", io.EOF),
			`reach edge:22: it does not begin to speak SSH, but says "HTTP/1.1 400 Bad Request"`, "Is it sshd that listens there?"},
		{unreachable(remote.ReasonOther, "", errors.New("ssh: no common algorithm for key exchange")),
			"reach edge:22: it does not speak SSH as we do: ssh: no common algorithm for key exchange", "Both have to know the same algorithms"},
		{&remote.AuthError{User: "ops", Address: "edge:22", Reason: remote.ReasonKeys, Tried: make([]remote.Key, 1)},
			"log in to edge:22 as ops: the server did not take the key", "tried"},
		{&remote.AuthError{User: "ops", Address: "edge:22", Reason: remote.ReasonMore, Methods: []string{"keyboard-interactive"}},
			"log in to edge:22 as ops: the server takes the key and wants more: keyboard-interactive", "Nobody can be asked for what else it takes:"},
		{&remote.AuthError{User: "ops", Address: "edge:22", Reason: remote.ReasonAccount, Said: "System is booting up."},
			"log in to edge:22 as ops: the server knows the key and refuses the account; it says: System is booting up.", "The key is right; the host does not let ops in:"},
		{&remote.LostError{Address: "edge:22", User: "ops", AtOnce: true, Err: reset},
			"connection to edge:22 lost right after the log-in: connection reset by peer", "The host lets ops in and ends the connection at once."},
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
