package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/crypto/ssh"
)

// connect opens the connection and logs in. A pin doesn't tell its key's type,
// so while the host shows other types, it is asked again for what is left.
func (d *Dialer) connect(ctx context.Context, way route) (*Host, error) {
	check := d.hostKeyCheck(way)
	counters := &counters{}
	for {
		client, said, err := d.handshake(ctx, way, check, counters)
		if err == nil {
			return newSSHHost(d, way, client, counters, said), nil
		}
		var pin *HostKeyPinError
		if !errors.As(err, &pin) || len(check.algorithms()) == 0 {
			return nil, err
		}
	}
}

// attempt is one connection that is being made.
type attempt struct {
	way   route
	check *hostKeyCheck
	keys  *credentials
	conn  *watchedConn
	logIn logIn

	signing atomic.Bool // when ctx ended: the agent had been asked
}

// handshake dials and logs in, all of it under the one deadline of ctx. said is
// what the server said at the log-in.
func (d *Dialer) handshake(ctx context.Context, way route, check *hostKeyCheck, counters *counters) (_ *ssh.Client, said string, _ error) {
	connect := d.Connect
	if connect == nil {
		connect = (&net.Dialer{}).DialContext
	}
	raw, err := connect(ctx, "tcp", way.address)
	if err != nil {
		return nil, "", unreachable(ctx, way, err)
	}
	counters.connections.Add(1)
	a := &attempt{way: way, check: check, conn: &watchedConn{Conn: raw, counters: counters}}
	if a.keys, err = way.credentials(ctx); err != nil {
		a.conn.Close()
		return nil, "", err
	}
	defer a.keys.close()
	check.err, check.passed = nil, false
	stop := context.AfterFunc(ctx, func() {
		a.signing.Store(slices.ContainsFunc(a.keys.offers, func(o *offer) bool { return o.signing.Load() }))
		a.conn.Close()
		a.keys.close()
	})
	transport, channels, requests, err := ssh.NewClientConn(a.conn, way.address, a.config(ctx))
	if !stop() && err == nil { // ctx ended at the last moment, and closed the connection
		transport.Close()
		err = ctx.Err()
	}
	if err != nil {
		a.conn.Close()
		return nil, "", a.explain(ctx, err)
	}
	return ssh.NewClient(transport, channels, requests), a.logIn.banner, nil
}

func (a *attempt) config(ctx context.Context) *ssh.ClientConfig {
	return &ssh.ClientConfig{
		User:              a.way.user,
		HostKeyAlgorithms: a.check.algorithms(),
		HostKeyCallback: func(_ string, remote net.Addr, key ssh.PublicKey) error {
			return a.check.verify(ctx, remote, key)
		},
		AuthCallback: func(c *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
			return a.logIn.next(c, a.keys.offers, cmp.Or(ctx.Err(), a.conn.brokenBy()))
		},
		BannerCallback: func(message string) error {
			a.logIn.hear(message)
			return nil
		},
	}
}

// explain turns a failed handshake into what failed: the way to the host, its
// key, or the log-in.
func (a *attempt) explain(ctx context.Context, err error) error {
	switch {
	case a.check.err != nil:
		return a.check.err
	case ctx.Err() != nil:
		return a.silent(ctx)
	case !a.check.passed && len(a.check.shown) > 0: // it has no key of the types that were left to ask for
		a.check.refused = append(a.check.refused, a.check.algorithms()...)
		return a.check.pinError()
	case a.check.passed:
		return a.refused(err)
	case a.conn.brokenBy() != nil && !a.conn.isForeign():
		return &UnreachableError{Address: a.way.address, Reason: ReasonLost, Heard: a.conn.firstLine(), Err: err}
	}
	failure := &UnreachableError{Address: a.way.address, Reason: ReasonNotSSH, Err: err}
	if a.conn.isForeign() {
		failure.Heard = a.conn.firstLine()
	}
	return failure
}

// refused is how the log-in failed. A server that hangs up before it has
// decided about a key, and says nothing, may have died: that decides nothing.
func (a *attempt) refused(err error) error {
	hungUp := a.conn.brokenBy() != nil && a.logIn.offered < authTries
	if last := lastWords(err); last != "" {
		a.logIn.hear(last)
		hungUp = hungUp && a.logIn.offered == 0
	}
	reason := ReasonKeys
	switch {
	case a.logIn.taken:
		reason = ReasonMore
	case a.logIn.knows(a.keys.offers):
		reason = ReasonAccount
	case hungUp && a.logIn.banner == "":
		return &UnreachableError{Address: a.way.address, Reason: ReasonLost, LogIn: true, Err: err}
	case hungUp:
		reason = ReasonMidway
	case len(a.logIn.methods) > 0 && !slices.Contains(a.logIn.methods, "publickey"):
		reason = ReasonMethod
	}
	return a.authError(reason, err)
}

func (a *attempt) authError(reason Reason, err error) *AuthError {
	return &AuthError{
		User: a.way.user, Address: a.way.address, Reason: reason,
		Tried: a.logIn.tried(a.keys.offers), Skipped: a.keys.skipped, Methods: a.logIn.methods,
		Banner: a.logIn.banner, Said: a.logIn.said, Err: err,
	}
}

// disconnected begins how x/crypto tells that a server has disconnected, in a
// type that it keeps to itself. The server's own words follow, quoted.
const disconnected = "ssh: disconnect, reason "

// lastWords is what the server said when it disconnected, if it did.
func lastWords(err error) string {
	_, rest, ok := strings.Cut(err.Error(), disconnected)
	if !ok {
		return ""
	}
	number, quoted, _ := strings.Cut(rest, ": ")
	if said, err := strconv.Unquote(quoted); err == nil && said != "" {
		return said
	}
	return "reason " + number
}

// silent tells at which stage the server fell silent, unless it was relayctl
// that was stopped.
func (a *attempt) silent(ctx context.Context) error {
	err := unreachable(ctx, a.way, ctx.Err())
	var failure *UnreachableError
	if errors.As(err, &failure) {
		switch {
		case a.signing.Load():
			return a.authError(ReasonAgent, err)
		case a.check.passed:
			failure.Reason, failure.Heard = ReasonLogIn, a.logIn.said
		case a.conn.isForeign():
			failure.Reason, failure.Heard = ReasonNotSSH, a.conn.firstLine()
		case a.conn.firstLine() != "":
			failure.Reason = ReasonStuck
		default:
			failure.Reason = ReasonSilent
		}
	}
	return err
}

// authTries is after how many refused keys OpenSSH's server hangs up
// (MaxAuthTries); its last words may not arrive.
const authTries = 6

// unreachable names why nothing answered.
func unreachable(ctx context.Context, way route, err error) error {
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return fmt.Errorf("reach %s: %w", way.address, context.Cause(ctx))
	}
	failure := &UnreachableError{Address: way.address, Reason: ReasonLost, Err: err}
	var name *net.DNSError
	var timeout net.Error
	switch {
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		failure.Reason = ReasonTimeout
	case errors.As(err, &name):
		failure.Reason = ReasonName
	case errors.Is(err, syscall.ECONNREFUSED):
		failure.Reason = ReasonRefused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		failure.Reason = ReasonRoute
	}
	return failure
}

// watchedConn counts bytes, and notices when the other side breaks off or does
// not begin as an SSH server: the SSH library's errors don't tell these from a
// refused log-in.
type watchedConn struct {
	net.Conn
	counters *counters

	mu     sync.Mutex
	first  []byte // the beginning of what came
	broken error  // how the other side broke off
}

// sshVersion begins what an SSH server says first (RFC 4253, section 4.2).
const sshVersion = "SSH-"

// maxFirst is how much of what came first is kept, in bytes.
const maxFirst = 80

func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.counters.received.Add(int64(n))
	c.mu.Lock()
	c.first = append(c.first, p[:min(n, maxFirst-len(c.first))]...)
	c.mu.Unlock()
	c.note(err)
	return n, err
}

func (c *watchedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.counters.sent.Add(int64(n))
	c.note(err)
	return n, err
}

func (c *watchedConn) note(err error) {
	if err == nil || errors.Is(err, net.ErrClosed) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken == nil {
		c.broken = err
	}
}

// brokenBy is how the other side broke off; nil where it did not.
func (c *watchedConn) brokenBy() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broken
}

// firstLine is the beginning of the first line that came.
func (c *watchedConn) firstLine() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	line, _, _ := strings.Cut(string(c.first), "\n")
	return strings.TrimSpace(strings.ToValidUTF8(line, "?"))
}

// isForeign reports whether what came first was not an SSH server's.
func (c *watchedConn) isForeign() bool {
	line := c.firstLine()
	return !strings.HasPrefix(line, sshVersion[:min(len(line), len(sshVersion))])
}
