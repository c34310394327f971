package stack

import (
	"regexp"
	"slices"
	"strings"

	"github.com/relayctl/relayctl/internal/secret"
)

// argumentNames tells arguments that take a secret from others by their
// names, mistyped or not.
type argumentNames struct {
	secrets []string // those that take a secret
	others  []string
}

func secretNames() argumentNames {
	var names argumentNames
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
	names.others = append(names.others, variableAttributes...)
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
	near, _ := Nearest(name, []string{"default"})
	return near != "" && (name == near || !slices.Contains(n.others, name))
}

var (
	wordPattern = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_-]*`)
	// keyPattern is what keys look like: long, and without spaces and dots.
	keyPattern = regexp.MustCompile(`[A-Za-z0-9+/_-]{16,}`)
)

// lines covers, in a file that did not parse, the rest of each line that
// names an argument that takes a secret, and whatever looks like a key. What is
// surely a secret is added to texts.
func (n argumentNames) lines(src []byte, texts *secret.Texts) []span {
	var spans []span
	for at := 0; at < len(src); {
		start, end := lineAround(src, at)
		line := string(src[start:end])
		names := strings.IndexByte(line, '=')
		if names < 0 {
			names = len(line)
		}
		for _, m := range wordPattern.FindAllStringIndex(line[:names], -1) {
			word := line[m[0]:m[1]]
			if !n.secret(word) && !n.preset(word) {
				continue
			}
			from := names + 1
			if names == len(line) {
				from = m[1]
			}
			for from < len(line) && (line[from] == ' ' || line[from] == '\t') {
				from++
			}
			spans = append(spans, masked(start+from, end))
			if slices.Contains(n.secrets, word) {
				texts.Add(strings.Trim(line[from:], " \t\r\""))
			}
		}
		for _, m := range keyPattern.FindAllStringIndex(line, -1) {
			if !slices.Contains(n.others, line[m[0]:m[1]]) {
				spans = append(spans, masked(start+m[0], start+m[1]))
			}
		}
		at = end + 1
	}
	return spans
}
