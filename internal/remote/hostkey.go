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
	if c.way.target.HostKey != "" {
		c.err = c.verifyPin(key)
	} else if c.err = c.verifyListed(remote, key); c.mayAccept() && errors.Is(c.err, HostKeyUnknown) {
		c.err = c.accept(ctx, remote, key)
	}
	c.passed = c.err == nil
	return c.err
}

// mayAccept reports whether the key of a host that is not known may be taken.
func (c *hostKeyCheck) mayAccept() bool {
	return c.dialer.AcceptNewHostKeys && !c.way.target.KnownOnly
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
	return c.fail(HostKeyPinned, fmt.Sprintf("pinned is %s, it shows %s", c.way.target.HostKey, strings.Join(c.shown, ", ")),
		"If the host was set up anew, change host_key in its ssh block.\nIf it was not, somebody may be standing in between.")
}

func (c *hostKeyCheck) fail(kind Kind, why, next string) error {
	return &Error{Kind: kind, What: fmt.Sprintf("verify host key of %s: %s", c.address, why), Next: next}
}

// verifyListed goes by what known_hosts says. A certificate that proves nothing
// stands for its key, as with ssh.
func (c *hostKeyCheck) verifyListed(remote net.Addr, shown ssh.PublicKey) error {
	key := withoutCertificate(shown)
	doubted, skipped := []ssh.PublicKey{key}, c.known.skipped
	cert, certified := shown.(*ssh.Certificate)
	if certified {
		doubted = append(doubted, cert.SignatureKey)
	}
	fingerprint := ssh.FingerprintSHA256(key)
	if at := c.known.find(markerRevoked, doubted...); at != nil {
		return c.fail(HostKeyRevoked, fmt.Sprintf("%s is marked as revoked at %s:%d", fingerprint, at.file, at.line), "")
	}
	if certified {
		err := c.known.checkCertificate(cert, strings.ToLower(c.way.listed), remote)
		if err == nil {
			return nil
		}
		skipped = append(slices.Clone(skipped), fmt.Sprintf("the host's certificate: %v", err))
	}
	listed := c.known.listed("")
	switch {
	case slices.ContainsFunc(listed, func(known knownHost) bool { return sameKey(known.key, key) }):
		return nil
	case len(listed) == 0 || listed[0].bare: // as with ssh, such a line tells a key that is right, never one that is wrong
		return c.unknown(key, skipped)
	}
	at := listed[max(0, slices.IndexFunc(listed, func(known knownHost) bool { return known.key.Type() == key.Type() }))]
	return c.fail(HostKeyChanged, fmt.Sprintf("it shows %s %s, %s:%d lists another", key.Type(), fingerprint, at.file, at.line),
		skippedLines(skipped)+fmt.Sprintf("If the host was set up anew, forget the old key and try again:\n  ssh-keygen -f '%s' -R '%s'\n"+
			"If it was not, somebody may be standing in between.", at.file, c.address))
}

func (c *hostKeyCheck) unknown(key ssh.PublicKey, skipped []string) error {
	fingerprint, kind := ssh.FingerprintSHA256(key), "ed25519" // as in /etc/ssh/ssh_host_*_key
	for _, other := range []string{"ecdsa", "rsa"} {
		if strings.Contains(key.Type(), other) {
			kind = other
		}
	}
	next := skippedLines(skipped) + fmt.Sprintf("On the host, ssh-keygen -lf /etc/ssh/ssh_host_%s_key.pub prints its fingerprint.\n"+
		"If that is %s, put host_key = %q into the host's ssh block", kind, fingerprint, fingerprint)
	if file := c.listing(); file != "" {
		next += fmt.Sprintf(", or have it written to %s: relayctl plan --accept-new-host-keys", file)
	}
	return c.fail(HostKeyUnknown, fmt.Sprintf("%s %s is not known", key.Type(), fingerprint), next)
}

// maxSkipped bounds how many lines that were not read are told of.
const maxSkipped = 5

// skippedLines tells what of known_hosts was not read.
func skippedLines(skipped []string) string {
	var b strings.Builder
	for _, one := range skipped[:min(len(skipped), maxSkipped)] {
		fmt.Fprintf(&b, "skipped  %s\n", one)
	}
	return b.String()
}

// NewHostKey is a host key that was taken on trust and listed in File.
type NewHostKey struct {
	Host        string // the target's name
	Address     string // in known_hosts form
	KeyType     string
	Fingerprint string
	File        string
}

// accept lists the key of a host that is not known in the first known_hosts
// file, under the name that was dialled and never under the IP address it
// happens to have today. While it holds the file it asks once more whether the
// host is known: another relayctl may have met it.
func (c *hostKeyCheck) accept(ctx context.Context, remote net.Addr, shown ssh.PublicKey) error {
	key, path := withoutCertificate(shown), c.listing()
	if path == "" {
		return fmt.Errorf("list host key of %s: there is no known_hosts file to write to", c.address)
	}
	file, err := openKnownHosts(ctx, path)
	if err != nil {
		return fmt.Errorf("list host key of %s in %s: %w", c.address, path, err)
	}
	defer file.Close()
	c.known = readKnownHosts(c.way.knownHosts, c.address)
	if err := c.verifyListed(remote, shown); !errors.Is(err, HostKeyUnknown) {
		return err
	}
	name := c.address
	if c.way.hashKnownHosts {
		name = knownhosts.HashHostname(c.address)
	}
	if err := appendLine(file, name+" "+strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))); err != nil {
		return fmt.Errorf("list host key of %s in %s: %w", c.address, path, err)
	}
	if tell := c.dialer.OnNewHostKey; tell != nil {
		tell(NewHostKey{Host: c.way.target.Name, Address: c.address, KeyType: key.Type(), Fingerprint: ssh.FingerprintSHA256(key), File: path})
	}
	return nil
}

// listing is the file that new keys go to; "" where there is none.
func (c *hostKeyCheck) listing() string {
	if len(c.way.knownHosts) == 0 {
		return ""
	}
	return c.way.knownHosts[0]
}
