package remote_test

import (
	"strings"
	"testing"

	"github.com/relayctl/relayctl/internal/remote"
	"github.com/relayctl/relayctl/internal/remote/remotetest"
)

// What the server says at a log-in that fails is in the error, and nothing is
// guessed about MaxStartups.
func TestWhatTheServerSays(t *testing.T) {
	refusing := func(says string) func(string) string { return func(string) string { return says } }
	long := strings.Repeat("All activity is logged and may be used in court. ", 100)
	for name, test := range map[string]struct {
		options remotetest.Options
		keys    int // of the agent, beside the right one
		reason  remote.Reason
		says    []string
		never   string
	}{
		"account expired": {remotetest.Options{Account: refusing("Your account has expired; please contact your system administrator.\r\n")}, 0, remote.ReasonAccount,
			[]string{"log in to 127.0.0.1:", "as ops: the server knows the key and refuses the account; it says: Your account has expired; please contact your system administrator.", "(the server knows it)"}, "authorized_keys"},
		"an administrator's word": {remotetest.Options{Account: refusing("Down for maintenance until 6.\n")}, 0, remote.ReasonAccount,
			[]string{"; it says: Down for maintenance until 6."}, "boots"},
		"nothing is said": {remotetest.Options{Account: refusing(" \n")}, 0, remote.ReasonAccount,
			[]string{"the server knows the key and refuses the account\n", "journalctl -u ssh"}, "it says"},
		"greeting and reason": {remotetest.Options{Banner: long + "\n", Account: refusing("Your account has expired\n")}, 0, remote.ReasonAccount,
			[]string{"; it says: Your account has expired\n", "server   Your account has expired\n", "may be used in court."}, ""},
		"keys refused": {remotetest.Options{Refuse: true, Banner: "log in as ubuntu\n"}, 0, remote.ReasonKeys,
			[]string{"the server did not take the key; it says: log in as ubuntu\n", "server   log in as ubuntu\n"}, ""},
		"a long text": {remotetest.Options{Refuse: true, Banner: long + long + long}, 0, remote.ReasonKeys,
			[]string{"All activity is logged"}, ""},
		"not to be printed": {remotetest.Options{Refuse: true, Banner: "\x1b]0;owned\x07 see https://bob:hunter2@wiki/ \xff\u202e password=hunter2 rk_abcdefghijklmnopqrstuvwxyz"}, 0, remote.ReasonKeys,
			[]string{" see https://(secret)@wiki/ ", " password=(secret) (secret)"}, "hunter2"},
		"too many keys": {remotetest.Options{}, 9, remote.ReasonKeys,
			[]string{"the server took none of 10 keys; it says: too many authentication failures", "(not reached)", "identity_file"}, ""},
		"takes passwords": {remotetest.Options{PasswordOnly: true, Banner: "bastion"}, 0, remote.ReasonMethod,
			[]string{"the server takes no keys: password; it says: bastion"}, "authorized_keys"},
		"wants a password, too": {remotetest.Options{MoreThanKey: true}, 0, remote.ReasonMore,
			[]string{"the server takes the key and wants more: password\n"}, "authorized_keys"},
	} {
		t.Run(name, func(t *testing.T) {
			s := remotetest.Start(t, test.options)
			d, to := trusting(t), target(s)
			if test.keys > 0 {
				var keys []any
				for range test.keys + 1 {
					keys = append(keys, remotetest.NewKey(t, "ed25519"))
				}
				d.AgentSocket, to.IdentityFile = startAgent(t, keys...), ""
			}
			err := dialError[*remote.AuthError](t, d, to)
			if err.Reason != test.reason {
				t.Errorf("reason is %q, want %q", err.Reason, test.reason)
			}
			all := err.Error() + "\n" + err.Advice()
			for _, want := range test.says {
				if !strings.Contains(all, want) {
					t.Errorf("%q is not in:\n%s", want, all)
				}
			}
			if test.never != "" && strings.Contains(all, test.never) || strings.Contains(all, "MaxStartups") || strings.Contains(all, "\r") || len(all) > 8<<10 || len(err.Error()) > 500 {
				t.Errorf("it says (%d bytes):\n%s", len(all), all)
			}
		})
	}
}

// A server that speaks and then falls silent is quoted as well.
func TestFallsSilentAfterItsWord(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	s := remotetest.Start(t, remotetest.Options{Banner: "Waiting for your second factor.", On: func(point string) {
		if point == "auth" {
			<-over
		}
	}})
	t.Cleanup(func() { close(over) }) // before the server is waited for
	d := trusting(t)
	d.Timeout = impatience
	err := dialError[*remote.UnreachableError](t, d, target(s))
	if want := "it falls silent before the log-in is done; it says: Waiting for your second factor."; !strings.Contains(err.Error(), want) {
		t.Errorf("error is %v, want %q in it", err, want)
	}
}

// Where a host ends the connection right after the log-in, as for a wrong
// ChrootDirectory, its network is not to blame.
func TestHangsUpRightAfterLogIn(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{EndSession: true, Banner: "Too many logins for 'ops'."})
	lost := startError[*remote.LostError](t, dial(t, trusting(t), target(s)), program(script{digest: "v1"}))
	if want := "lost right after the log-in: it hung up; it says: Too many logins for 'ops'."; !strings.Contains(lost.Error(), want) {
		t.Errorf("error is %v, want %q in it", lost, want)
	}
	if advice := lost.Advice(); !strings.Contains(advice, "ChrootDirectory") || strings.Contains(advice, "still up") {
		t.Errorf("advice is %s", advice)
	}
}
