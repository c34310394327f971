package desired

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// comment makes a value fit for the rest of a comment's line, in any language
// that has such comments. systemd reads on after a backslash at the end.
func comment(value string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == '\\' || r == utf8.RuneError {
			return '_'
		}
		return r
	}, value)
}

// systemdText makes a value fit for the rest of a line of a unit file, where
// it is taken as it stands: systemd's specifiers begin with a percent sign.
// Leading and trailing spaces are lost there.
func systemdText(value string) (string, error) {
	return strings.ReplaceAll(value, "%", "%%"), refuse(value, `\`, "a unit file")
}

// caddyQuote makes a value one word of a Caddyfile, in double quotes.
func caddyQuote(value string) (string, error) {
	inner, err := caddyText(value)
	return `"` + inner + `"`, err
}

// caddyText makes a value fit for the inside of double quotes in a Caddyfile.
// What could end the word, name an environment variable or a placeholder, or
// separate addresses is refused: there is no form of it that Caddy takes as it
// stands everywhere, and no value of a stack needs it.
func caddyText(value string) (string, error) { return value, refuse(value, `"\{},`, "a Caddyfile") }

// refuse refuses a value that holds what can't be printed, or one of a few
// characters.
func refuse(value, characters, where string) error {
	for _, r := range value {
		if !unicode.IsPrint(r) || r == utf8.RuneError || strings.ContainsRune(characters, r) {
			return fmt.Errorf("%q may not stand in %s: it holds %q", value, where, r)
		}
	}
	return nil
}
