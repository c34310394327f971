package stack

import (
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// The parser goes on after an error as well as it can, and what it then reports
// mostly follows from the first. So the one is told that comes first in the
// file; but a brace that is never closed is noticed at the end of it, and told
// only where there is nothing else.

// firstProblem is the one error that explains why a text does not parse. hidden
// is set where nothing of the text may be quoted.
func firstProblem(src []byte, filename string, diags hcl.Diagnostics, hidden bool) *hcl.Diagnostic {
	if d := otherLanguage(src, filename); d != nil {
		return d
	}
	tokens, _ := hclsyntax.LexConfig(src, filename, hcl.InitialPos)
	lexical := badToken(tokens)
	first := lexical
	for _, d := range diags {
		neverClosed := d.Summary == "Unclosed configuration block" || d.Summary == "Unclosed configuration body"
		if !neverClosed && d.Subject != nil && (first == nil || d.Subject.Start.Line < first.Subject.Start.Line) {
			first = d
		}
	}
	switch open, extra := braces(tokens); {
	case first == nil && open.Empty():
		return diags[0]
	case first == nil:
		return problem(open, "Missing brace", "This brace is not closed: a } is missing behind it.")
	case !extra.Empty() && extra.Start == first.Subject.Start:
		return problem(extra, "Brace too many", "This brace closes nothing: it is one too many, here or above.")
	case hidden && first != lexical:
		return problem(*first.Subject, first.Summary, "A file of variables holds one NAME = VALUE after the other, and text stands in quotes.")
	}
	return first
}

// oddCharacter says what a character is that means nothing outside of quotes.
func oddCharacter(r rune) string {
	switch {
	case unicode.Is(unicode.Quotation_Mark, r) || r == '`' || r == '″':
		return "a curly quote, a single quote or the like; text stands in straight double ones: \""
	case unicode.Is(unicode.Zs, r):
		return "a no-break space or the like; an ordinary one belongs there"
	case unicode.Is(unicode.Cf, r):
		return "one of no width, which can't be seen; take it out"
	case unicode.Is(unicode.Dash, r):
		return "a dash; a hyphen is -"
	}
	return "one that means nothing outside of quotes"
}

// badToken finds what the lexer could make nothing of, or a text that does not
// end.
func badToken(tokens hclsyntax.Tokens) *hcl.Diagnostic {
	var open []hclsyntax.Token // quotes and heredocs
	for _, token := range tokens {
		if token.Type == hclsyntax.TokenQuotedNewline {
			open = append(open, token)[max(0, len(open)-1):] // the innermost explains it
			break
		}
		switch token.Type {
		case hclsyntax.TokenOQuote, hclsyntax.TokenOHeredoc:
			open = append(open, token)
		case hclsyntax.TokenCQuote, hclsyntax.TokenCHeredoc:
			open = open[:max(0, len(open)-1)]
		case hclsyntax.TokenInvalid, hclsyntax.TokenApostrophe, hclsyntax.TokenBacktick, hclsyntax.TokenSemicolon:
			r, _ := utf8.DecodeRune(token.Bytes)
			return problem(token.Range, "Invalid character", "The character at column %d is %s. There may be more of them below.", token.Range.Start.Column, oddCharacter(r))
		}
	}
	switch {
	case len(open) == 0:
		return nil
	case open[0].Type == hclsyntax.TokenOHeredoc:
		return problem(open[0].Range, "Text without end", "The text that begins below never ends: the word after << has to stand on a line of its own behind it.")
	}
	return problem(open[0].Range, "Missing quote", "The text that this quote begins does not end on its line: a quote is missing, or one is too many.")
}

// outsideUTF8 finds the first byte that is not UTF-8 where it would mean
// something: in a comment it does not.
func outsideUTF8(src []byte, filename string) hcl.Diagnostics {
	tokens, _ := hclsyntax.LexConfig(src, filename, hcl.InitialPos)
	for _, token := range tokens {
		if token.Type != hclsyntax.TokenComment && !utf8.Valid(token.Bytes) {
			return hcl.Diagnostics{problem(token.Range, "Not UTF-8",
				"This line has a byte that is not UTF-8, and only UTF-8 is read. Save the file as UTF-8 in your editor. If it is Latin-1, as of Windows, this converts it:\n  %s",
				convert8("WINDOWS-1252", filename))}
		}
	}
	return nil
}

// braces finds the brace that is not closed: the first one whose closing brace is
// indented less than the line it stands on, since that one was meant for another;
// else the last that is left open. extra is the first that closes nothing.
func braces(tokens hclsyntax.Tokens) (open, extra hcl.Range) {
	var all []hcl.Range
	var indents []int // of the lines that they stand on
	indent, line := 0, 0
	for _, token := range tokens {
		first := token.Range.Start.Line != line
		if first {
			line, indent = token.Range.Start.Line, token.Range.Start.Column
		}
		last := len(all) - 1
		switch {
		case token.Type == hclsyntax.TokenOBrace:
			all, indents = append(all, token.Range), append(indents, indent)
		case token.Type == hclsyntax.TokenCBrace && last >= 0:
			if first && indents[last] > indent && open.Empty() {
				open = all[last]
			}
			all, indents = all[:last], indents[:last]
		case token.Type == hclsyntax.TokenCBrace && extra.Empty():
			extra = token.Range
		}
	}
	if open.Empty() && len(all) > 0 {
		open = all[len(all)-1]
	}
	return open, extra
}
