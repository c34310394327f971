package stack

import (
	"bytes"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Formatted is a file of HCL before and after it was brought into canonical
// form.
type Formatted struct {
	Before, After []byte
	sources       *Sources
}

// Changed reports whether the file was not in canonical form.
func (f Formatted) Changed() bool { return !bytes.Equal(f.Before, f.After) }

// Masked is both texts as they may be shown: secrets that are written in the
// file are left out.
func (f Formatted) Masked() (before, after string) {
	return f.sources.text(beforeFormat), f.sources.text(afterFormat)
}

// The names under which a file's two texts are kept beside each other.
const (
	beforeFormat = "before"
	afterFormat  = "after"
)

// Format reads a file, as ReadFile of the options does, and brings it into
// canonical form: indentation, alignment and blanks, and a line's end at the
// end; a byte order mark goes. Line ends, comments and blank lines stay as they
// are, and so does the meaning. Where it does not parse, the diagnostics say why;
// the sources print them. The file itself is not touched.
func Format(filename string, options Options) (Formatted, *Sources, hcl.Diagnostics) {
	l := newLoader(filename, options)
	defer func() { l.sources.conceal(l.diags) }()
	src, err := l.readFile(filename)
	if err != nil {
		l.reportUnreadable(filename, err)
		return Formatted{}, l.sources, l.diags
	}
	read := func(string) ([]byte, error) { return src, nil }
	l.options.ReadFile = read
	if l.parse(filename, false) == nil {
		return Formatted{}, l.sources, l.diags
	}
	after := canonical(src)
	if !sameTokens(ended(src), after) {
		l.reportAside("Can't format file", "%s would not mean the same afterwards, so it is left as it is.", filename)
		return Formatted{}, l.sources, l.diags
	}
	texts := newSources()
	for name, text := range map[string][]byte{beforeFormat: src, afterFormat: after} {
		texts.add(name, text, nil, texts.secretSpans(text, true))
	}
	texts.conceal(nil)
	return Formatted{Before: src, After: after, sources: texts}, l.sources, l.diags
}

// formatPasses is how often a text is formatted until it stays as it is: what
// moves in one pass can align otherwise in the next.
const formatPasses = 8

// canonical brings a text that parses into canonical form.
func canonical(src []byte) []byte {
	text := bytes.TrimPrefix(src, []byte("\ufeff"))
	text = ended(text)
	for range formatPasses {
		next := hclwrite.Format(text)
		if bytes.Equal(next, text) {
			break
		}
		text = next
	}
	return text
}

// lineEnd is how the first line of a text ends.
func lineEnd(text []byte) []byte {
	if at := bytes.IndexByte(text, '\n'); at > 0 && text[at-1] == '\r' {
		return []byte("\r\n")
	}
	return []byte("\n")
}

// sameTokens reports whether two texts differ in blanks between tokens and at
// the end only.
func sameTokens(a, b []byte) bool {
	x, y := tokensOf(a), tokensOf(b)
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		if x[i].Type != y[i].Type || !bytes.Equal(x[i].Bytes, y[i].Bytes) {
			return false
		}
	}
	return true
}

// tokensOf are the tokens of a text that parses, less line ends at its end.
func tokensOf(text []byte) hclsyntax.Tokens {
	tokens, _ := hclsyntax.LexConfig(text, "", hcl.InitialPos)
	tokens = tokens[:len(tokens)-1] // the end of the file
	for len(tokens) > 0 && tokens[len(tokens)-1].Type == hclsyntax.TokenNewline {
		tokens = tokens[:len(tokens)-1]
	}
	return tokens
}
