package kind

import (
	"slices"
	"strings"
)

// caddySites reads the addresses of a Caddyfile's sites, each once and as they
// stand there, and which files it imports beside them. It knows as much of the
// language as that takes; what follows a mistake may be misread.
func caddySites(text string) (sites, imports []string) {
	r := caddyReader{}
	for _, line := range caddyLines(text) {
		r.line(line)
	}
	unique := func(list []string) []string {
		seen := map[string]bool{}
		return slices.DeleteFunc(list, func(one string) bool {
			again := seen[one]
			seen[one] = true
			return again
		})
	}
	return unique(r.sites), unique(r.imports)
}

// caddyReader goes through the lines of a Caddyfile.
type caddyReader struct {
	depth     int      // blocks that are open
	addresses []string // of the site whose block opens next
	bare      bool     // the one site has no braces: all else is its own
	sites     []string
	imports   []string
}

func (r *caddyReader) line(tokens []string) {
	opens := tokens[len(tokens)-1] == "{"
	switch {
	case tokens[0] == "}":
		r.depth = max(0, r.depth-1)
	case r.depth > 0 || r.bare:
		if opens {
			r.depth++
		}
	default:
		r.head(tokens, opens)
	}
}

// head reads a line outside all blocks: of a site, a snippet, the options, or
// an import.
func (r *caddyReader) head(tokens []string, opens bool) {
	if tokens[0] == "import" && !opens && len(r.addresses) == 0 {
		r.imports = append(r.imports, tokens[1:min(2, len(tokens))]...)
		return
	}
	more := strings.HasSuffix(tokens[len(tokens)-1], ",")
	if opens {
		tokens = tokens[:len(tokens)-1]
		r.depth++
	}
	for _, token := range tokens {
		for address := range strings.SplitSeq(token, ",") {
			isSnippet := strings.HasPrefix(address, "(") || strings.HasPrefix(address, "&(")
			if address != "" && !isSnippet {
				r.addresses = append(r.addresses, address)
			}
		}
	}
	if more && !opens {
		return // it goes on in the next line
	}
	r.bare = !opens
	r.sites, r.addresses = append(r.sites, r.addresses...), nil
}

// caddyLines splits a Caddyfile into the tokens of its lines; empty lines and
// comments are left out.
func caddyLines(text string) [][]string {
	var lines [][]string
	var line []string
	for text != "" {
		switch c := text[0]; {
		case c == '\n':
			if line != nil {
				lines, line = append(lines, line), nil
			}
			text = text[1:]
		case c == ' ' || c == '\t' || c == '\r':
			text = text[1:]
		case c == '#':
			_, text = cut(text, "\n")
		case c == '\\' && strings.HasPrefix(strings.TrimPrefix(text[1:], "\r"), "\n"):
			_, text, _ = strings.Cut(text, "\n") // the line goes on
		default:
			var token string
			token, text = caddyToken(text)
			line = append(line, token)
		}
	}
	if line != nil {
		lines = append(lines, line)
	}
	return lines
}

// caddyToken takes the token that text begins with.
func caddyToken(text string) (token, rest string) {
	switch text[0] {
	case '"':
		for i := 1; i < len(text); i++ {
			switch text[i] {
			case '\\':
				i++
			case '"':
				return strings.ReplaceAll(text[1:i], `\"`, `"`), text[i+1:]
			}
		}
		return text[1:], ""
	case '`':
		token, rest, _ = strings.Cut(text[1:], "`")
		return token, rest
	}
	end := strings.IndexAny(text, " \t\r\n")
	if end < 0 {
		end = len(text)
	}
	token, rest = text[:end], text[end:]
	if marker, ok := strings.CutPrefix(token, "<<"); ok && marker != "" {
		rest = afterHeredoc(marker, rest)
	}
	return token, rest
}

// afterHeredoc is what follows the line that ends a heredoc: the first that
// begins with its marker.
func afterHeredoc(marker, text string) string {
	for text != "" {
		_, text = cut(text, "\n")
		text = strings.TrimPrefix(text, "\n")
		if tail, ok := strings.CutPrefix(strings.TrimLeft(text, " \t"), marker); ok {
			return tail
		}
	}
	return ""
}

// cut splits text before a separator, which stays with the rest.
func cut(text, separator string) (before, rest string) {
	at := strings.Index(text, separator)
	if at < 0 {
		return text, ""
	}
	return text[:at], text[at:]
}
