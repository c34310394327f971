package remote

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// knownHosts is what files in known_hosts form say about one host. They are
// read as ssh reads them, which x/crypto's reader does not: there one line that
// can't be read stops all hosts, names count by case, a trailing "*" wants a
// character, @revoked counts for every host and @cert-authority as a host's key.
type knownHosts struct {
	entries []knownHost
	skipped []string // "FILE:LINE: why" for lines that may be about this host and can't be read
}

// knownHost is a line about the host.
type knownHost struct {
	file   string
	line   int
	marker string
	key    ssh.PublicKey
	bare   bool // it names the host without its port, which counts where no line has the port
}

// The markers of known_hosts lines.
const (
	markerAuthority = "@cert-authority"
	markerRevoked   = "@revoked"
)

// readKnownHosts reads what files say about the host whose name is in
// known_hosts form: "edge" or "[edge]:2222". A file that is not there says
// nothing; one that can't be read is as a line that can't be read.
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
			entry, err := readKnownHost(string(line), name)
			switch {
			case err != nil:
				k.skipped = append(k.skipped, fmt.Sprintf("%s:%d: %v", file, number, err))
			case entry != nil:
				entry.file, entry.line = file, number
				k.entries = append(k.entries, *entry)
			}
		}
	}
	return k
}

// readKnownHost reads a line. It is nil where the line says nothing about the
// host; the error is for one that may be about the host and can't be read.
func readKnownHost(line, name string) (*knownHost, error) {
	line, _, _ = strings.Cut(line, "\x00") // where it ends for ssh, too
	words := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t\r\n", r) })
	if len(words) == 0 || strings.HasPrefix(words[0], "#") {
		return nil, nil
	}
	entry := &knownHost{}
	var unread error
	for len(words) > 0 && strings.HasPrefix(words[0], "@") {
		if unread == nil && (entry.marker != "" || words[0] != markerAuthority && words[0] != markerRevoked) {
			unread = fmt.Errorf("the marker %s is not known there", firstChars(words[0], 32))
		}
		entry.marker, words = words[0], words[1:]
	}
	if len(words) == 0 {
		return nil, nil
	}
	matches, err := matchesHost(words[0], name)
	if port := strings.LastIndex(name, "]:"); err == nil && !matches && port > 0 {
		matches, err = matchesHost(words[0], name[1:port])
		entry.bare = true
	}
	if err != nil {
		return nil, err
	}
	if !matches {
		return nil, nil
	}
	if unread == nil {
		entry.key, unread = readKnownKey(words[1:])
	}
	return entry, unread
}

// readKnownKey reads a key's type and the key, of a line's last words.
func readKnownKey(words []string) (ssh.PublicKey, error) {
	if len(words) < 2 {
		return nil, errors.New("the line is cut off before its key")
	}
	blob, err := base64.StdEncoding.Strict().DecodeString(words[1])
	if err != nil {
		return nil, fmt.Errorf("the key is no base64: %w", err)
	}
	key, err := ssh.ParsePublicKey(blob)
	if err != nil {
		return nil, fmt.Errorf("no such key is known: %w", err)
	}
	if !slices.Contains(signatures(key.Type()), words[0]) {
		return nil, fmt.Errorf("the key is of type %s, not %s", key.Type(), firstChars(words[0], 32))
	}
	return key, nil
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
func matchesHost(word, name string) (bool, error) {
	if rest, ok := strings.CutPrefix(word, "|1|"); ok {
		salt, hash, _ := strings.Cut(rest, "|")
		key, err := base64.StdEncoding.Strict().DecodeString(salt)
		want, alsoErr := base64.StdEncoding.Strict().DecodeString(hash)
		if err = errors.Join(err, alsoErr); err != nil || len(key) != sha1.Size || len(want) != sha1.Size {
			return false, errors.New("the hash of a name is malformed")
		}
		return hmac.Equal(nameHash(key, strings.ToLower(name)), want) || hmac.Equal(nameHash(key, name), want), nil
	}
	matches := false
	for pattern := range strings.SplitSeq(strings.ToLower(word), ",") {
		pattern, negated := strings.CutPrefix(pattern, "!")
		if !matchesPattern(pattern, strings.ToLower(name)) {
			continue
		}
		if negated {
			return false, nil
		}
		matches = true
	}
	return matches, nil
}

func nameHash(salt []byte, name string) []byte {
	mac := hmac.New(sha1.New, salt)
	mac.Write([]byte(name))
	return mac.Sum(nil)
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
	var exact, bare []knownHost
	for _, entry := range k.entries {
		switch {
		case entry.marker != marker:
		case entry.bare:
			bare = append(bare, entry)
		default:
			exact = append(exact, entry)
		}
	}
	if len(exact) > 0 {
		return exact
	}
	return bare
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

// changed are the lines that a key stands against. As with ssh, a line without
// the port tells a key that is right, never one that is wrong.
func (k *knownHosts) changed() []knownHost {
	return slices.DeleteFunc(k.listed(""), func(entry knownHost) bool { return entry.bare })
}

// algorithms are the host-key algorithms to ask for first: those of
// certificates where an authority is listed, then of the listed keys.
func (k *knownHosts) algorithms() []string {
	var wanted []string
	if len(k.listed(markerAuthority)) > 0 {
		wanted = append(wanted, certificateAlgorithms...)
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

// withoutCertificate is the key itself.
func withoutCertificate(key ssh.PublicKey) ssh.PublicKey {
	if cert, ok := key.(*ssh.Certificate); ok {
		return cert.Key
	}
	return key
}

func sameKey(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }

// readRegular reads a file, but nothing that could make it wait, such as a pipe.
func readRegular(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, &os.PathError{Op: "read", Path: path, Err: errors.New("is a directory")}
	case !info.Mode().IsRegular() && path != os.DevNull:
		return nil, &os.PathError{Op: "read", Path: path, Err: errors.New("is not a regular file")}
	}
	return os.ReadFile(path)
}

func firstChars(text string, most int) string {
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
