package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

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
	conn := &watchedConn{Conn: raw, counters: counters}
	keys, err := way.credentials(ctx)
	if err != nil {
		conn.Close()
		return nil, err
	}
	defer keys.close()

	var banner string
	config := &ssh.ClientConfig{
		User:              way.user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(keys.signers...)},
		HostKeyAlgorithms: check.algorithms(),
		HostKeyCallback:   check.verify,
		BannerCallback:    func(message string) error { banner = message; return nil },
	}
	check.err, check.passed = nil, false
	stop := context.AfterFunc(ctx, func() {
		conn.Close()
		keys.close()
	})
	transport, channels, requests, err := ssh.NewClientConn(conn, way.address, config)
	if !stop() && err == nil { // ctx ended at the last moment, and closed conn
		transport.Close()
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, explain(ctx, way, check, keys, conn, banner, err)
	}
	return ssh.NewClient(transport, channels, requests), nil
}

// explain turns a failed handshake into what failed: the way to the host, its
// key, or the log-in.
func explain(ctx context.Context, way route, check *hostKeyCheck, keys *credentials, conn *watchedConn, banner string, err error) error {
	switch {
	case ctx.Err() != nil:
		return unreachable(ctx, way, ctx.Err())
	case check.err != nil:
		return check.err
	case !check.passed && len(check.shown) > 0: // it has no key of the types that were left to ask for
		check.refused = append(check.refused, check.algorithms()...)
		return check.pinError()
	case check.passed && (!conn.broken.Load() || len(keys.tried) >= authTries):
		return &AuthError{User: way.user, Address: way.address, Tried: keys.tried, Skipped: keys.skipped, Banner: banner, Err: err}
	case conn.broken.Load() && !conn.foreign.Load():
		return &UnreachableError{Address: way.address, Reason: ReasonLost, Err: err}
	}
	return &UnreachableError{Address: way.address, Reason: ReasonNotSSH, Err: err}
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

// keepAlive sends ping at every tick and gives up when misses of them in a row
// had no answer at the next tick. It returns nil when ctx ends.
func keepAlive(ctx context.Context, every time.Duration, misses int, ping func() error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	answers := make(chan error, 1) // one ping is out at a time
	waiting, missed := false, 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-answers:
			if err != nil {
				return err
			}
			waiting, missed = false, 0
		case <-tick.C:
			if !waiting {
				waiting = true
				go func() { answers <- ping() }()
				continue
			}
			if missed++; missed == misses {
				return fmt.Errorf("no sign of life for %v: %w", time.Duration(misses)*every, os.ErrDeadlineExceeded)
			}
		}
	}
}
