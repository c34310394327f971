package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

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
	file, err := openListing(ctx, path)
	if err != nil {
		return fmt.Errorf("list host key of %s in %s: %w", c.address, path, err)
	}
	defer file.Close()
	c.known = readKnownHosts(c.way.knownHosts, c.address)
	var unknown *HostKeyUnknownError
	if err := c.verifyListed(remote, shown); !errors.As(err, &unknown) {
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

// lockPause is between two tries to have a file that another relayctl holds,
// which it does for as long as it takes to add a line.
const lockPause = 20 * time.Millisecond

// openListing opens a known_hosts file to add to, through links, and holds it
// against every other relayctl until it is closed. What is no file keeps no
// line; only /dev/null, by which ssh's configuration says so, may be one.
func openListing(ctx context.Context, path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if _, err := readRegular(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err != syscall.EWOULDBLOCK && err != syscall.EINTR {
			return file, nil // a file system that knows no locks still appends line by line
		}
		if err := pause(ctx, lockPause); err != nil {
			file.Close()
			return nil, fmt.Errorf("wait for another program that holds it: %w", err)
		}
	}
}

// appendLine adds a line with one write, which other writers can't break into,
// or nothing.
func appendLine(file *os.File, line string) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	before, text := info.Size(), line+"\n"
	var last [1]byte
	if before > 0 {
		if _, err := file.ReadAt(last[:], before-1); err != nil {
			return err
		}
		if last[0] != '\n' {
			text = "\n" + text
		}
	}
	n, err := io.WriteString(file, text)
	if err == nil || n == 0 {
		return err
	}
	if info, unknown := file.Stat(); unknown == nil && info.Size() == before+int64(n) {
		err = errors.Join(err, file.Truncate(before)) // else ssh has written behind it
	}
	return err
}
