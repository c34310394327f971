package cli

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// columns is how many columns of a terminal a text takes that is fit for it.
func columns(text string) int {
	n := 0
	for _, r := range text {
		n += runeColumns(r)
	}
	return n
}

// runeColumns is how wide terminals draw a character: twice as wide as others
// where Unicode (UAX 11) says so, and marks on top of the one before.
func runeColumns(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// fit cuts a text to at most max columns; what is cut shows by the ellipsis.
func (v *view) fit(text string, max int) string {
	ellipsis := "…"
	if v.ascii {
		ellipsis = "..."
	}
	left := max - columns(ellipsis)
	switch {
	case columns(text) <= max:
		return text
	case left < 0:
		return ""
	}
	var b strings.Builder
	for _, r := range text {
		if left -= runeColumns(r); left < 0 {
			break
		}
		b.WriteRune(r)
	}
	return b.String() + ellipsis
}

// pad fills a text up to n columns.
func pad(text string, n int) string {
	return text + strings.Repeat(" ", max(0, n-columns(text)))
}
