package remote

import (
	"context"
	"errors"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// preferredHostKeys is ssh's own order, so that a host is listed with the key
// that ssh will ask for as well.
var preferredHostKeys = []string{
	ssh.KeyAlgoED25519,
	ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
	ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256,
}

// certified ends the algorithms by which a certificate is shown.
const certified = "-cert-v01@openssh.com"

// hostKeyCheck decides whether the key that a host shows is its own, over one
// or, for a pin without a type, several handshakes.
type hostKeyCheck struct {
	dialer *Dialer
	way    route
	known  *knownHosts     // where a key is pinned, the lines that have it
	shown  []ssh.PublicKey // that were not the pinned one
	lacks  bool            // the host has no key of the types that were asked for last
	err    error           // why the last key was refused
	passed bool
}

// hostKeyCheck fails where no algorithm is left to ask for, which to x/crypto
// would mean all of them.
func (d *Dialer) hostKeyCheck(way route) (*hostKeyCheck, error) {
	c := &hostKeyCheck{dialer: d, way: way, known: readKnownHosts(way.knownHosts, way.listed, way.name)}
	if way.target.HostKey != "" {
		c.known.entries = slices.DeleteFunc(c.known.entries, func(entry knownHost) bool {
			return entry.marker != "" || !way.target.pins(entry.key)
		})
	}
	if len(c.algorithms()) == 0 {
		return nil, c.noAlgorithm()
	}
	return c, nil
}

// algorithms is what to ask the server for: what a pinned key's type signs by.
// Else first what known_hosts lists, or a server with several keys may show one
// that is not listed and look like another host; the others follow, so that a
// changed key is seen as such.
func (c *hostKeyCheck) algorithms() []string {
	allowed := c.way.hostKeyAlgorithms
	wanted := c.known.algorithms()
	if kind, _ := c.way.target.pin(); kind != "" {
		wanted = signatures(kind)
	} else if allowed != nil {
		wanted = append(wanted, slices.DeleteFunc(slices.Clone(allowed), isCertified)...)
	} else {
		wanted = append(wanted, preferredHostKeys...)
	}
	var asked []string
	for _, algorithm := range wanted {
		if c.mayAsk(algorithm) && !slices.Contains(asked, algorithm) {
			asked = append(asked, algorithm)
		}
	}
	return asked
}

func isCertified(algorithm string) bool { return strings.HasSuffix(algorithm, certified) }

// mayAsk is false for algorithms that are not known here, that ssh's
// configuration does not have, or that led to another key than the pinned one.
func (c *hostKeyCheck) mayAsk(algorithm string) bool {
	return slices.Contains(ssh.SupportedAlgorithms().HostKeys, algorithm) &&
		(c.way.hostKeyAlgorithms == nil || slices.Contains(c.way.hostKeyAlgorithms, algorithm)) &&
		!slices.ContainsFunc(c.shown, func(key ssh.PublicKey) bool { return slices.Contains(signatures(key.Type()), algorithm) })
}

// again reports whether the host may have the pinned key all the same, among
// those that it did not show yet.
func (c *hostKeyCheck) again() bool {
	return !c.lacks && len(c.algorithms()) > 0
}

// verify is the handshake's callback. The signature over the handshake has
// been checked by then. Where the connection leads does not matter, only which
// host was meant: behind a hop, that is nothing to go by.
func (c *hostKeyCheck) verify(ctx context.Context, key ssh.PublicKey) error {
	if c.way.target.HostKey != "" {
		c.err = c.verifyPin(key)
	} else if c.err = c.verifyListed(key); c.mayAccept() && errors.Is(c.err, HostKeyUnknown) {
		c.err = c.accept(ctx, key)
	}
	c.passed = c.err == nil
	return c.err
}

// mayAccept reports whether the key of a host that is not known may be taken.
func (c *hostKeyCheck) mayAccept() bool {
	return c.dialer.AcceptNewHostKeys && !c.way.target.KnownOnly
}

func (c *hostKeyCheck) verifyPin(key ssh.PublicKey) error {
	if c.way.target.pins(key) {
		return nil
	}
	c.shown = append(c.shown, key)
	return c.notPinned()
}

// verifyListed goes by what known_hosts says. A certificate that proves nothing
// stands for its key, as with ssh.
func (c *hostKeyCheck) verifyListed(shown ssh.PublicKey) error {
	key := withoutCertificate(shown)
	doubted, skipped := []ssh.PublicKey{key}, c.known.skipped
	cert, certified := shown.(*ssh.Certificate)
	if certified {
		doubted = append(doubted, cert.SignatureKey)
	}
	if at := c.known.find(markerRevoked, doubted...); at != nil {
		return c.revoked(key, at)
	}
	if certified {
		err := c.known.checkCertificate(cert, c.way.name)
		if err == nil {
			return nil
		}
		skipped = append(slices.Clone(skipped), "the host's certificate: "+err.Error())
	}
	listed := c.known.listed("")
	switch {
	case slices.ContainsFunc(listed, func(known knownHost) bool { return known.has(key) }):
		return nil
	case len(listed) == 0 || listed[0].bare: // as with ssh, such a line tells a key that is right, never one that is wrong
		return c.unknown(key, skipped)
	}
	return c.changed(key, listed, skipped)
}

// explain is why a handshake failed, where that was for the host's key; else
// nil.
func (c *hostKeyCheck) explain(err error) error {
	var none *ssh.AlgorithmNegotiationError
	switch {
	case c.err != nil:
		return c.err
	case c.passed || !errors.As(err, &none) || none.What != "host key":
		return nil
	case c.way.target.HostKey != "":
		c.lacks = true
		return c.notPinned(none.RequestedAlgorithms...)
	case c.way.hostKeyAlgorithms != nil:
		return c.notAllowed(none.RequestedAlgorithms)
	}
	return nil
}
