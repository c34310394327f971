package stack

import (
	"regexp"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// The parser calls itself for every bracket and prefix, and a stack that
// overflows ends the program; a number is written out in full when it becomes
// text. Both bounds are far above what anybody writes.
const (
	maxDepth  = 100
	maxDigits = 100
)

var largeExponent = regexp.MustCompile(`[eE][+-]?[0-9]{4}`)

// guard refuses a text that would exhaust memory before the parser could
// refuse it.
func guard(src []byte, filename string) hcl.Diagnostics {
	tokens, _ := hclsyntax.LexConfig(src, filename, hcl.InitialPos)
	depth, prefixes := 0, 0
	for _, token := range tokens {
		prefix := false
		switch token.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenOQuote,
			hclsyntax.TokenOHeredoc, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			depth++
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenCQuote,
			hclsyntax.TokenCHeredoc, hclsyntax.TokenTemplateSeqEnd:
			depth = max(0, depth-1)
		case hclsyntax.TokenBang, hclsyntax.TokenMinus, hclsyntax.TokenQuestion:
			prefix = true
		case hclsyntax.TokenNumberLit:
			if len(token.Bytes) > maxDigits || largeExponent.Match(token.Bytes) {
				return hcl.Diagnostics{problem(token.Range, "Number too long", "No number in a stack file is that long.")}
			}
		}
		if prefix {
			prefixes++
		} else if token.Type == hclsyntax.TokenNewline {
			prefixes = 0
		}
		if depth > maxDepth || prefixes > maxDepth {
			return hcl.Diagnostics{problem(token.Range, "Nested too deeply",
				"Nothing in a stack file is nested more than %d deep.", maxDepth)}
		}
	}
	return nil
}
