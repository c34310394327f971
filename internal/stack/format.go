package stack

import (
	"bytes"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Formatted is a file of HCL before and after it was brought into canonical
// form.
type Formatted struct {
	Before, After             []byte
	maskedBefore, maskedAfter string
}

// Changed reports whether the file was not in canonical form.
func (f Formatted) Changed() bool { return !bytes.Equal(f.Before, f.After) }

// Masked is both texts as they may be shown: secrets that are written in the
// file are left out.
func (f Formatted) Masked() (before, after string) { return f.maskedBefore, f.maskedAfter }

// Format reads a file, as ReadFile of the options does, and brings it into
// canonical form: indentation, alignment and blanks, and a line's end at the
// end; a byte order mark goes. Line ends, comments and blank lines stay as they
// are, and so does the meaning. Where it does not parse, the diagnostics say why;
// the sources print them. The file itself is not touched.
func Format(filename string, options Options) (Formatted, *Sources, hcl.Diagnostics) {
	l := newLoader(filename, options)
	defer func() { l.sources.conceal(l.diags) }()
	if l.parse(filename, false) == nil {
		return Formatted{}, l.sources, l.diags
	}
	before := l.sources.files[filename].src
	after := canonical(before)
	if !sameTokens(before, after) {
		l.report(hcl.Range{}, "Can't format file", "%s would not mean the same afterwards, so it is left as it is.", filename)
		return Formatted{}, l.sources, l.diags
	}
	texts := newSources()
	for name, text := range map[string][]byte{"before": before, "after": after} {
		body, _ := parseText(ended(text), name, false)
		texts.add(name, text, body, texts.secretSpans(ended(text), body, true))
	}
	texts.conceal(nil)
	return Formatted{before, after, texts.text("before"), texts.text("after")}, l.sources, l.diags
}

// formatPasses is how often a text is formatted until it stays as it is: what
// moves in one pass can align otherwise in the next.
const formatPasses = 8

// canonical brings a text that parses into canonical form.
func canonical(src []byte) []byte {
	text := ended(bytes.TrimPrefix(src, []byte("\ufeff")))
	for range formatPasses {
		next := hclwrite.Format(text)
		if bytes.Equal(next, text) {
			break
		}
		text = next
	}
	return text
}

// sameTokens reports whether two texts differ in blanks between tokens and at
// the end only.
func sameTokens(a, b []byte) bool {
	return slices.EqualFunc(tokensOf(a), tokensOf(b), func(a, b hclsyntax.Token) bool {
		return a.Type == b.Type && bytes.Equal(a.Bytes, b.Bytes)
	})
}

// tokensOf are the tokens of a text that parses, less line ends at its end.
func tokensOf(text []byte) hclsyntax.Tokens {
	tokens, _ := hclsyntax.LexConfig(bytes.TrimRight(text, " \t\r\n"), "", hcl.InitialPos)
	return tokens
}
