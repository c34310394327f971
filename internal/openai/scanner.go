package openai

import (
	"bytes"
	"strings"
)

// maxDepth bounds how deep a body may nest.
const maxDepth = 512

// scanner walks a JSON text once, without recursion, checking it as RFC 8259 has
// it (and, like encoding/json, letting strings hold bytes that are no UTF-8).
// The standard decoder neither tells where a value stands nor that a member came
// twice.
type scanner struct {
	data  []byte
	pos   int
	stack []byte // the closing bracket of every open array and object

	// member is told of each member of the outermost object: its name as written,
	// and the bounds of its value.
	member func(name []byte, start, end int) error
	name   []byte // of the member at hand
	start  int    // of its value
}

// object walks the whole text, which must be one object.
func (s *scanner) object() error {
	if s.space(); s.peek() != '{' {
		return s.fault("expected {")
	}
	for done := false; !done; {
		opened, err := s.begin()
		if err == nil && !opened {
			done, err = s.ended()
		}
		if err != nil {
			return err
		}
	}
	if s.space(); s.pos != len(s.data) {
		return s.fault("more after the object")
	}
	return nil
}

// begin reads a scalar, or opens an array or object that is not empty and
// stops at its first value.
func (s *scanner) begin() (opened bool, err error) {
	s.space()
	switch c := s.peek(); {
	case c == '"':
		return false, s.str()
	case c == '-' || '0' <= c && c <= '9':
		return false, s.number()
	case c != '[' && c != '{':
		return false, s.literal()
	}
	closing := s.data[s.pos] + 2 // ASCII has ] two after [, and } two after {
	s.pos++
	if s.space(); s.peek() == closing {
		s.pos++
		return false, nil
	}
	if len(s.stack) > maxDepth {
		return false, s.fault("nested over %d deep", maxDepth)
	}
	s.stack = append(s.stack, closing)
	if closing == '}' {
		err = s.key()
	}
	return true, err
}

// ended follows a whole value: it closes what ends with it, or stops at the
// next value. done is true when nothing is open any more.
func (s *scanner) ended() (done bool, err error) {
	for len(s.stack) > 0 {
		if len(s.stack) == 1 {
			if err := s.member(s.name, s.start, s.pos); err != nil {
				return false, err
			}
		}
		s.space()
		closing := s.stack[len(s.stack)-1]
		switch s.peek() {
		case closing:
			s.pos++
			s.stack = s.stack[:len(s.stack)-1]
		case ',':
			s.pos++
			if closing == '}' {
				err = s.key()
			}
			return false, err
		default:
			return false, s.fault("expected , or %c", closing)
		}
	}
	return true, nil
}

// key reads a member's name and its colon, and stops at the value.
func (s *scanner) key() error {
	s.space()
	start := s.pos
	if err := s.str(); err != nil {
		return err
	}
	name := s.data[start:s.pos]
	if s.space(); !s.skip(":") {
		return s.fault("expected :")
	}
	if s.space(); len(s.stack) == 1 {
		s.name, s.start = name, s.pos
	}
	return nil
}

// peek is the byte at hand, 0 at the end (which no rule expects).
func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

// skip passes over one of set, if it comes next.
func (s *scanner) skip(set string) bool {
	if s.pos == len(s.data) || strings.IndexByte(set, s.data[s.pos]) < 0 {
		return false
	}
	s.pos++
	return true
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

func (s *scanner) literal() error {
	for _, text := range []string{"true", "false", "null"} {
		if bytes.HasPrefix(s.data[s.pos:], []byte(text)) {
			s.pos += len(text)
			return nil
		}
	}
	return s.fault("expected a value")
}

// str passes over a string.
func (s *scanner) str() error {
	if s.peek() != '"' {
		return s.fault("expected a string")
	}
	for s.pos++; s.pos < len(s.data); s.pos++ {
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++
			return nil
		case c < ' ':
			return s.fault("a control character in a string")
		case c == '\\':
			if err := s.escape(); err != nil {
				return err
			}
		}
	}
	return s.fault("a string without end")
}

// escape passes over what follows a backslash, less its last byte.
func (s *scanner) escape() error {
	s.pos++
	c := s.peek()
	if c == 'u' {
		for range 4 {
			s.pos++
			if strings.IndexByte("0123456789abcdefABCDEF", s.peek()) < 0 {
				return s.fault("expected a hex digit")
			}
		}
	} else if strings.IndexByte(`"\/bfnrt`, c) < 0 {
		return s.fault("an unknown escape")
	}
	return nil
}

func (s *scanner) number() error {
	s.skip("-")
	ok := s.skip("0") || s.digits()
	if s.skip(".") {
		ok = s.digits() && ok
	}
	if s.skip("eE") {
		s.skip("+-")
		ok = s.digits() && ok
	}
	if !ok {
		return s.fault("expected a digit")
	}
	return nil
}

func (s *scanner) digits() bool {
	start := s.pos
	for c := s.peek(); '0' <= c && c <= '9'; c = s.peek() {
		s.pos++
	}
	return s.pos > start
}
