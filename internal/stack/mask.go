package stack

import (
	"bytes"
	"regexp"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// assignment finds a line that gives something a value.
var assignment = regexp.MustCompile(`(?m)^[^=\r\n]*=[ \t]*(.*)$`)

// userInfo finds what stands before the host in a URL: a name and a password.
var userInfo = regexp.MustCompile(`://[^/\s"@]*@`)

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
			spans = append(spans, masked(start, end))
		}
		at = end + 1
	}
	return spans
}

// secretSpans covers the texts in a stack file that are given to arguments
// that take a secret, or whose names suggest that they were meant to. In a
// file that did not parse, where tokens may be told wrongly, it covers the
// rest of every line that names such an argument, and what looks like a key. A
// text that is surely a secret is noted, to be masked in other places, too.
func (s *Sources) secretSpans(src []byte, parsed bool) []span {
	tokens, _ := hclsyntax.LexConfig(src, "", hcl.InitialPos)
	names := secretNames()
	var spans []span
	for i := 0; i+1 < len(tokens); i++ {
		if tokens[i].Type != hclsyntax.TokenIdent || tokens[i+1].Type != hclsyntax.TokenEqual {
			continue
		}
		name := string(tokens[i].Bytes)
		isDefault := names.preset(name) && besideSensitive(tokens, i)
		if !isDefault && !names.secret(name) {
			continue
		}
		found := valueTexts(tokens[i+2:])
		spans = append(spans, found...)
		if (isDefault || slices.Contains(names.secrets, name)) && isLiteral(tokens[i+2:]) {
			for _, literal := range found {
				if literal.text != "" { // else it is a comment
					s.secrets.Add(string(src[literal.start:literal.end]))
				}
			}
		}
	}
	if !parsed {
		spans = append(spans, names.lines(src, &s.secrets)...)
	}
	for _, m := range userInfo.FindAllIndex(src, -1) {
		spans = append(spans, masked(m[0]+len("://"), m[1]-len("@")))
	}
	return merge(spans)
}

// merge orders spans, and joins those that touch. Empty ones are dropped.
func merge(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return a.start - b.start })
	var merged []span
	for _, s := range spans {
		if s.start >= s.end {
			continue
		}
		if last := len(merged) - 1; last >= 0 && s.start <= merged[last].end {
			merged[last].end = max(merged[last].end, s.end)
			merged[last].text = max(merged[last].text, s.text)
			continue
		}
		merged = append(merged, s)
	}
	return merged
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
// for. Comments go too, since they may hold the key of last year.
func valueTexts(tokens hclsyntax.Tokens) []span {
	var spans []span
	depth := 0
	for i, token := range tokens {
		depth += nesting(token.Type)
		lineEnds := bytes.HasSuffix(token.Bytes, []byte("\n")) || token.Type == hclsyntax.TokenEOF
		switch {
		case token.Type == hclsyntax.TokenComment:
			spans = append(spans, span{start: token.Range.Start.Byte, end: token.Range.End.Byte})
		case spelledOut(tokens, i):
			spans = append(spans, masked(token.Range.Start.Byte, token.Range.End.Byte))
			lineEnds = false // of a text in lines
		}
		if depth < 0 || depth == 0 && lineEnds {
			return spans
		}
	}
	return spans
}

// isLiteral reports whether tokens begin with a text alone.
func isLiteral(tokens hclsyntax.Tokens) bool {
	return tokens[0].Type == hclsyntax.TokenOHeredoc ||
		len(tokens) > 2 && tokens[0].Type == hclsyntax.TokenOQuote && tokens[2].Type == hclsyntax.TokenCQuote && tokens[1].Type == hclsyntax.TokenQuotedLit
}

// nesting says how a token changes the depth of brackets.
func nesting(t hclsyntax.TokenType) int {
	switch t {
	case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenOHeredoc,
		hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
		return 1
	case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenCHeredoc,
		hclsyntax.TokenTemplateSeqEnd:
		return -1
	}
	return 0
}

// spelledOut reports whether token i is a text, a number or a word that may
// be a secret itself.
func spelledOut(tokens hclsyntax.Tokens, i int) bool {
	switch tokens[i].Type {
	case hclsyntax.TokenQuotedLit, hclsyntax.TokenStringLit, hclsyntax.TokenNumberLit,
		hclsyntax.TokenInvalid, hclsyntax.TokenBadUTF8:
		return !namesOutside(tokens, i)
	case hclsyntax.TokenIdent:
		return !knownName(tokens, i)
	}
	return false
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
