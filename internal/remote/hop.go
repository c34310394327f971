package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"golang.org/x/crypto/ssh"
)

// hops are the connections to hosts that ways lead through. All ways that lead
// through the same host share the one connection to it, which ends with the
// last of them. Where there is none to be had, that is settled for all of them,
// too: whoever comes later is told the same.
type hops struct {
	mu   sync.Mutex
	open map[string]*hop
}

// hop is a connection to a host that ways lead through.
type hop struct {
	all     *hops
	key     string
	machine *sshMachine   // once ready
	err     error         // why there is no machine
	ready   chan struct{} // closed when one of both is there
	users   int
}

// take is the connection to a hop, by what tells it from every other one. Where
// there is none, or it is lost, open makes it: then made is true.
func (h *hops) take(ctx context.Context, key string, open func() (*sshMachine, error)) (taken *hop, made bool, err error) {
	h.mu.Lock()
	taken = h.open[key]
	if taken == nil || taken.isLost() {
		taken, made = &hop{all: h, key: key, ready: make(chan struct{})}, true
		if h.open == nil {
			h.open = map[string]*hop{}
		}
		h.open[key] = taken
	}
	taken.users++
	h.mu.Unlock()
	if made {
		taken.machine, taken.err = open()
		close(taken.ready)
		if ctx.Err() != nil { // which settles nothing for others
			h.mu.Lock()
			h.forget(taken)
			h.mu.Unlock()
		}
	}
	if err = taken.wait(ctx, made); err != nil {
		taken.release()
		return nil, false, err
	}
	return taken, made, nil
}

// forget has whoever comes later make a connection of its own. mu is held.
func (h *hops) forget(one *hop) {
	if h.open[one.key] == one {
		delete(h.open, one.key)
	}
}

// wayTo tells a hop from every other one: an address means another host behind
// each. Without a hop it is "".
func (h *hop) wayTo() string {
	if h == nil {
		return ""
	}
	return h.key
}

// wait waits until the connection is made; who has made it waits no more.
func (h *hop) wait(ctx context.Context, made bool) error {
	if !made {
		select {
		case <-h.ready:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return h.err
}

// isLost reports whether there was a machine, and is no more.
func (h *hop) isLost() bool {
	select {
	case <-h.ready:
		return h.machine != nil && h.machine.lost.Err() != nil
	default:
		return false
	}
}

// release ends the connection when nobody else uses it. Releasing no hop is
// nothing.
func (h *hop) release() {
	if h == nil {
		return
	}
	h.all.mu.Lock()
	h.users--
	last := h.users == 0 && h.machine != nil // who makes it is one of the users
	if last {
		h.all.forget(h)
	}
	h.all.mu.Unlock()
	if last {
		h.machine.close() // its end was told to those who used it
	}
}

// through is the way to the last of some hops that lead to t; nil for none.
func (d *Dialer) through(ctx context.Context, t Target, ways []route) (via *hop, err error) {
	key := ""
	for _, way := range ways {
		key += way.key()
		next, made, err := d.hops.take(ctx, key, func() (*sshMachine, error) { return d.openPatiently(ctx, t, way, via) })
		if !made {
			via.release() // the hop behind it has its own share in it, or there is none
		}
		if err != nil {
			return nil, fmt.Errorf("go through %s: %w", way.target.Name, err)
		}
		via = next
	}
	return via, nil
}

// dial has the hop connect to an address, by whatever names it knows.
func (h *hop) dial(ctx context.Context, way route) (net.Conn, error) {
	conn, err := h.machine.client.DialContext(ctx, "tcp", way.address)
	var refused *ssh.OpenChannelError
	switch {
	case err == nil:
		h.machine.used.Store(true)
		return conn, nil
	case ctx.Err() != nil:
		return nil, unreachable(ctx, way, err)
	case !errors.As(err, &refused):
		return nil, h.machine.loss(unreachable(ctx, way, err))
	case refused.Reason == ssh.ConnectionFailed:
		return nil, &UnreachableError{Address: way.address, Reason: ReasonBehind, Heard: refused.Message, Err: err}
	}
	return nil, &Error{Kind: NoForwarding, What: fmt.Sprintf("reach %s: %s lets no connection through: %s", way.address, h.machine.address, refused.Message), Err: err,
		Next: fmt.Sprintf("Let the sshd of %s forward it, AllowTcpForwarding and PermitOpen, and the key too, whose line in "+
			"authorized_keys may say restrict or permitopen.", h.machine.address)}
}
