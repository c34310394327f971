package remote

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

// NewHostKey is a host key that was taken on trust and listed in File.
type NewHostKey struct {
	Host        string // the target's name
	Address     string // in known_hosts form
	KeyType     string
	Fingerprint string
	File        string
}

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
	db      *knownhosts.HostKeyDB
	shown   []string // fingerprints that were not the pinned one
	refused []string // their algorithms, not to be asked for again
	err     error    // why the last key was refused
	passed  bool
}

func (d *Dialer) hostKeyCheck(way route) (*hostKeyCheck, error) {
	var files []string
	for _, file := range way.knownHosts {
		if _, err := os.Stat(file); err == nil {
			files = append(files, file)
		} else if !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("read known hosts: %w", err)
		}
	}
	db, err := knownhosts.NewDB(files...)
	if err != nil {
		return nil, fmt.Errorf("read known hosts: %w", err)
	}
	return &hostKeyCheck{dialer: d, way: way, db: db}, nil
}

// algorithms is what to ask the server for: first what known_hosts lists,
// else a server with several keys may show one that is not listed and look
// like another host. The others follow, so that a changed key is seen as such.
func (c *hostKeyCheck) algorithms() []string {
	supported := ssh.SupportedAlgorithms().HostKeys
	var wanted []string
	for _, algorithm := range append(c.db.HostKeyAlgorithms(c.way.listed), preferredHostKeys...) {
		if slices.Contains(supported, algorithm) && !slices.Contains(wanted, algorithm) && !slices.Contains(c.refused, algorithm) {
			wanted = append(wanted, algorithm)
		}
	}
	return wanted
}

// verify is the handshake's callback. The signature over the handshake has
// been checked by then.
func (c *hostKeyCheck) verify(_ string, remote net.Addr, key ssh.PublicKey) error {
	if c.way.target.HostKey != "" {
		c.err = c.verifyPin(key)
	} else {
		c.err = c.verifyListed(remote, key)
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
	c.refused = append(c.refused, key.Type())
	if key.Type() == ssh.KeyAlgoRSA {
		c.refused = append(c.refused, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
	}
	return c.pinError()
}

func (c *hostKeyCheck) pinError() error {
	return &HostKeyPinError{
		Address: knownhosts.Normalize(c.way.listed),
		Pinned:  c.way.target.HostKey,
		Shown:   slices.Clone(c.shown),
	}
}

func (c *hostKeyCheck) verifyListed(remote net.Addr, key ssh.PublicKey) error {
	err := c.db.HostKeyCallback()(c.way.listed, remote, key)
	address, shown := knownhosts.Normalize(c.way.listed), ssh.FingerprintSHA256(key)
	var revoked *xknownhosts.RevokedError
	var unlike *xknownhosts.KeyError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &revoked):
		return &HostKeyRevokedError{Address: address, Fingerprint: shown, File: revoked.Revoked.Filename, Line: revoked.Revoked.Line}
	case !errors.As(err, &unlike):
		return fmt.Errorf("verify host key of %s: %w", address, err)
	case len(unlike.Want) > 0:
		at := nearest(unlike.Want, key.Type())
		return &HostKeyChangedError{Address: address, KeyType: key.Type(), Fingerprint: shown, File: at.Filename, Line: at.Line}
	case !c.dialer.AcceptNewHostKeys:
		return &HostKeyUnknownError{Address: address, KeyType: key.Type(), Fingerprint: shown}
	}
	return c.accept(address, key)
}

// nearest is the listed key of the same type, else the first.
func nearest(listed []xknownhosts.KnownKey, keyType string) xknownhosts.KnownKey {
	for _, known := range listed {
		if known.Key.Type() == keyType {
			return known
		}
	}
	return listed[0]
}

// accept lists the key in the first known_hosts file, under the name that was
// dialled and never under the IP address it happens to have today.
func (c *hostKeyCheck) accept(address string, key ssh.PublicKey) error {
	if len(c.way.knownHosts) == 0 {
		return fmt.Errorf("list host key of %s: there is no known_hosts file to write to", address)
	}
	file := c.way.knownHosts[0]
	name := address
	if c.way.hashKnownHosts {
		name = xknownhosts.HashHostname(address)
	}
	line := fmt.Sprintf("%s %s", name, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))))
	c.dialer.knownHosts.Lock()
	err := appendLine(file, line)
	c.dialer.knownHosts.Unlock()
	if err != nil {
		return fmt.Errorf("list host key of %s: %w", address, err)
	}
	if tell := c.dialer.OnNewHostKey; tell != nil {
		tell(NewHostKey{Host: c.way.target.Name, Address: address, KeyType: key.Type(), Fingerprint: ssh.FingerprintSHA256(key), File: file})
	}
	return nil
}

// appendLine adds a line with one write, which other writers can't break into.
func appendLine(path, line string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	text := line + "\n"
	if !endsLine(file) {
		text = "\n" + text
	}
	_, err = io.WriteString(file, text)
	return errors.Join(err, file.Close())
}

// endsLine reports whether what is appended to file begins a line.
func endsLine(file *os.File) bool {
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return err == nil
	}
	var last [1]byte
	_, err = file.ReadAt(last[:], info.Size()-1)
	return err == nil && last[0] == '\n'
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
