package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"

	"golang.org/x/crypto/ssh"
)

// connect opens the connection and logs in. A pin doesn't tell its key's type,
// so while the host shows other types, it is asked again for what is left.
func (d *Dialer) connect(ctx context.Context, way route) (*Host, error) {
	check, err := d.hostKeyCheck(way)
	if err != nil {
		return nil, err
	}
	counters := &counters{}
	for {
		client, err := d.handshake(ctx, way, check, counters)
		if err == nil {
			return newSSHHost(d, way, client, counters), nil
		}
		var pin *HostKeyPinError
		if !errors.As(err, &pin) || len(check.algorithms()) == 0 {
			return nil, err
		}
	}
}

// attempt is one connection that is being made.
type attempt struct {
	way    route
	check  *hostKeyCheck
	keys   *credentials
	conn   *watchedConn
	banner string // what the server said before the log-in
}

// handshake dials and logs in, all of it under the one deadline of ctx.
func (d *Dialer) handshake(ctx context.Context, way route, check *hostKeyCheck, counters *counters) (*ssh.Client, error) {
	connect := d.Connect
	if connect == nil {
		connect = (&net.Dialer{}).DialContext
	}
	raw, err := connect(ctx, "tcp", way.address)
	if err != nil {
		return nil, unreachable(ctx, way, err)
	}
	counters.connections.Add(1)
	a := &attempt{way: way, check: check, conn: &watchedConn{Conn: raw, counters: counters}}
	if a.keys, err = way.credentials(ctx); err != nil {
		a.conn.Close()
		return nil, err
	}
	defer a.keys.close()
	check.err, check.passed = nil, false
	stop := context.AfterFunc(ctx, func() {
		a.conn.Close()
		a.keys.close()
	})
	transport, channels, requests, err := ssh.NewClientConn(a.conn, way.address, a.config())
	if !stop() && err == nil { // ctx ended at the last moment, and closed the connection
		transport.Close()
		err = ctx.Err()
	}
	if err != nil {
		a.conn.Close()
		return nil, a.explain(ctx, err)
	}
	return ssh.NewClient(transport, channels, requests), nil
}

func (a *attempt) config() *ssh.ClientConfig {
	return &ssh.ClientConfig{
		User:              a.way.user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(a.keys.signers...)},
		HostKeyAlgorithms: a.check.algorithms(),
		HostKeyCallback:   a.check.verify,
		BannerCallback: func(message string) error {
			a.banner = message
			return nil
		},
	}
}

// explain turns a failed handshake into what failed: the way to the host, its
// key, or the log-in.
func (a *attempt) explain(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return unreachable(ctx, a.way, ctx.Err())
	case a.check.err != nil:
		return a.check.err
	case !a.check.passed && len(a.check.shown) > 0: // it has no key of the types that were left to ask for
		a.check.refused = append(a.check.refused, a.check.algorithms()...)
		return a.check.pinError()
	case a.check.passed && (!a.conn.broken.Load() || len(a.keys.tried) >= authTries):
		return &AuthError{
			User: a.way.user, Address: a.way.address,
			Tried: a.keys.tried, Skipped: a.keys.skipped, Banner: a.banner, Err: err,
		}
	case a.conn.broken.Load() && !a.conn.foreign.Load():
		return &UnreachableError{Address: a.way.address, Reason: ReasonLost, Err: err}
	}
	return &UnreachableError{Address: a.way.address, Reason: ReasonNotSSH, Err: err}
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
	broken   atomic.Bool
	foreign  atomic.Bool
	heard    int // of sshVersion; used by the one reader only
}

// sshVersion begins what an SSH server says first (RFC 4253, section 4.2).
const sshVersion = "SSH-"

func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.counters.received.Add(int64(n))
	for i := 0; i < n && c.heard < len(sshVersion); i++ {
		if p[i] != sshVersion[c.heard] {
			c.foreign.Store(true)
		}
		c.heard++
	}
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
	if err != nil && !errors.Is(err, net.ErrClosed) {
		c.broken.Store(true)
	}
}
