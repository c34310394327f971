package openai

import (
	"encoding/json"
	"fmt"
	"strings"
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
	s := &scanner{data: body}
	seen := make(map[string]bool, 8)
	err := s.object(func(key []byte, start, end int) error { return e.member(seen, key, body, start, end) })
	if err != nil {
		return Envelope{}, err
	}
	if !seen["model"] {
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

var watched = []string{"model", "stream", "max_tokens", "max_completion_tokens", "n"}

// member takes one member of the top object; key is its JSON string.
func (e *Envelope) member(seen map[string]bool, key, body []byte, start, end int) error {
	var name string
	if err := json.Unmarshal(key, &name); err != nil {
		return &EnvelopeError{Text: "a member's name is no string"}
	}
	for _, known := range watched {
		if !strings.EqualFold(name, known) {
			continue
		}
		if name != known || seen[known] {
			return &EnvelopeError{known, "stands in the body more than once or in other letter case"}
		}
		seen[known] = true
		return e.set(known, body[start:end], start, end)
	}
	return nil
}

func (e *Envelope) set(name string, value []byte, start, end int) error {
	var err error
	switch name {
	case "model":
		e.modelStart, e.modelEnd = start, end
		if err = json.Unmarshal(value, &e.Model); err != nil || e.Model == "" {
			return &EnvelopeError{name, "must be a string, and not an empty one"}
		}
	case "stream":
		if err = json.Unmarshal(value, &e.Stream); err != nil {
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
