package stack

import (
	"regexp"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// assignment finds a line that gives something a value.
var assignment = regexp.MustCompile(`(?m)^[^=\r\n]*=(.*)$`)

// valueSpans covers every value of a file of assignments: all but what stands
// left of a line's first =.
func valueSpans(src []byte) []span {
	var spans []span
	at := 0
	for at < len(src) {
		start, end := lineAround(src, at)
		line := src[start:end]
		if m := assignment.FindSubmatchIndex(line); m != nil {
			start += m[2]
		}
		if start < end {
			spans = append(spans, span{start, end})
		}
		at = end + 1
	}
	return spans
}

// secretSpans covers the texts in a stack file that are given to arguments
// that take a secret. In a file that did not parse, where tokens may be told
// wrongly, it covers the rest of every line that names such an argument.
func secretSpans(src []byte, parsed bool) []span {
	tokens, _ := hclsyntax.LexConfig(src, "", hcl.InitialPos)
	names := map[string]bool{}
	language().secretAttributes(names)
	var spans []span
	for i := 0; i+1 < len(tokens); i++ {
		if tokens[i].Type != hclsyntax.TokenIdent || tokens[i+1].Type != hclsyntax.TokenEqual {
			continue
		}
		name := string(tokens[i].Bytes)
		if names[name] || name == "default" && besideSensitive(tokens, i) {
			spans = append(spans, valueTexts(tokens[i+2:])...)
		}
	}
	if !parsed {
		names["default"] = true
		spans = append(spans, linesNaming(src, sortedKeys(names))...)
	}
	slices.SortFunc(spans, func(a, b span) int { return a.start - b.start })
	return spans
}

// besideSensitive reports whether the block that token at stands in also has
// an argument named sensitive.
func besideSensitive(tokens hclsyntax.Tokens, at int) bool {
	for _, step := range []int{-1, 1} {
		depth := 0
		for i := at; i >= 0 && i < len(tokens) && depth >= 0; i += step {
			switch tokens[i].Type {
			case hclsyntax.TokenOBrace:
				depth += step
			case hclsyntax.TokenCBrace:
				depth -= step
			case hclsyntax.TokenIdent:
				if string(tokens[i].Bytes) == "sensitive" {
					return true
				}
			}
		}
	}
	return false
}

// valueTexts covers what is spelled out in the value that tokens begin with:
// all but names that the language knows and what env() and file() are asked
// for.
func valueTexts(tokens hclsyntax.Tokens) []span {
	var spans []span
	depth := 0
	for i, token := range tokens {
		switch token.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenTemplateInterp,
			hclsyntax.TokenTemplateControl:
			depth++
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenTemplateSeqEnd:
			depth--
		case hclsyntax.TokenNewline, hclsyntax.TokenEOF:
			if depth <= 0 {
				return spans
			}
		case hclsyntax.TokenQuotedLit, hclsyntax.TokenStringLit, hclsyntax.TokenNumberLit, hclsyntax.TokenInvalid,
			hclsyntax.TokenBadUTF8, hclsyntax.TokenComment:
			if !namesOutside(tokens, i) {
				spans = append(spans, span{token.Range.Start.Byte, token.Range.End.Byte})
			}
		case hclsyntax.TokenIdent:
			if !knownName(tokens, i) {
				spans = append(spans, span{token.Range.Start.Byte, token.Range.End.Byte})
			}
		}
		if depth < 0 {
			return spans
		}
	}
	return spans
}

// namesOutside reports whether token i is the text in env("…") or file("…").
func namesOutside(tokens hclsyntax.Tokens, i int) bool {
	return i >= 3 && i+2 < len(tokens) &&
		slices.Contains(outsideFunctions, string(tokens[i-3].Bytes)) &&
		tokens[i-2].Type == hclsyntax.TokenOParen && tokens[i-1].Type == hclsyntax.TokenOQuote &&
		tokens[i+1].Type == hclsyntax.TokenCQuote && tokens[i+2].Type == hclsyntax.TokenCParen
}

// knownName reports whether token i is a word of the language where it is
// used as one: var.NAME, local.NAME, a function's name before its bracket.
func knownName(tokens hclsyntax.Tokens, i int) bool {
	at := func(j int) hclsyntax.Token {
		if j < 0 || j >= len(tokens) {
			return hclsyntax.Token{}
		}
		return tokens[j]
	}
	root := func(j int) bool {
		return slices.Contains([]string{"var", "local"}, string(at(j).Bytes))
	}
	switch {
	case at(i+1).Type == hclsyntax.TokenDot:
		return root(i)
	case at(i-1).Type == hclsyntax.TokenDot:
		return root(i - 2)
	case at(i+1).Type == hclsyntax.TokenOParen:
		_, ok := (&loader{}).functions()[string(at(i).Bytes)]
		return ok
	}
	return slices.Contains([]string{"null", "true", "false"}, string(at(i).Bytes))
}

// linesNaming covers, on each line that gives a value to one of names, the
// rest of the line.
func linesNaming(src []byte, names []string) []span {
	var spans []span
	for _, name := range names {
		pattern := regexp.MustCompile(`\b` + regexp.QuoteMeta(name) + `\b[^=\r\n]*=?([^\r\n]*)`)
		for _, m := range pattern.FindAllSubmatchIndex(src, -1) {
			if m[2] < m[3] {
				spans = append(spans, span{m[2], m[3]})
			}
		}
	}
	return spans
}
