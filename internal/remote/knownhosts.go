package remote

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
)

// knownHosts is what files in known_hosts form say about one host. They are
// read as ssh reads them, which x/crypto's reader does not: there one line that
// can't be read stops all hosts, names count by case, a port is no pattern, and
// @revoked counts for every host and @cert-authority as a host's key.
type knownHosts struct {
	entries []knownHost
	skipped []string // "FILE:LINE: why" for lines that are about this host and can't be read
}

// knownHost is a line about the host.
type knownHost struct {
	file   string
	line   int
	marker string        // "" where it has none
	key    ssh.PublicKey // nil where the line can't be read
	bare   bool          // it names the host without its port, which counts where no line has the port
}

// The markers of known_hosts lines.
const (
	markerAuthority = "@cert-authority"
	markerRevoked   = "@revoked"
)

// readKnownHosts reads what files say about the host whose name is in
// known_hosts form: "edge" or "[edge]:2222", in lower case. A file that is not
// there says nothing; one that can't be read is as a line that can't be read.
func readKnownHosts(files []string, name string) *knownHosts {
	k := &knownHosts{}
	for _, file := range files {
		content, err := readRegular(file)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			k.skipped = append(k.skipped, err.Error())
		}
		number := 0
		for line := range bytes.Lines(content) {
			number++
			entry := readKnownHost(string(line), name)
			switch {
			case entry == nil:
			case entry.key == nil:
				k.skipped = append(k.skipped, fmt.Sprintf("%s:%d: it can't be read", file, number))
			default:
				entry.file, entry.line = file, number
				k.entries = append(k.entries, *entry)
			}
		}
	}
	return k
}

// readKnownHost reads a line. It is nil where the line says nothing about the
// host.
func readKnownHost(line, name string) *knownHost {
	line, _, _ = strings.Cut(line, "\x00") // where it ends for ssh, too
	words := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t\r\n", r) })
	entry := &knownHost{}
	markers := 0
	for ; len(words) > 0 && strings.HasPrefix(words[0], "@"); markers++ {
		entry.marker, words = words[0], words[1:]
	}
	if len(words) == 0 || strings.HasPrefix(words[0], "#") {
		return nil
	}
	if !matchesHost(words[0], name) {
		host, _, _ := strings.Cut(strings.TrimPrefix(name, "["), "]:")
		if entry.bare = host != name && matchesHost(words[0], host); !entry.bare {
			return nil
		}
	}
	if markers == 0 || markers == 1 && (entry.marker == markerAuthority || entry.marker == markerRevoked) {
		entry.key = readKnownKey(words[1:])
	}
	return entry
}

// readKnownKey reads a key's type and the key, of a line's last words; nil
// where they are none.
func readKnownKey(words []string) ssh.PublicKey {
	if len(words) < 2 {
		return nil
	}
	blob, err := base64.StdEncoding.Strict().DecodeString(words[1])
	if err != nil {
		return nil
	}
	key, err := ssh.ParsePublicKey(blob)
	if err != nil || !slices.Contains(signatures(key.Type()), words[0]) {
		return nil
	}
	return key
}

// signatures are the algorithms that a type of key signs by, the type's own name
// last; ssh knows a key by any of them.
func signatures(keyType string) []string {
	if keyType == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA}
	}
	return []string{keyType}
}

// matchesHost reports whether a line's first word, patterns or a hash, stands
// for a host.
func matchesHost(word, name string) bool {
	if rest, ok := strings.CutPrefix(word, "|1|"); ok {
		salt, hash, _ := strings.Cut(rest, "|")
		key, _ := base64.StdEncoding.Strict().DecodeString(salt)
		want, err := base64.StdEncoding.Strict().DecodeString(hash)
		mac := hmac.New(sha1.New, key)
		mac.Write([]byte(name))
		return err == nil && hmac.Equal(mac.Sum(nil), want)
	}
	matches := false
	for pattern := range strings.SplitSeq(strings.ToLower(word), ",") {
		pattern, negated := strings.CutPrefix(pattern, "!")
		if matchesPattern(pattern, name) {
			if negated {
				return false
			}
			matches = true
		}
	}
	return matches
}

// matchesPattern reports whether text is as pattern says, where "?" stands for
// any character and "*" for any text. It goes back to the last "*" only, so a
// pattern can't make it slow.
func matchesPattern(pattern, text string) bool {
	p, t, star, resume := 0, 0, -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p, t = p+1, t+1
		case star >= 0:
			resume++
			p, t = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// listed are the lines with a key or, by marker, an authority of the host.
// Lines that have its port overrule those without.
func (k *knownHosts) listed(marker string) []knownHost {
	lines := slices.DeleteFunc(slices.Clone(k.entries), func(entry knownHost) bool { return entry.marker != marker })
	isBare := func(entry knownHost) bool { return entry.bare }
	if exact := slices.DeleteFunc(slices.Clone(lines), isBare); len(exact) > 0 {
		return exact
	}
	return lines
}

// find is the line of a marker that has one of the keys; nil where none does.
func (k *knownHosts) find(marker string, keys ...ssh.PublicKey) *knownHost {
	for _, entry := range k.entries {
		if entry.marker == marker && slices.ContainsFunc(keys, func(key ssh.PublicKey) bool { return sameKey(key, entry.key) }) {
			return &entry
		}
	}
	return nil
}

// algorithms are the host-key algorithms to ask for first: those of
// certificates where an authority is listed, then of the listed keys.
func (k *knownHosts) algorithms() []string {
	var wanted []string
	if len(k.listed(markerAuthority)) > 0 {
		for _, algorithm := range preferredHostKeys {
			wanted = append(wanted, algorithm+"-cert-v01@openssh.com")
		}
	}
	for _, entry := range k.listed("") {
		wanted = append(wanted, signatures(entry.key.Type())...)
	}
	return wanted
}

// checkCertificate is nil where an authority that is listed for the host stands
// for its certificate.
func (k *knownHosts) checkCertificate(cert *ssh.Certificate, address string, remote net.Addr) error {
	checker := ssh.CertChecker{
		IsHostAuthority: func(authority ssh.PublicKey, _ string) bool {
			return k.find(markerAuthority, authority) != nil
		},
	}
	return checker.CheckHostKey(address, remote, cert)
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
