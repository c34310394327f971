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
	"syscall"

	"golang.org/x/crypto/ssh"
)

// maxConnections is how many connections a host may see from one Dial while
// its key is looked for, or the operator is asked: ufw limit and sshd's
// PerSourcePenalties shut out who makes more.
const maxConnections = 3

// open opens the connection and logs in. A pin may not tell its key's type, so
// while the host shows other types, it is asked again for what is left; and who
// was waited for too long may have answered by then.
func (d *Dialer) open(ctx context.Context, way route, via *hop, check *hostKeyCheck) (*sshMachine, error) {
	ctx, patience, cancel := withPatience(ctx, way.timeout)
	defer cancel()
	for try := 1; ; try++ {
		a := &attempt{dialer: d, way: way, via: via, check: check, patience: patience}
		machine, err := a.handshake(ctx)
		again := errors.Is(err, HostKeyPinned) && check.again() || err != nil && a.logIn.late && a.logIn.unanswered == nil
		if !again || try == maxConnections {
			return machine, err
		}
	}
}

// attempt is one connection that is being made.
type attempt struct {
	dialer   *Dialer
	way      route
	via      *hop // nil: none
	check    *hostKeyCheck
	patience *patience
	keys     *credentials
	conn     *watchedConn
	logIn    logIn
}

// handshake dials and logs in, all of it until ctx ends.
func (a *attempt) handshake(ctx context.Context) (*sshMachine, error) {
	raw, err := a.dial(ctx)
	if err != nil {
		return nil, err
	}
	a.conn = &watchedConn{Conn: raw}
	if a.keys, err = a.credentials(ctx); err != nil {
		a.conn.Close()
		return nil, err
	}
	defer a.keys.close()
	a.check.err, a.check.passed = nil, false
	stop := context.AfterFunc(ctx, func() {
		a.conn.Close()
		a.keys.close()
		if a.via != nil && !ranOut(ctx) { // what runs through a hop that is silent can't be closed
			a.via.machine.client.Close()
		}
	})
	transport, channels, requests, err := ssh.NewClientConn(a.conn, a.way.address, a.config(ctx))
	if !stop() && err == nil { // ctx ended at the last moment, and closed the connection
		transport.Close()
		err = ctx.Err()
	}
	if err != nil {
		a.conn.Close()
		return nil, a.explain(ctx, err)
	}
	return newSSHMachine(a, ssh.NewClient(transport, channels, requests)), nil
}

// dial makes the connection under SSH.
func (a *attempt) dial(ctx context.Context) (net.Conn, error) {
	if a.via != nil {
		return a.via.dial(ctx, a.way)
	}
	if a.way.command != "" {
		return startCommand(a.way)
	}
	conn, err := a.dialer.dialTCP(ctx, a.way)
	if err != nil {
		return nil, unreachable(ctx, a.way, err)
	}
	return conn, nil
}

// dialTCP connects without any host in between.
func (d *Dialer) dialTCP(ctx context.Context, way route) (net.Conn, error) {
	if d.Connect != nil {
		return d.Connect(ctx, way.network, way.address)
	}
	var dialer net.Dialer
	if way.bind != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(way.bind)}
	}
	return dialer.DialContext(ctx, way.network, way.address)
}

func (a *attempt) config(ctx context.Context) *ssh.ClientConfig {
	return &ssh.ClientConfig{
		User:              a.way.user,
		HostKeyAlgorithms: a.check.algorithms(),
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			return a.check.verify(ctx, key)
		},
		AuthCallback: func(c *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
			if _, broken := a.conn.seen(); ctx.Err() != nil || broken != nil {
				return nil, cmp.Or(ctx.Err(), broken)
			}
			return a.next(ctx, c)
		},
		BannerCallback: func(message string) error {
			a.logIn.hear(message)
			return nil
		},
	}
}

// sshVersion begins what an SSH server says first (RFC 4253, section 4.2).
const sshVersion = "SSH-"

// explain turns a failed handshake into what failed: the way to the host, its
// key, or the log-in.
func (a *attempt) explain(ctx context.Context, err error) error {
	err = cmp.Or(ctx.Err(), err)
	untrusted := a.check.explain(err)
	switch {
	case untrusted != nil:
		return untrusted
	case ctx.Err() != nil && !ranOut(ctx):
		return unreachable(ctx, a.way, err)
	case a.via != nil && a.via.isGone():
		return a.via.machine.loss(err)
	case ctx.Err() != nil && a.logIn.offered > 0 && a.keys.offers[a.logIn.offered-1].failed != nil: // the end of ctx ends what the agent is asked
		return a.authError(ReasonAgent, err)
	case ctx.Err() == nil && a.check.passed:
		return a.refused(err)
	}
	failure := &UnreachableError{Address: a.way.address, Reason: ReasonOther, Heard: a.logIn.said, Err: err}
	first, broken := a.conn.seen()
	switch command, ok := a.conn.Conn.(*commandConn); {
	case ok && first == "":
		failure.Reason, failure.Heard = ReasonCommand, sentence(command.said.String())
	case !strings.HasPrefix(first, sshVersion[:min(len(first), len(sshVersion))]):
		failure.Reason, failure.Heard = ReasonNotSSH, first
	case ctx.Err() != nil && first == "":
		failure.Reason = ReasonSilent
	case ctx.Err() != nil:
		failure.Reason = ReasonStuck
	case broken != nil:
		failure.Reason = ReasonLost
	}
	return failure
}

// refused is how the log-in failed. A server that hangs up before it has
// decided about a key may have died: that decides nothing.
func (a *attempt) refused(err error) error {
	_, broken := a.conn.seen()
	hungUp := broken != nil && a.logIn.offered < authTries
	if a.logIn.unanswered != nil && len(a.logIn.interactive) > 0 { // for want of a key that is taken
		a.keys.skip("password: %v", a.logIn.unanswered)
	}
	if last := lastWords(err); last != "" {
		a.logIn.hear(last)
		hungUp = hungUp && a.logIn.offered == 0
	}
	switch {
	case a.logIn.late && a.logIn.unanswered == nil:
		return &UnreachableError{Address: a.way.address, Reason: ReasonLost, Err: err}
	case a.logIn.unanswered != nil && (len(a.logIn.interactive) == 0 || a.logIn.offered == 0):
		return a.authError(ReasonUnanswered, err)
	case a.logIn.taken:
		return a.authError(ReasonMore, err)
	case a.logIn.asked && a.logIn.unanswered == nil && !hungUp:
		a.logIn.forget()
		return a.authError(ReasonAnswer, err)
	case slices.ContainsFunc(a.keys.offers, (*offer).isKnown):
		return a.authError(ReasonAccount, err)
	case hungUp:
		return &UnreachableError{Address: a.way.address, Reason: ReasonLost, Heard: a.logIn.said, Err: err}
	case !a.logIn.takes("publickey"):
		return a.authError(ReasonMethod, err)
	}
	return a.authError(ReasonKeys, err)
}

func (a *attempt) authError(reason Reason, err error) *AuthError {
	return &AuthError{
		User: a.way.user, Address: a.way.address, Reason: reason,
		Tried: a.logIn.tried(a.keys.offers), Skipped: a.keys.skipped, Methods: a.logIn.methods, Unanswered: a.logIn.unanswered,
		Banner: a.logIn.banner, Said: a.logIn.said, Hop: a.way.isHop, Err: err,
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

// unreachable names why nothing answered.
func unreachable(ctx context.Context, way route, err error) error {
	if ctx.Err() != nil && !ranOut(ctx) {
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
