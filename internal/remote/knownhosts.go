package remote

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/relayctl/relayctl/internal/remote/sshconfig"
)

// knownHosts is what files in known_hosts form say about one host. They are
// read as ssh reads them, which x/crypto's reader does not (nor skeema's, which
// stands on it): there one line that can't be read stops all hosts, names count
// by case, a port is no pattern, and @revoked counts for every host and
// @cert-authority as a host's key.
type knownHosts struct {
	entries []knownHost
	skipped []string // "FILE:LINE: why" for lines that are about this host and can't be read
}

// knownHost is a line.
type knownHost struct {
	file   string
	line   int
	marker string        // "" where it has none
	names  string        // patterns or a hash
	words  []string      // a key's type and the key, where it has them
	key    ssh.PublicKey // nil where the line can't be read
	bare   bool          // it names the host without its port, which counts where no line has the port
}

// The markers of known_hosts lines.
const (
	markerAuthority = "@cert-authority"
	markerRevoked   = "@revoked"
)

// listedName is how known_hosts has a host: without ssh's own port, as IPv6
// addresses too.
func listedName(host, port string) string {
	if port == "22" {
		return host
	}
	return "[" + host + "]:" + port
}

// readKnownHosts reads what files say about the host that they know by name, in
// lower case; bare is the same without a port. One that can't be read is as a
// line that can't be read.
func readKnownHosts(files []string, name, bare string) *knownHosts {
	k := &knownHosts{}
	for _, file := range files {
		err := eachKnownHost(file, func(entry knownHost) {
			if !matchesHost(entry.names, name) {
				if entry.bare = bare != name && matchesHost(entry.names, bare); !entry.bare {
					return
				}
			}
			if entry.key = readKnownKey(entry.words); entry.key == nil {
				k.skipped = append(k.skipped, fmt.Sprintf("%s:%d: it can't be read", file, entry.line))
				return
			}
			k.entries = append(k.entries, entry)
		})
		if err != nil {
			k.skipped = append(k.skipped, err.Error())
		}
	}
	return k
}

// sameKeyElsewhere are the lines that list a key for whatever host.
func sameKeyElsewhere(files []string, key ssh.PublicKey) []knownHost {
	var found []knownHost
	blob := base64.StdEncoding.EncodeToString(key.Marshal())
	for _, file := range files {
		eachKnownHost(file, func(entry knownHost) { // what can't be read was told of before
			if entry.marker == "" && len(entry.words) > 1 && entry.words[1] == blob {
				found = append(found, entry)
			}
		})
	}
	return found
}

// eachKnownHost hands on what each line of a file says, its key unread. A file
// that is not there has none.
func eachKnownHost(file string, do func(knownHost)) error {
	content, err := readRegular(file)
	number := 0
	for line := range bytes.Lines(content) {
		number++
		if entry := splitKnownHost(string(line)); entry.names != "" {
			entry.file, entry.line = file, number
			do(entry)
		}
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// splitKnownHost takes a line apart. Where it says nothing there are no names,
// and no words where it has markers that are none.
func splitKnownHost(line string) knownHost {
	line, _, _ = strings.Cut(line, "\x00") // where it ends for ssh, too
	words := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' || r == '\n' })
	var markers []string
	for len(words) > 0 && strings.HasPrefix(words[0], "@") {
		markers, words = append(markers, words[0]), words[1:]
	}
	if len(words) == 0 || strings.HasPrefix(words[0], "#") {
		return knownHost{}
	}
	entry := knownHost{names: words[0], words: words[1:]}
	if len(markers) > 0 {
		entry.marker = markers[0]
	}
	if len(markers) > 1 || !slices.Contains([]string{"", markerAuthority, markerRevoked}, entry.marker) {
		entry.words = nil
	}
	return entry
}

// readKnownKey reads a key's type and the key, of a line's last words; nil
// where they are none.
func readKnownKey(words []string) ssh.PublicKey {
	if len(words) < 2 {
		return nil
	}
	blob, err := base64.StdEncoding.Strict().DecodeString(words[1]) // which passes over the CR of a line's end
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

// matchesHost reports whether a line's names, patterns or a hash, stand for a
// host.
func matchesHost(names, name string) bool {
	if rest, ok := strings.CutPrefix(names, "|1|"); ok {
		salt, hash, _ := strings.Cut(rest, "|")
		key, _ := base64.StdEncoding.Strict().DecodeString(salt)
		want, err := base64.StdEncoding.Strict().DecodeString(hash)
		mac := hmac.New(sha1.New, key)
		mac.Write([]byte(name))
		return err == nil && hmac.Equal(mac.Sum(nil), want)
	}
	return sshconfig.Matches(strings.Split(strings.ToLower(names), ","), name)
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
		if entry.marker == marker && slices.ContainsFunc(keys, entry.has) {
			return &entry
		}
	}
	return nil
}

func (h knownHost) has(key ssh.PublicKey) bool { return sameKey(h.key, key) }

// algorithms are the host-key algorithms to ask for first: those of
// certificates where an authority is listed, then of the listed keys.
func (k *knownHosts) algorithms() []string {
	var wanted []string
	if len(k.listed(markerAuthority)) > 0 {
		for _, algorithm := range preferredHostKeys {
			wanted = append(wanted, algorithm+certified)
		}
	}
	for _, entry := range k.listed("") {
		wanted = append(wanted, signatures(entry.key.Type())...)
	}
	return wanted
}

// checkCertificate is nil where an authority that is listed for the host stands
// for its certificate. The name is the host's, without a port.
func (k *knownHosts) checkCertificate(cert *ssh.Certificate, name string) error {
	switch {
	case cert.CertType != ssh.HostCert:
		return errors.New("it is no host's")
	case k.find(markerAuthority, cert.SignatureKey) == nil:
		return fmt.Errorf("its authority %s is not listed for this host", describeKey(cert.SignatureKey))
	case !slices.Contains(ssh.SupportedAlgorithms().PublicKeyAuths, cert.Signature.Format): // as ssh's CASignatureAlgorithms
		return fmt.Errorf("it is signed by %s, which proves nothing any more", cert.Signature.Format)
	}
	return (&ssh.CertChecker{}).CheckCert(name, cert)
}
