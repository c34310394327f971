package plan

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Printable makes text safe to print on a terminal: control characters,
// escapes, characters that change the direction of writing and invalid UTF-8
// show as their numbers. With ascii everything outside ASCII does. Text from a
// host must go through it, since an attacker may have written it.
func Printable(text string, ascii bool) string {
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1, !strconv.IsPrint(r), ascii && r > '~':
			quoted := strconv.QuoteToASCII(text[:size])
			b.WriteString(quoted[1 : len(quoted)-1])
		default:
			b.WriteRune(r)
		}
		text = text[size:]
	}
	return b.String()
}
