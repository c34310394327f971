package stack

import (
	"bytes"
	"cmp"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// parse reads and parses a file of HCL. It returns nil after reporting an
// error. Values of a file with hidden set are quoted in no message.
func (l *loader) parse(filename string, hidden bool) *hclsyntax.Body {
	src, err := l.readFile(filename)
	if err != nil {
		l.report(hcl.Range{}, "Can't read file", "%s can't be read: %s.", filename, cause(err))
		return nil
	}
	text := ended(src)
	body, wrong := parseText(text, filename, hidden)
	spans := valueSpans(text)
	if !hidden {
		spans = l.sources.secretSpans(text, body, wrong == nil)
	}
	l.sources.add(filename, src, body, spans)
	if wrong != nil {
		l.diags = l.diags.Append(wrong)
		return nil
	}
	return body
}

// parseText parses a text that may exhaust the parser, or be no text at all. It
// gives as much of it as could be parsed, and the one error that explains why
// there is no more. Of the parser's own words none are used where hidden is set:
// they may quote a value.
func parseText(src []byte, filename string, hidden bool) (*hclsyntax.Body, *hcl.Diagnostic) {
	tokens, _ := hclsyntax.LexConfig(src, filename, hcl.InitialPos)
	if d := cmp.Or(guard(tokens), notUTF8(src, tokens, filename)); d != nil {
		return nil, d
	}
	file, diags := hclsyntax.ParseConfig(src, filename, hcl.InitialPos)
	body := file.Body.(*hclsyntax.Body)
	if !diags.HasErrors() {
		return body, nil
	}
	first := firstProblem(diags)
	if hidden {
		first.Detail = "A file of variables holds one NAME = VALUE after the other, and text stands in straight double quotes."
	}
	return body, first
}

// ended is a text whose last line has an end: without one, HCL finds no end of a
// text in lines.
func ended(src []byte) []byte {
	if len(src) == 0 || bytes.HasSuffix(src, []byte("\n")) {
		return src
	}
	return append(bytes.Clone(src), '\n')
}

// The parser calls itself several times for every bracket, and a stack that
// overflows ends the program; a number is written out in full when it becomes
// text. Both bounds are far above what anybody writes.
const (
	maxDepth  = 100
	maxDigits = 100
)

var largeExponent = regexp.MustCompile(`[eE][+-]?[0-9]{4}`)

// guard refuses what would exhaust memory before the parser could refuse it.
func guard(tokens hclsyntax.Tokens) *hcl.Diagnostic {
	depth := 0
	for _, token := range tokens {
		depth = max(0, depth+nesting(token.Type))
		if token.Type == hclsyntax.TokenNumberLit && (len(token.Bytes) > maxDigits || largeExponent.Match(token.Bytes)) {
			return problem(token.Range, "Number too long", "No number in a stack file is that long.")
		}
		if depth > maxDepth {
			return problem(token.Range, "Nested too deeply", "Nothing in a stack file is nested more than %d deep.", maxDepth)
		}
	}
	return nil
}

// nesting says how a token changes the depth of brackets.
func nesting(t hclsyntax.TokenType) int {
	switch t {
	case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenOHeredoc, hclsyntax.TokenOQuote,
		hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
		return 1
	case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenCHeredoc, hclsyntax.TokenCQuote,
		hclsyntax.TokenTemplateSeqEnd:
		return -1
	}
	return 0
}

// notUTF8 finds what is not UTF-8 where it would mean something: in a comment
// it does not. No UTF-8 text has a byte of zero; what has is quoted nowhere.
func notUTF8(src []byte, tokens hclsyntax.Tokens, filename string) *hcl.Diagnostic {
	const advice = "%s is not UTF-8 text: it may be UTF-16 or Latin-1, as of Windows, or no text at all. Save it as UTF-8 in your editor."
	if bytes.IndexByte(src, 0) >= 0 {
		return problem(hcl.Range{}, "Not UTF-8", advice, filename)
	}
	for _, token := range tokens {
		if token.Type != hclsyntax.TokenComment && !utf8.Valid(token.Bytes) {
			return problem(token.Range, "Not UTF-8", advice, filename)
		}
	}
	return nil
}

// firstProblem is the one error that explains why a text does not parse: the
// parser goes on as well as it can, and what it then reports mostly follows from
// what comes first in the file. That a block is never closed is noticed at the end
// and told at its beginning, so it counts where there is nothing else.
func firstProblem(diags hcl.Diagnostics) *hcl.Diagnostic {
	first := slices.MinFunc(diags, func(a, b *hcl.Diagnostic) int {
		unclosed := strings.Count(a.Summary, "Unclosed") - strings.Count(b.Summary, "Unclosed")
		return cmp.Or(unclosed, a.Subject.Start.Line-b.Subject.Start.Line)
	})
	switch first.Summary {
	case "Argument or block definition required":
		first.Detail = `An argument is expected here, NAME = VALUE, or a block, such as stack "home" {}. JSON, YAML and other languages than HCL are not read.`
	case "Invalid multi-line string":
		first.Detail = "A quote is missing on this line, or one is too many: text in quotes ends on its line."
	case "Unterminated template string":
		first.Detail = "A text that begins above never ends: a quote is missing, or the word behind << on a line of its own."
	}
	return first
}
