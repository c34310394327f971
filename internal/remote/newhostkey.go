package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
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
	Address     string // as known_hosts has it
	KeyType     string
	Fingerprint string
	File        string
}

// String says which key it is and where it stands now.
func (k NewHostKey) String() string {
	if k.File == os.DevNull {
		return fmt.Sprintf("%s %s of %s, kept nowhere: ssh's configuration has new keys go to %s", k.KeyType, k.Fingerprint, k.Address, k.File)
	}
	return fmt.Sprintf("%s %s of %s, added to %s", k.KeyType, k.Fingerprint, k.Address, k.File)
}

// accept lists the key of a host that is not known, under the name that was
// dialled and never under the IP address it happens to have today. While it
// holds the file it asks once more whether the host is known: another relayctl
// may have met it.
func (c *hostKeyCheck) accept(ctx context.Context, shown ssh.PublicKey) error {
	key, path := withoutCertificate(shown), c.way.newHostKeys
	if path == "" {
		return c.notListed(key, errors.New("ssh's configuration names no file for it (UserKnownHostsFile none)"))
	}
	file, err := openKnownHosts(ctx, path)
	if err != nil {
		return c.notListed(key, err)
	}
	defer file.Close()
	c.known = readKnownHosts(c.way.knownHosts, c.way.listed, c.way.name)
	if err := c.verifyListed(shown); !errors.Is(err, HostKeyUnknown) {
		return err
	}
	name := c.way.listed
	if c.way.hashKnownHosts {
		name = knownhosts.HashHostname(name)
	}
	if err := appendLine(file, name+" "+strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))); err != nil {
		return c.notListed(key, err)
	}
	if tell := c.dialer.OnNewHostKey; tell != nil {
		tell(NewHostKey{Host: c.way.target.Name, Address: c.way.listed, KeyType: key.Type(), Fingerprint: ssh.FingerprintSHA256(key), File: path})
	}
	return nil
}

// lockPause is between two tries to have a file that another relayctl holds,
// which it does for as long as it takes to add a line.
const lockPause = 20 * time.Millisecond

// openKnownHosts opens a known_hosts file to add to, through links, and holds it
// against every other relayctl until it is closed. What is no file keeps no
// line; only /dev/null, by which ssh's configuration says so, may be one.
func openKnownHosts(ctx context.Context, path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if _, err := readRegular(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if to, _ := os.Readlink(path); to != "" && errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("it is a link to %s, whose folder does not exist", to)
	}
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
	before, err := readRegular(file.Name())
	if err != nil {
		return err
	}
	text := line + "\n"
	if len(before) > 0 && !bytes.HasSuffix(before, []byte("\n")) {
		text = "\n" + text
	}
	n, err := io.WriteString(file, text)
	if err == nil || n == 0 {
		return err
	}
	if info, unknown := file.Stat(); unknown == nil && info.Size() == int64(len(before)+n) {
		err = errors.Join(err, file.Truncate(int64(len(before)))) // else ssh has written behind it
	}
	return err
}
