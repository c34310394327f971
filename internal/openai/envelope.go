package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Envelope is the little of a request that a relay has to know.
type Envelope struct {
	Model               string
	Stream              bool
	MaxTokens           Count
	MaxCompletionTokens Count
	N                   Count

	modelStart, modelEnd int // of the JSON string, quotes included
}

// Count is a number of the request as it was written; "" where it is absent
// or null.
type Count string

// EnvelopeError says what is wrong with a request's body.
type EnvelopeError struct {
	Param string // the member at fault, if one is
	Text  string
}

func (e *EnvelopeError) Error() string {
	if e.Param == "" {
		return "read body: " + e.Text
	}
	return "read body: " + e.Param + ": " + e.Text
}

// ParseEnvelope reads the envelope of a JSON body without changing or copying
// it. It is strict where leniency would let a request mean one thing here and
// another at the engine: the body must be one valid JSON object, and a member
// the relay decides by must not stand in it twice, in whatever letter case or
// escapes. Every error is an *EnvelopeError.
func ParseEnvelope(body []byte) (Envelope, error) {
	var e Envelope
	var seen [len(watched)]bool
	s := &scanner{data: body, member: func(name []byte, start, end int) error { return e.member(&seen, name, body, start, end) }}
	if err := s.object(); err != nil {
		return Envelope{}, err
	}
	if e.Model == "" {
		return Envelope{}, &EnvelopeError{"model", "is missing"}
	}
	return e, nil
}

// WithModel is body with its model replaced, and nothing else touched.
func (e Envelope) WithModel(body []byte, model string) []byte {
	quoted, err := json.Marshal(model)
	if err != nil {
		panic(err) // a string always encodes
	}
	out := make([]byte, 0, len(body)+len(quoted))
	out = append(out, body[:e.modelStart]...)
	out = append(out, quoted...)
	return append(out, body[e.modelEnd:]...)
}

var watched = [...]string{"model", "stream", "max_tokens", "max_completion_tokens", "n"}

// member takes one member of the top object; key is its JSON string.
func (e *Envelope) member(seen *[len(watched)]bool, key, body []byte, start, end int) error {
	name, err := unquoted(key)
	if err != nil {
		return &EnvelopeError{Text: "a member's name is no string"}
	}
	for i, known := range watched {
		if !strings.EqualFold(name, known) {
			continue
		}
		if name != known || seen[i] {
			return &EnvelopeError{known, "stands in the body more than once or in other letter case"}
		}
		seen[i] = true
		return e.set(known, body[start:end], start, end)
	}
	return nil
}

// unquoted is what a JSON string that the scanner has passed stands for.
func unquoted(quoted []byte) (text string, err error) {
	if bytes.IndexByte(quoted, '\\') < 0 && utf8.Valid(quoted) {
		return string(quoted[1 : len(quoted)-1]), nil
	}
	err = json.Unmarshal(quoted, &text)
	return text, err
}

func (e *Envelope) set(name string, value []byte, start, end int) error {
	var err error
	switch name {
	case "model":
		e.modelStart, e.modelEnd = start, end
		if value[0] == '"' {
			e.Model, err = unquoted(value)
		}
		if err != nil || e.Model == "" {
			return &EnvelopeError{name, "must be a string, and not an empty one"}
		}
	case "stream":
		e.Stream = string(value) == "true"
		if !e.Stream && string(value) != "false" && string(value) != "null" {
			return &EnvelopeError{name, "must be true or false"}
		}
	case "max_tokens":
		e.MaxTokens, err = count(name, value)
	case "max_completion_tokens":
		e.MaxCompletionTokens, err = count(name, value)
	case "n":
		e.N, err = count(name, value)
	}
	return err
}

func count(name string, value []byte) (Count, error) {
	switch c := value[0]; {
	case c == 'n':
		return "", nil
	case c == '-' || '0' <= c && c <= '9':
		return Count(value), nil
	}
	return "", &EnvelopeError{name, "must be a number"}
}

func (s *scanner) fault(format string, args ...any) error {
	return &EnvelopeError{Text: fmt.Sprintf("no valid JSON object: at byte %d: "+format, append([]any{s.pos}, args...)...)}
}
