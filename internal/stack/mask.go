package stack

import (
	"bytes"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/relayctl/relayctl/internal/secret"
)

// Secrets are masked by their text, once it is known (secret.Texts). What is
// covered here by its place is what has no known text: a secret that is written
// into the file, which is a mistake, in a file that may not even parse, or one
// that is too short to be masked wherever its text comes up.

// argumentNames tells arguments that take a secret from others by their
// names, mistyped or not.
type argumentNames struct {
	secrets []string // those that take a secret
	others  []string
}

func secretNames() argumentNames {
	names := argumentNames{others: variableAttributes}
	var collect func(b *block)
	collect = func(b *block) {
		for _, a := range b.attributes {
			if a.form.secret {
				names.secrets = append(names.secrets, a.name)
			} else {
				names.others = append(names.others, a.name)
			}
		}
		for _, nested := range b.blocks {
			collect(nested)
		}
	}
	collect(language())
	return names
}

// suspicious finds words in the names of arguments that do not exist, but whose
// value is likely to be a secret.
var suspicious = regexp.MustCompile(`(?i)key|token|secret|passw|credential`)

// secret reports whether an argument takes a secret, or was meant to.
func (n argumentNames) secret(name string) bool {
	if slices.Contains(n.others, name) {
		return false
	}
	_, near := Nearest(name, n.secrets)
	return near || suspicious.MatchString(name)
}

// preset reports whether an argument is the default of a variable, or was
// meant to be.
func (n argumentNames) preset(name string) bool {
	_, near := Nearest(name, []string{"default"})
	return near && (name == "default" || !slices.Contains(n.others, name))
}

var (
	// assignment takes a line apart: what stands before the first =, and behind it.
	assignment  = regexp.MustCompile(`(?m)^([^=\n]*)(?:=[ \t]*(.*))?$`)
	wordPattern = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_-]*`)
	// keyPattern is what keys look like: long, and without spaces and dots.
	keyPattern = regexp.MustCompile(`[A-Za-z0-9+/_-]{16,}`)
	// userInfo finds what stands before the host in a URL: a name and a password.
	userInfo = regexp.MustCompile(`://[^/\s"@]*@`)
	// password finds one where a user and a host stand without the rest of a URL.
	password = regexp.MustCompile(`([\w.+-]:)[^/\s"@,]+@`)
)

// valueSpans covers every value of a file of assignments: all but what stands
// left of a line's first =.
func valueSpans(src []byte) []span {
	var spans []span
	for _, m := range assignment.FindAllSubmatchIndex(src, -1) {
		spans = append(spans, masked(max(m[0], m[4]), m[1]))
	}
	return spans
}

// secretSpans covers the texts in a stack file that are given to arguments
// that take a secret, or whose names suggest that they were meant to. In a
// file that did not parse, where tokens may be told wrongly, it covers the
// rest of every line that names such an argument, and what looks like a key. A
// text that is surely a secret is noted, to be masked in other places, too.
func (s *Sources) secretSpans(src []byte, body *hclsyntax.Body, parsed bool) []span {
	tokens, _ := hclsyntax.LexConfig(src, "", hcl.InitialPos)
	names := secretNames()
	var spans []span
	for i := 0; i+1 < len(tokens); i++ {
		if tokens[i].Type != hclsyntax.TokenIdent || tokens[i+1].Type != hclsyntax.TokenEqual {
			continue
		}
		name := string(tokens[i].Bytes)
		isDefault := names.preset(name) && (!parsed || isSensitive(enclosing(body, tokens[i].Range.Start.Byte)))
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
		spans = append(spans, s.lineSpans(src, names)...)
	}
	for _, m := range userInfo.FindAllIndex(src, -1) {
		spans = append(spans, masked(m[0]+len("://"), m[1]-len("@")))
	}
	for _, m := range password.FindAllSubmatchIndex(src, -1) {
		spans = append(spans, masked(m[3], m[1]-len("@")))
	}
	return spans
}

// isSensitive reports whether a block has an argument named sensitive.
func isSensitive(b *hclsyntax.Block) bool { return b != nil && b.Body.Attributes["sensitive"] != nil }

// withoutPasswords masks a user's password before a host.
func withoutPasswords(s string) string {
	s = userInfo.ReplaceAllString(s, "://"+secret.Mask+"@")
	return password.ReplaceAllString(s, "${1}"+secret.Mask+"@")
}

// lineSpans covers the rest of each line that names an argument that takes a
// secret, and whatever looks like a key.
func (s *Sources) lineSpans(src []byte, names argumentNames) []span {
	var spans []span
	for _, line := range assignment.FindAllSubmatchIndex(src, -1) {
		for _, word := range wordPattern.FindAllIndex(src[line[2]:line[3]], -1) {
			name := string(src[line[2]+word[0] : line[2]+word[1]])
			if !names.secret(name) && !names.preset(name) {
				continue
			}
			value := masked(max(line[2]+word[1], line[4]), line[1])
			spans = append(spans, value)
			if slices.Contains(names.secrets, name) {
				s.secrets.Add(strings.Trim(string(src[value.start:value.end]), " \t\r\""))
			}
		}
	}
	for _, m := range keyPattern.FindAllIndex(src, -1) {
		if !slices.Contains(names.others, string(src[m[0]:m[1]])) {
			spans = append(spans, masked(m[0], m[1]))
		}
	}
	return spans
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

// spelledOut reports whether token i is a text, a number or a word that may
// be a secret itself: not what env() or file() is asked for, a name behind var.
// or local., or a word of the language.
func spelledOut(tokens hclsyntax.Tokens, i int) bool {
	text := string(tokens[i].Bytes)
	switch tokens[i].Type {
	case hclsyntax.TokenQuotedLit, hclsyntax.TokenStringLit, hclsyntax.TokenNumberLit,
		hclsyntax.TokenInvalid, hclsyntax.TokenBadUTF8:
		around := written(tokens, i-3, i) + " " + written(tokens, i+1, i+3)
		return around != `env(" ")` && around != `file(" ")`
	case hclsyntax.TokenIdent:
		_, isFunction := (&loader{}).functions()[text]
		return !isFunction && !slices.Contains([]string{"var", "local", "null", "true", "false"}, text) &&
			!slices.Contains([]string{"var.", "local."}, written(tokens, i-2, i))
	}
	return false
}

// written is the text of some of the tokens, as far as there are any.
func written(tokens hclsyntax.Tokens, from, to int) string {
	text := ""
	for _, token := range tokens[max(from, 0):min(to, len(tokens))] {
		text += string(token.Bytes)
	}
	return text
}
