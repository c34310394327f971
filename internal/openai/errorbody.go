package openai

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ParseError reads an error body, whole or in an event, in any of the shapes
// that engines and what stands before them give it; Message is empty where it
// says nothing in words. ok is false where data is none.
//
//	{"error": {"message": …, "type": …, "param": …, "code": …}}   OpenAI, vLLM, llama.cpp
//	{"error": "…"}                                                Ollama
//	{"object": "error", "message": …, "type": …, "code": …}       older vLLM, SGLang
//	{"detail": "…"}, {"detail": [{"msg": …}]}                     FastAPI
//	{"message": "…"}                                              API gateways
func ParseError(data []byte) (e *Error, ok bool) {
	var body struct {
		said
		Error, Detail, Choices json.RawMessage
		Object                 any
	}
	switch {
	case json.Unmarshal(data, &body) != nil:
		return nil, false
	case isText(body.Error) || bytes.HasPrefix(body.Error, []byte("[")):
		return &Error{Message: textOf(body.Error)}, true
	case !absent(body.Error):
		var inner said
		if json.Unmarshal(body.Error, &inner) != nil {
			return nil, false
		}
		return inner.error(), true
	case body.Object == "error", absent(body.Choices) && isText(body.Message):
		return body.error(), true
	case absent(body.Choices) && !absent(body.Detail):
		body.Message = body.Detail
		return body.error(), true
	}
	return nil, false
}

// said is what most shapes have, of whatever type.
type said struct {
	Message           json.RawMessage
	Type, Param, Code any
}

func (s said) error() *Error {
	return &Error{Message: textOf(s.Message), Type: asText(s.Type), Param: asText(s.Param), Code: asText(s.Code)}
}

// ErrorText is what the body of an answer that is an error says in words, on
// one line: the message of a shape that ParseError reads, a web page's title,
// or the text itself. It is empty where there is nothing of the kind.
func ErrorText(body []byte) string {
	if e, ok := ParseError(body); ok {
		return FirstLine(e.Message)
	}
	text := bytes.TrimSpace(body)
	switch {
	case len(text) == 0 || text[0] == '{' || text[0] == '[' || !utf8.Valid(text):
		return ""
	case text[0] == '<':
		return FirstLine(title(string(text)))
	}
	return FirstLine(string(text))
}

// maxErrorText is how much of what a stranger says is repeated, in bytes.
const maxErrorText = 300

// FirstLine is the first line of what a stranger says, of bounded length and
// printable.
func FirstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if len(line) > maxErrorText {
		line = strings.ToValidUTF8(line[:maxErrorText], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.TrimSpace(line))
}

// title is a web page's.
func title(page string) string {
	lower := strings.ToLower(page)
	start, end := strings.Index(lower, "<title>"), strings.Index(lower, "</title>")
	if start < 0 || end < start || len(lower) != len(page) {
		return ""
	}
	return page[start+len("<title>") : end]
}

func absent(data json.RawMessage) bool { return len(data) == 0 || string(data) == "null" }

func isText(data json.RawMessage) bool { return len(data) > 0 && data[0] == '"' }

// textOf is what data says in words: itself, or its member or first element
// that does.
func textOf(data json.RawMessage) string {
	var text string
	var list []json.RawMessage
	var object struct{ Message, Msg, Error, Detail json.RawMessage }
	switch {
	case json.Unmarshal(data, &text) == nil:
		return text
	case json.Unmarshal(data, &list) == nil && len(list) > 0:
		return textOf(list[0])
	case json.Unmarshal(data, &object) == nil:
		for _, member := range []json.RawMessage{object.Message, object.Msg, object.Error, object.Detail} {
			if !absent(member) {
				return textOf(member)
			}
		}
	}
	return ""
}

func asText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return ""
}
