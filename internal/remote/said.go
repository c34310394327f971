package remote

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/relayctl/relayctl/internal/secret"
)

// maxSaidAtLogIn bounds what is kept of what a server says at the log-in, in
// bytes: a screenful. maxSentence is how much of it goes into an error's line.
const (
	maxSaidAtLogIn = 2 << 10
	maxSentence    = 300
)

// secrets finds what must not be printed on, whoever said it: what stands
// before the host in a URL, an API key of ours, what is given to a password.
var secrets = []*regexp.Regexp{
	regexp.MustCompile(`(://)[^/\s"@]*(@)`),
	regexp.MustCompile(`()\b` + secret.KeyPrefix + `[A-Za-z0-9_-]{20,}()`),
	regexp.MustCompile(`(?i)(\b[a-z_-]*(?:password|passwd|passphrase|secret|token|api_?key)\s?=\s?)[^\s=]+()`),
}

// printable is what somebody else said, secrets masked, control characters and
// invalid UTF-8 as their numbers, and lines kept.
func printable(text string) string {
	for _, secrets := range secrets {
		text = secrets.ReplaceAllString(text, "${1}"+secret.Mask+"${2}")
	}
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == '\n':
			b.WriteByte('\n')
		case r == '\t':
			b.WriteByte(' ')
		case r == utf8.RuneError && size == 1, !strconv.IsPrint(r):
			quoted := strconv.QuoteToASCII(text[:size])
			b.WriteString(quoted[1 : len(quoted)-1])
		default:
			b.WriteRune(r)
		}
		text = text[size:]
	}
	return b.String()
}

// joinSaid adds a message to what was said before, within maxSaidAtLogIn. Of
// too much the beginning goes: what is said last tells why.
func joinSaid(before, message string) string {
	message = printable(strings.TrimSpace(strings.ReplaceAll(message, "\r", "")))
	said := strings.TrimPrefix(before+"\n"+message, "\n")
	if extra := len(said) - maxSaidAtLogIn; extra > 0 {
		said = "…" + strings.ToValidUTF8(said[extra:], "")
	}
	return said
}

// sentence is what was said in one line that is not too long.
func sentence(said string) string {
	return firstChars(strings.Join(strings.Fields(said), " "), maxSentence)
}
