package stack

import (
	"regexp"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// The parser calls itself several times for every bracket, and a stack that
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
	depth := 0
	for _, token := range tokens {
		depth += nesting(token.Type)
		switch token.Type {
		case hclsyntax.TokenOQuote:
			depth++
		case hclsyntax.TokenCQuote:
			depth--
		case hclsyntax.TokenNumberLit:
			if len(token.Bytes) > maxDigits || largeExponent.Match(token.Bytes) {
				return hcl.Diagnostics{problem(token.Range, "Number too long", "No number in a stack file is that long.")}
			}
		}
		depth = max(0, depth)
		if depth > maxDepth {
			return hcl.Diagnostics{problem(token.Range, "Nested too deeply",
				"Nothing in a stack file is nested more than %d deep.", maxDepth)}
		}
	}
	return nil
}
