// Package secret holds the type that masks itself everywhere, the finding of
// secrets in texts of others, and the hashing of keys. A Value reaches a socket
// or a file only through Reveal.
package secret

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
)

// Mask is what every printed, logged or encoded Value looks like.
const Mask = "(secret)"

// MinLength is the shortest key that a user may bring, in bytes: keys are kept
// as plain SHA-256, which is enough only for values nobody can guess.
const MinLength = 32

// KeyPrefix begins every API key that relayctl makes, so that scanners and
// people know one when they see it.
const KeyPrefix = "rk_"

// Value is a secret. The zero Value is no secret at all.
type Value struct {
	text    string
	unknown bool
}

// New wraps text.
func New(text string) Value { return Value{text: text} }

// Unknown is a secret that there is, and whose text is not known here. It has
// nothing to reveal, and no hash that means anything.
func Unknown() Value { return Value{unknown: true} }

// IsKnown reports whether the text of the secret is known, or there is none.
func (v Value) IsKnown() bool { return !v.unknown }

// NewToken makes a Value of 256 random bits: 43 base64url characters.
func NewToken() Value {
	var bits [32]byte
	rand.Read(bits[:]) // never fails: crypto/rand.Read ends the program instead
	return New(base64.RawURLEncoding.EncodeToString(bits[:]))
}

// NewAPIKey makes a key for a client: KeyPrefix and a token.
func NewAPIKey() Value { return New(KeyPrefix + NewToken().text) }

// Reveal returns the secret itself.
func (v Value) Reveal() string { return v.text }

// IsZero reports whether there is no secret.
func (v Value) IsZero() bool { return v == Value{} }

// Hash is the hex SHA-256 of the secret, as the relay keeps it.
func (v Value) Hash() string {
	sum := sha256.Sum256([]byte(v.text))
	return hex.EncodeToString(sum[:])
}

// MAC is the hex HMAC-SHA-256 of the secret under key. Where a digest of a
// secret has to travel, it is this one: a plain digest of a short secret can
// be guessed.
func (v Value) MAC(key []byte) string {
	mac := hmac.New(sha256.New, key)
	io.WriteString(mac, v.text)
	return hex.EncodeToString(mac.Sum(nil))
}

// String masks the secret.
func (v Value) String() string { return Mask }

// Format masks the secret under every verb, %#v and %x included.
func (v Value) Format(f fmt.State, _ rune) { io.WriteString(f, Mask) }

// LogValue masks the secret in logs.
func (v Value) LogValue() slog.Value { return slog.StringValue(Mask) }

// MarshalText masks the secret in JSON and every other text encoding.
func (v Value) MarshalText() ([]byte, error) { return []byte(Mask), nil }
