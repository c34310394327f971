package plan

import (
	"crypto/sha256"
	"encoding/hex"
)

// Digest is the digest of plain content: "sha256:" and 64 hex digits. Secret
// content has "hmac:" and the hex HMAC-SHA-256 under its host's key instead.
func Digest(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// MACPrefix begins the digests of secret content.
const MACPrefix = "hmac:"
