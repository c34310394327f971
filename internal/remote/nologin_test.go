package remote_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/relayctl/relayctl/internal/remote"
	"github.com/relayctl/relayctl/internal/remote/remotetest"
)

// What systemd writes into /run/nologin (testbed#2470).
const (
	booting = "\"System is booting up. Unprivileged users are not permitted to log in yet. Please come back later. For technical details, see pam_nologin(8).\"\n"
	going   = "\"System is going down. Unprivileged users are not permitted to log in anymore. For technical details, see pam_nologin(8).\"\n"
)

// pipes is a network in the test's own process, without a kernel's part in it:
// time can be simulated over it.
type pipes struct {
	conns chan net.Conn
	over  chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.over:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	close(p.over)
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 22} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A host that boots, or goes down, is waited for, and nothing else is.
func TestNoLogin(t *testing.T) {
	refused := errors.New("connection refused")
	for name, test := range map[string]struct {
		says  []string // for each attempt; the last one is for all that follow
		down  []int    // attempts that reach nobody
		asked int      // how often
		waits string
		error string // "": it logs in
	}{
		"boots":              {[]string{booting, booting, ""}, nil, 3, "it to let users log in: System is booting up", ""},
		"goes down and up":   {[]string{going, "", booting, ""}, []int{2}, 4, "it to let users log in: System is going down", ""},
		"boots without end":  {[]string{booting}, nil, 4, "it to let users log in: System is booting up", "(waited 60 s for it, since it said: System is booting up;"},
		"goes down for good": {[]string{going, ""}, []int{2, 3, 4}, 4, "it to let users log in: System is going down", "connection refused (waited 60 s for it, since it said: System is going down;"},
		"is expired":         {[]string{"Your account has expired\n"}, nil, 1, "", "Your account has expired"},
		"is maintained":      {[]string{"Back at 6\n"}, nil, 1, "", "Back at 6"},
		"is not there":       {[]string{""}, []int{1}, 1, "", "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network, attempt := newPipes(), 0
				s := remotetest.Start(t, remotetest.Options{Listener: network, Account: func(string) string {
					return test.says[min(attempt, len(test.says))-1]
				}})
				var waits []remote.Wait
				d := trusting(t)
				d.OnWait = func(wait remote.Wait) { waits = append(waits, wait) }
				d.Connect = func(ctx context.Context, network_, address string) (net.Conn, error) {
					attempt++
					for _, down := range test.down {
						if attempt == down {
							return nil, refused
						}
					}
					return network.dial(ctx, network_, address)
				}
				began := time.Now()
				host, err := d.Dial(t.Context(), target(s))
				if took := time.Since(began); took > 61*time.Second {
					t.Errorf("it took %v", took)
				}
				switch {
				case err == nil:
					host.Close()
					if test.error != "" {
						t.Errorf("it logged in")
					}
				case test.error == "" || !strings.Contains(fmt.Sprint(err, rootOf(err)), test.error):
					t.Errorf("error is %v, want %q in it", err, test.error)
				}
				if attempt != test.asked || len(waits) != test.asked-1 {
					t.Errorf("%d attempts, told of %d waits, want %d", attempt, len(waits), test.asked)
				}
				if len(waits) > 0 && waits[0] != (remote.Wait{Host: "edge", For: test.waits}) {
					t.Errorf("told %+v", waits[0])
				}
			})
		})
	}
}

// Who refuses connections may be booting, or limit how many come: it is tried
// again, three times in all, and not within the 30 s that ufw counts.
func TestRefusedConnection(t *testing.T) {
	for name, test := range map[string]struct {
		refusals, attempts int
		took               time.Duration
	}{
		"sshd is not up yet": {1, 2, 3 * time.Second},
		"ufw limits":         {2, 3, 31 * time.Second},
		"nothing listens":    {9, 3, 31 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network, attempts := newPipes(), 0
				s := remotetest.Start(t, remotetest.Options{Listener: network})
				var waits []remote.Wait
				d := trusting(t)
				d.OnWait = func(wait remote.Wait) { waits = append(waits, wait) }
				d.Connect = func(ctx context.Context, network_, address string) (net.Conn, error) {
					if attempts++; attempts <= test.refusals {
						return nil, syscall.ECONNREFUSED
					}
					return network.dial(ctx, network_, address)
				}
				began := time.Now()
				host, err := d.Dial(t.Context(), target(s))
				if took := time.Since(began); took.Truncate(time.Second) != test.took || attempts != test.attempts {
					t.Errorf("%d attempts in %v", attempts, took)
				}
				if err == nil {
					host.Close()
				}
				var away *remote.UnreachableError
				if refused := errors.As(err, &away) && away.Reason == remote.ReasonRefused; refused != (test.refusals == 9) {
					t.Errorf("error is %v", err)
				}
				if len(waits) == 0 || waits[0].For != "sshd to take connections: the connection was refused" {
					t.Errorf("told %+v", waits)
				}
			})
		})
	}
}

// rootOf is what an error comes from in the end.
func rootOf(err error) error {
	for errors.Unwrap(err) != nil {
		err = errors.Unwrap(err)
	}
	return err
}

// Whoever gives up while a host boots is not kept.
func TestNoLoginIsGivenUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := remotetest.Start(t, remotetest.Options{Account: func(string) string { return booting }})
	d := trusting(t)
	d.OnWait = func(remote.Wait) { cancel() }
	if _, err := d.Dial(ctx, target(s)); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

// A host that boots is not shown another time that a key is not the pinned one.
func TestPinOfABootingHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network, refusals := newPipes(), 0
		s := remotetest.Start(t, remotetest.Options{Listener: network, HostKeys: []string{"ed25519", "ecdsa"}, Account: func(string) string {
			if refusals++; refusals <= 2 {
				return booting
			}
			return ""
		}})
		d, to := trusting(t), target(s)
		d.Connect = network.dial
		to.HostKey = ssh.FingerprintSHA256(s.HostKeys[1])
		dial(t, d, to).Close()
		if s.Connections() != 4 {
			t.Errorf("%d connections, want one that shows another key, two that are refused, and one", s.Connections())
		}
	})
}
