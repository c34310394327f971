package sshconfig

import (
	"errors"
	"strings"
)

const blank = " \t\r\n"

// cut takes the first word off: up to a space, an "=" or a closing quote. One
// "=" between it and the rest goes too.
func cut(text string) (word, rest string, err error) {
	i := strings.IndexAny(text, blank+`="`)
	if i < 0 {
		return text, "", nil
	}
	word, rest = text[:i], text[i+1:]
	if text[i] == '"' {
		inner, after, closed := strings.Cut(rest, `"`)
		if !closed {
			return "", "", errQuotes
		}
		return word + inner, strings.TrimLeft(after, blank), nil
	}
	rest = strings.TrimLeft(rest, blank)
	if text[i] != '=' && strings.HasPrefix(rest, "=") {
		rest = strings.TrimLeft(rest[1:], blank)
	}
	return word, rest, nil
}

var errQuotes = errors.New("a quote is not closed")

// split takes arguments apart, up to a comment, much as a shell does.
func split(text string) (args []string, err error) {
	for {
		text = strings.TrimLeft(text, blank)
		if text == "" || text[0] == '#' {
			return args, nil
		}
		arg, n := argument(text)
		if n < 0 {
			return nil, errQuotes
		}
		args, text = append(args, arg), text[n:]
	}
}

// argument is the first one in a text, and where it ends; -1 where a quote is
// not closed.
func argument(text string) (string, int) {
	var arg strings.Builder
	quote := byte(0)
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text) && (strings.IndexByte(`'"\`, text[i+1]) >= 0 || quote == 0 && text[i+1] == ' '):
			i++
			arg.WriteByte(text[i])
		case quote == 0 && strings.IndexByte(blank, c) >= 0:
			return arg.String(), i
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case c == quote && quote != 0:
			quote = 0
		default:
			arg.WriteByte(c)
		}
	}
	if quote != 0 {
		return "", -1
	}
	return arg.String(), len(text)
}
