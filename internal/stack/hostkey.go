package stack

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"
)

const hostKeySays = `a host key: SHA256: and 43 characters, as "ssh-keygen -l" prints its fingerprint, or its public key, as ssh-keyscan prints it`

// hostKey takes a host's key in any form that ssh's programs print.
func hostKey() form { return text(hostKeySays, parseHostKey) }

// keyTypes are the types of keys that a host may be known by.
var keyTypes = []string{
	"ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa",
	"sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
}

// parseHostKey finds the fingerprint in what ssh-keygen -l prints, or computes
// that of a public key, as it stands in a .pub file, in known_hosts and in the
// output of ssh-keyscan. The key's type stands before it, where that is told.
func parseHostKey(s string) (key, problem string) {
	s = strings.TrimSpace(s)
	if strings.ContainsAny(s, "\r\n") {
		return "", "is more than one line: a host is known by one key"
	}
	words := strings.Fields(s)
	for i, word := range words {
		if digest, ok := strings.CutPrefix(word, "SHA256:"); ok {
			digest = strings.TrimSuffix(digest, "=")
			if sum, err := base64.RawStdEncoding.Strict().DecodeString(digest); err == nil && len(sum) == sha256.Size {
				return ofType(toldType(words, i), "SHA256:"+digest), ""
			}
		}
		if i > 0 {
			if blob, err := base64.StdEncoding.DecodeString(word); err == nil && isKey(blob, words[i-1]) {
				sum := sha256.Sum256(blob)
				return ofType(words[i-1], "SHA256:"+base64.RawStdEncoding.EncodeToString(sum[:])), ""
			}
		}
	}
	return "", "is not " + hostKeySays
}

// ofType puts a key's type before its fingerprint, where a host can have one of
// that type.
func ofType(kind, fingerprint string) string {
	if !slices.Contains(keyTypes, kind) {
		return fingerprint
	}
	return kind + " " + fingerprint
}

// toldType is the type of a key by the words around its fingerprint: the one
// before it, or as ssh-keygen -l has it, with the size before it and a name of
// the type at the end.
func toldType(words []string, fingerprint int) string {
	before, last := words[max(0, fingerprint-1)], words[len(words)-1]
	switch {
	case slices.Contains(keyTypes, before):
		return before
	case last == "(ED25519)":
		return "ssh-ed25519"
	case last == "(ECDSA)":
		return "ecdsa-sha2-nistp" + before
	case last == "(RSA)":
		return "ssh-rsa"
	case last == "(ED25519-SK)":
		return "sk-ssh-ed25519@openssh.com"
	case last == "(ECDSA-SK)":
		return "sk-ecdsa-sha2-nistp256@openssh.com"
	}
	return ""
}

// isKey reports whether a public key is whole: fields with their lengths, the
// first of which is its type.
func isKey(blob []byte, kind string) bool {
	fields := 0
	for len(blob) >= 4 {
		size := binary.BigEndian.Uint32(blob)
		if uint64(size) > uint64(len(blob)-4) || fields == 0 && string(blob[4:4+size]) != kind {
			return false
		}
		blob = blob[4+size:]
		fields++
	}
	return fields > 1 && len(blob) == 0
}
