package desired

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/relayctl/relayctl/internal/secret"
)

// Blob is content that a host needs: the bytes of a file, or a program of
// relayctl by its name. However it is printed, no content shows.
type Blob struct {
	program string
	content secret.Value
}

// Program is the name of the program that the blob is; empty: it is a file.
func (b Blob) Program() string { return b.program }

// Reveal returns a file's bytes, secret or not; none for a program.
func (b Blob) Reveal() []byte { return []byte(b.content.Reveal()) }

// String says what the blob is, never what is in it.
func (b Blob) String() string {
	if b.program != "" {
		return "program " + b.program
	}
	return "file content"
}

// Format prints String under every verb, %#v and %x included.
func (b Blob) Format(f fmt.State, _ rune) { io.WriteString(f, b.String()) }

// LogValue logs String.
func (b Blob) LogValue() slog.Value { return slog.StringValue(b.String()) }

// MarshalText encodes String in JSON and every other text encoding.
func (b Blob) MarshalText() ([]byte, error) { return []byte(b.String()), nil }
