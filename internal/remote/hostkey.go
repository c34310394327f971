package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// preferredHostKeys is ssh's own order, so that a host is listed with the key
// that ssh will ask for as well.
var preferredHostKeys = []string{
	ssh.KeyAlgoED25519,
	ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
	ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256,
}

// certificateAlgorithms are those of host certificates, in ssh's order.
var certificateAlgorithms = []string{
	ssh.CertAlgoED25519v01,
	ssh.CertAlgoECDSA256v01, ssh.CertAlgoECDSA384v01, ssh.CertAlgoECDSA521v01,
	ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01,
}

// hostKeyCheck decides whether the key that a host shows is its own, over one
// or, for a pin, several handshakes.
type hostKeyCheck struct {
	dialer  *Dialer
	way     route
	address string      // in known_hosts form, as ssh writes it
	known   *knownHosts // empty for a pin, which replaces them
	shown   []string    // fingerprints that were not the pinned one
	refused []string    // their algorithms, not to be asked for again
	err     error       // why the last key was refused
	passed  bool
}

func (d *Dialer) hostKeyCheck(way route) *hostKeyCheck {
	c := &hostKeyCheck{dialer: d, way: way, address: strings.ToLower(knownhosts.Normalize(way.listed)), known: &knownHosts{}}
	if way.target.HostKey == "" {
		c.known = readKnownHosts(way.knownHosts, c.address)
	}
	return c
}

// algorithms is what to ask the server for: first what known_hosts lists,
// else a server with several keys may show one that is not listed and look
// like another host. The others follow, so that a changed key is seen as such.
func (c *hostKeyCheck) algorithms() []string {
	supported := ssh.SupportedAlgorithms().HostKeys
	var wanted []string
	for _, algorithm := range append(c.known.algorithms(), preferredHostKeys...) {
		if slices.Contains(supported, algorithm) && !slices.Contains(wanted, algorithm) && !slices.Contains(c.refused, algorithm) {
			wanted = append(wanted, algorithm)
		}
	}
	return wanted
}

// verify is the handshake's callback. The signature over the handshake has
// been checked by then.
func (c *hostKeyCheck) verify(ctx context.Context, remote net.Addr, key ssh.PublicKey) error {
	var unknown *HostKeyUnknownError
	if c.way.target.HostKey != "" {
		c.err = c.verifyPin(key)
	} else if c.err = c.verifyListed(remote, key); c.dialer.AcceptNewHostKeys && errors.As(c.err, &unknown) {
		c.err = c.accept(ctx, remote, key)
	}
	c.passed = c.err == nil
	return c.err
}

func (c *hostKeyCheck) verifyPin(key ssh.PublicKey) error {
	shown := ssh.FingerprintSHA256(key)
	if shown == c.way.target.HostKey {
		return nil
	}
	c.shown = append(c.shown, shown)
	c.refused = append(c.refused, signatures(key.Type())...)
	return c.pinError()
}

func (c *hostKeyCheck) pinError() error {
	return &HostKeyPinError{
		Address: c.address,
		Pinned:  c.way.target.HostKey,
		Shown:   slices.Clone(c.shown),
	}
}

// verifyListed goes by what known_hosts says. A certificate that proves nothing
// stands for its key, as with ssh.
func (c *hostKeyCheck) verifyListed(remote net.Addr, shown ssh.PublicKey) error {
	key, skipped := withoutCertificate(shown), c.known.skipped
	doubted := []ssh.PublicKey{key}
	cert, certified := shown.(*ssh.Certificate)
	if certified {
		doubted = append(doubted, cert.SignatureKey)
	}
	fingerprint := ssh.FingerprintSHA256(key)
	if at := c.known.find(markerRevoked, doubted...); at != nil {
		return &HostKeyRevokedError{Address: c.address, Fingerprint: fingerprint, File: at.file, Line: at.line}
	}
	if certified {
		err := c.known.checkCertificate(cert, strings.ToLower(c.way.listed), remote)
		if err == nil {
			return nil
		}
		skipped = append(slices.Clone(skipped), fmt.Sprintf("the host's certificate: %v", err))
	}
	if slices.ContainsFunc(c.known.listed(""), func(known knownHost) bool { return sameKey(known.key, key) }) {
		return nil
	}
	if against := c.known.changed(); len(against) > 0 {
		at := nearest(against, key.Type())
		return &HostKeyChangedError{Address: c.address, KeyType: key.Type(), Fingerprint: fingerprint, File: at.file, Line: at.line, Skipped: skipped}
	}
	return &HostKeyUnknownError{Address: c.address, KeyType: key.Type(), Fingerprint: fingerprint, Listing: c.listing(), Skipped: skipped}
}

// nearest is the listed key of the same type, else the first.
func nearest(listed []knownHost, keyType string) knownHost {
	for _, known := range listed {
		if known.key.Type() == keyType {
			return known
		}
	}
	return listed[0]
}

// keyFileWord is the part of /etc/ssh/ssh_host_*_key that stands for a type.
func keyFileWord(keyType string) string {
	switch keyType {
	case ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521:
		return "ecdsa"
	case ssh.KeyAlgoRSA:
		return "rsa"
	}
	return "ed25519"
}
