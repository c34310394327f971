package remote

import (
	"errors"
	"io"
	"net"
	"regexp"
	"strings"
	"syscall"

	"github.com/relayctl/relayctl/internal/secret"
)

// What is kept of what a server says at the log-in, in bytes: a screenful; and
// how much of it goes into an error's line.
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

// plainText takes carriage returns and tabs out of what a terminal is to show.
var plainText = strings.NewReplacer("\r", "", "\t", " ")

// joinSaid adds a message of the server to what it said before, with secrets
// masked and within maxSaidAtLogIn. Of too much the beginning goes: what is
// said last tells why.
func joinSaid(before, message string) string {
	message = strings.TrimSpace(plainText.Replace(message))
	for _, secrets := range secrets {
		message = secrets.ReplaceAllString(message, "${1}"+secret.Mask+"${2}")
	}
	said := strings.TrimPrefix(before+"\n"+message, "\n")
	if extra := len(said) - maxSaidAtLogIn; extra > 0 {
		said = "…" + strings.ToValidUTF8(said[extra:], "")
	}
	return said
}

// sentence is what was said in one line that is not too long.
func sentence(said string) string {
	said = strings.Join(strings.Fields(said), " ")
	if len(said) > maxSentence {
		said = strings.ToValidUTF8(said[:maxSentence], "") + "…"
	}
	return said
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:])
}

// plainly is an error of the network without the calls that met it.
func plainly(err error) string {
	var lost *LostError
	var lookup *net.DNSError
	var number syscall.Errno
	switch {
	case errors.As(err, &lost):
		return lost.Error()
	case errors.Is(err, io.EOF):
		return "it hung up"
	case errors.As(err, &lookup):
		return lookup.Error()
	case errors.As(err, &number):
		return number.Error()
	}
	return err.Error()
}
