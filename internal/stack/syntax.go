package stack

import (
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
	lexical := badToken(tokens, hidden)
	var parsed *hcl.Diagnostic
	unclosed := false
	for _, d := range diags {
		if d.Severity != hcl.DiagError || d.Subject == nil {
			continue
		}
		if neverClosed(d) {
			unclosed = true
			continue
		}
		if parsed == nil || d.Subject.Start.Byte < parsed.Subject.Start.Byte {
			parsed = d
		}
	}
	switch {
	case lexical != nil && (parsed == nil || lexical.Subject.Start.Line <= parsed.Subject.Start.Line):
		return lexical
	case parsed == nil && unclosed:
		if d := openBrace(tokens); d != nil {
			return d
		}
	case parsed != nil && closesNothing(tokens, parsed.Subject.Start.Byte):
		return braceTooMany(tokens, parsed)
	case parsed != nil && hidden:
		return problem(*parsed.Subject, parsed.Summary, "A file of variables holds one NAME = VALUE after the other, and text stands in quotes.")
	}
	if parsed == nil {
		parsed = diags[0]
	}
	if hidden {
		return problem(*parsed.Subject, parsed.Summary, "A file of variables holds one NAME = VALUE after the other, and text stands in quotes.")
	}
	return parsed
}

// neverClosed reports whether an error is that of a block which the file ends
// in.
func neverClosed(d *hcl.Diagnostic) bool {
	return d.Summary == "Unclosed configuration block" || d.Summary == "Unclosed configuration body"
}

// oddCharacters are those that look like one of the language, and come with
// text from documents and web pages.
var oddCharacters = map[rune]string{
	'“': `a curly quote; text stands in straight ones: "`, '”': `a curly quote; text stands in straight ones: "`,
	'„': `a curly quote; text stands in straight ones: "`, '«': `a quotation mark; text stands in straight ones: "`,
	'»': `a quotation mark; text stands in straight ones: "`, '‘': `a curly quote; text stands in straight ones: "`,
	'’': `a curly quote; text stands in straight ones: "`, '‟': `a curly quote; text stands in straight ones: "`,
	'\'': `a single quote; text stands in double ones: "`, '`': `a backtick; text stands in double quotes: "`,
	'″': `a double prime; text stands in straight quotes: "`, '＂': `a wide quote; text stands in straight ones: "`,
	'\u00a0': "a no-break space; an ordinary one belongs there", '\u202f': "a no-break space; an ordinary one belongs there",
	'\u2007': "a no-break space; an ordinary one belongs there", '\u3000': "a wide space; an ordinary one belongs there",
	'\u2009': "a thin space; an ordinary one belongs there", '\u2003': "a wide space; an ordinary one belongs there",
	'\u200b': "a space of no width, which can't be seen; take it out", '\u200c': "a character of no width, which can't be seen; take it out",
	'\u200d': "a character of no width, which can't be seen; take it out", '\u2060': "a character of no width, which can't be seen; take it out",
	'\u00ad': "a soft hyphen, which can't be seen; take it out",
	'\ufeff': "a byte order mark, which belongs to the beginning of a file only; take it out",
	'–':      "a dash; a hyphen is -", '—': "a dash; a hyphen is -", '−': "a minus sign; a hyphen is -",
	'＝': "a wide equals sign; the plain one is =", '｛': "a wide brace; the plain one is {", '｝': "a wide brace; the plain one is }",
	';': "a semicolon; every argument has a line of its own", '…': "three dots as one character; something was left out here",
}

// badToken finds what the lexer could make nothing of, or a text that does not
// end.
func badToken(tokens hclsyntax.Tokens, hidden bool) *hcl.Diagnostic {
	var open []hclsyntax.Token // quotes and heredocs
	for _, token := range tokens {
		switch token.Type {
		case hclsyntax.TokenOQuote, hclsyntax.TokenOHeredoc:
			open = append(open, token)
		case hclsyntax.TokenCQuote, hclsyntax.TokenCHeredoc:
			open = open[:max(0, len(open)-1)]
		case hclsyntax.TokenQuotedNewline:
			at := token.Range
			if len(open) > 0 {
				at = open[len(open)-1].Range
			}
			return problem(at, "Missing quote", "The text that this quote begins does not end on its line: a quote is missing, or one is too many.")
		case hclsyntax.TokenInvalid, hclsyntax.TokenApostrophe, hclsyntax.TokenBacktick, hclsyntax.TokenSemicolon:
			r, _ := utf8.DecodeRune(token.Bytes)
			what, known := oddCharacters[r]
			switch {
			case known:
				return problem(token.Range, "Invalid character", "The character here is %s. There may be more of them below.", what)
			case hidden:
				return problem(token.Range, "Invalid character", "The character here means nothing outside of quotes.")
			}
			return problem(token.Range, "Invalid character", "The character here, %+q (U+%04X), means nothing outside of quotes.", r, r)
		}
	}
	switch {
	case len(open) == 0:
		return nil
	case open[0].Type == hclsyntax.TokenOHeredoc:
		return problem(open[0].Range, "Text without end", "The text that begins below never ends: the word after << has to stand on a line of its own behind it.")
	}
	return problem(open[0].Range, "Missing quote", "The text that this quote begins does not end.")
}

// outsideUTF8 finds the first byte that is not UTF-8 where it would mean
// something: in a comment it does not.
func outsideUTF8(src []byte, filename string) hcl.Diagnostics {
	tokens, _ := hclsyntax.LexConfig(src, filename, hcl.InitialPos)
	for _, token := range tokens {
		if token.Type != hclsyntax.TokenComment && !utf8.Valid(token.Bytes) {
			return hcl.Diagnostics{notEncoded(token.Range)}
		}
	}
	return nil
}

func notEncoded(at hcl.Range) *hcl.Diagnostic {
	return problem(at, "Not UTF-8",
		"This line has a byte that is not UTF-8, and only UTF-8 is read. Save the file as UTF-8 in your editor. If it is Latin-1, as of Windows, this converts it:\n  %s",
		convert8("WINDOWS-1252", at.Filename))
}

// openBrace finds the brace that is not closed: the first one whose closing
// brace is indented otherwise than the line it stands on, since that one was
// meant for another; else the last that is left open.
func openBrace(tokens hclsyntax.Tokens) *hcl.Diagnostic {
	type brace struct {
		at     hcl.Range
		indent int
	}
	var open []brace
	indent, line := 0, 0 // of the line that the token stands on
	for _, token := range tokens {
		first := token.Range.Start.Line != line
		if first {
			line, indent = token.Range.Start.Line, token.Range.Start.Column
		}
		switch token.Type {
		case hclsyntax.TokenOBrace:
			open = append(open, brace{token.Range, indent})
		case hclsyntax.TokenCBrace:
			if len(open) == 0 {
				continue
			}
			last := open[len(open)-1]
			open = open[:len(open)-1]
			if first && last.indent > indent {
				return unclosedBrace(last.at)
			}
		}
	}
	if len(open) == 0 {
		return nil
	}
	return unclosedBrace(open[len(open)-1].at)
}

func unclosedBrace(at hcl.Range) *hcl.Diagnostic {
	return problem(at, "Missing brace", "This brace is not closed: a } is missing behind it.")
}

// closesNothing reports whether a closing brace stands at a byte.
func closesNothing(tokens hclsyntax.Tokens, at int) bool {
	for _, token := range tokens {
		if token.Range.Start.Byte == at {
			return token.Type == hclsyntax.TokenCBrace
		}
	}
	return false
}

func braceTooMany(tokens hclsyntax.Tokens, d *hcl.Diagnostic) *hcl.Diagnostic {
	depth := 0
	for _, token := range tokens {
		if token.Range.Start.Byte == d.Subject.Start.Byte {
			break
		}
		switch token.Type {
		case hclsyntax.TokenOBrace:
			depth++
		case hclsyntax.TokenCBrace:
			depth--
		}
	}
	if depth > 0 {
		return d // it does close something, and comes too early
	}
	return problem(*d.Subject, "Brace too many", "This brace closes nothing: it is one too many, here or above.")
}
