package openai

import "bytes"

// maxDepth bounds how deep a body may nest.
const maxDepth = 512

// scanner walks a JSON text once, checking it as RFC 8259 has it (and, like
// encoding/json, letting strings hold bytes that are no UTF-8). The standard
// decoder neither tells where a value stands nor that a member came twice.
type scanner struct {
	data  []byte
	pos   int
	stack []byte // the closing bracket of every open array and object
}

// object walks the whole text, which must be one object, and calls member for
// each of its own members with the name as written and the value's bounds.
func (s *scanner) object(member func(key []byte, start, end int) error) error {
	if s.space(); s.peek() != '{' {
		return s.fault("expected {")
	}
	s.pos++
	if s.space(); s.peek() == '}' {
		s.pos++
		return s.end()
	}
	for {
		key, err := s.key()
		if err != nil {
			return err
		}
		start := s.pos
		if err := s.value(); err != nil {
			return err
		}
		if err := member(key, start, s.pos); err != nil {
			return err
		}
		s.space()
		switch s.peek() {
		case ',':
			s.pos++
		case '}':
			s.pos++
			return s.end()
		default:
			return s.fault("expected , or }")
		}
	}
}

// end checks that nothing follows.
func (s *scanner) end() error {
	if s.space(); s.pos != len(s.data) {
		return s.fault("more after the object")
	}
	return nil
}

// key reads a member's name and its colon, and stops at the value.
func (s *scanner) key() ([]byte, error) {
	s.space()
	start := s.pos
	if err := s.str(); err != nil {
		return nil, err
	}
	key := s.data[start:s.pos]
	if s.space(); s.peek() != ':' {
		return nil, s.fault("expected :")
	}
	s.pos++
	s.space()
	return key, nil
}

// value passes over one value of any depth, without recursion.
func (s *scanner) value() error {
	s.stack = s.stack[:0]
	for {
		s.space()
		opened, err := s.begin()
		if err != nil {
			return err
		}
		if opened {
			continue
		}
		if done, err := s.closeAll(); done || err != nil {
			return err
		}
	}
}

// begin reads a scalar, or opens an array or object that is not empty and
// stops at its first value.
func (s *scanner) begin() (opened bool, err error) {
	switch c := s.peek(); {
	case c == '"':
		return false, s.str()
	case c == '-' || '0' <= c && c <= '9':
		return false, s.number()
	case c == 't':
		return false, s.literal("true")
	case c == 'f':
		return false, s.literal("false")
	case c == 'n':
		return false, s.literal("null")
	case c != '[' && c != '{':
		return false, s.fault("expected a value")
	}
	closing := s.data[s.pos] + 2 // ASCII has ] two after [, and } two after {
	s.pos++
	if s.space(); s.peek() == closing {
		s.pos++
		return false, nil
	}
	if len(s.stack) == maxDepth {
		return false, s.fault("nested over %d deep", maxDepth)
	}
	s.stack = append(s.stack, closing)
	if closing == '}' {
		_, err = s.key()
	}
	return true, err
}

// closeAll follows a whole value: it closes what ends here, or stops at the
// next value. done is true when nothing is open any more.
func (s *scanner) closeAll() (done bool, err error) {
	for len(s.stack) > 0 {
		s.space()
		closing := s.stack[len(s.stack)-1]
		switch s.peek() {
		case closing:
			s.pos++
			s.stack = s.stack[:len(s.stack)-1]
		case ',':
			s.pos++
			if closing == '}' {
				_, err = s.key()
			}
			return false, err
		default:
			return false, s.fault("expected , or %c", closing)
		}
	}
	return true, nil
}

// peek is the byte at hand, 0 at the end (which no rule expects).
func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
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

func (s *scanner) literal(text string) error {
	if !bytes.HasPrefix(s.data[s.pos:], []byte(text)) {
		return s.fault("expected %s", text)
	}
	s.pos += len(text)
	return nil
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
	switch s.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return nil
	case 'u':
		for range 4 {
			s.pos++
			if !isHex(s.peek()) {
				return s.fault("expected a hex digit")
			}
		}
		return nil
	}
	return s.fault("an unknown escape")
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func (s *scanner) number() error {
	if s.peek() == '-' {
		s.pos++
	}
	if s.peek() == '0' {
		s.pos++
	} else if !s.digits() {
		return s.fault("expected a digit")
	}
	if s.peek() == '.' {
		s.pos++
		if !s.digits() {
			return s.fault("expected a digit")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		if !s.digits() {
			return s.fault("expected a digit")
		}
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
