package openai

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// MaxEvent bounds one event of a stream that EventReader reads, in bytes.
const MaxEvent = 4 << 20

// Done is the data of the event that ends a stream of completions.
const Done = "[DONE]"

// ErrEventTooLarge is returned for an event over MaxEvent.
var ErrEventTooLarge = errors.New("event is too large")

// WholeEvents is how many bytes at the beginning of data, which begins with an
// event, are whole events: all up to the last blank line.
func WholeEvents(data []byte) int {
	if bytes.HasSuffix(data, []byte("\n\n")) || bytes.HasSuffix(data, []byte("\r\n\r\n")) {
		return len(data) // nearly always, and what follows is slow
	}
	end := 0
	for _, blank := range [...]string{"\n\n", "\n\r", "\r\r"} { // CR LF CR LF holds the second
		if at := bytes.LastIndex(data, []byte(blank)); at >= 0 {
			end = max(end, at+len(blank))
		}
	}
	if end > 0 && end < len(data) && data[end-1] == '\r' && data[end] == '\n' {
		end++
	}
	return end
}

// StreamHasEnded reports whether tail, the last bytes of a stream of
// completions, holds what one ends with: [DONE], a choice's reason to finish,
// or, in its last data, an error. Without any of them the stream was cut,
// however properly its connection was closed: a proxy between does that, and
// HTTP/1.0 knows no other way.
func StreamHasEnded(tail []byte) bool {
	if hasReason(tail) {
		return true
	}
	done, last := lastData(tail)
	if done {
		return true
	}
	_, isError := ParseError(last)
	return isError
}

// StreamIsDone reports whether tail holds [DONE], where clients stop reading.
func StreamIsDone(tail []byte) bool {
	done, _ := lastData(tail)
	return done
}

// lastData is the last data in tail, or that [DONE] is in it.
func lastData(tail []byte) (done bool, last []byte) {
	for line := range bytes.FieldsFuncSeq(tail, func(r rune) bool { return r == '\r' || r == '\n' }) {
		data, ok := bytes.CutPrefix(line, []byte("data:"))
		switch {
		case ok && string(bytes.TrimSpace(data)) == Done:
			return true, nil
		case ok:
			last = data
		}
	}
	return false, last
}

// hasReason reports whether tail holds a reason to finish: neither null nor an
// empty text, which engines give as long as there is none.
func hasReason(tail []byte) bool {
	for {
		_, after, found := bytes.Cut(tail, []byte(`"finish_reason"`)) // in what a model says, quotes are escaped
		if !found {
			return false
		}
		if value := bytes.TrimLeft(after, ": \t"); len(value) > 1 && value[0] == '"' && value[1] != '"' {
			return true
		}
		tail = after
	}
}

// EventReader reads the data of server-sent events, as the WHATWG HTML
// standard defines them. Names, ids and comments are passed over.
type EventReader struct {
	lines   *bufio.Reader
	data    []byte
	afterCR bool // a LF that comes next belongs to the line before
}

// NewEventReader reads events from r.
func NewEventReader(r io.Reader) *EventReader {
	return &EventReader{lines: bufio.NewReader(r)}
}

// Next returns the data of the next event, valid until the next call; io.EOF
// after the last whole one. A stream cut inside an event ends with
// io.ErrUnexpectedEOF.
func (r *EventReader) Next() ([]byte, error) {
	r.data = r.data[:0]
	begun := false
	for {
		line, err := r.line()
		switch {
		case errors.Is(err, io.EOF) && begun:
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		case len(line) == 0 && begun:
			return r.data[:len(r.data)-1], nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if string(name) != "data" {
			continue
		}
		begun = true
		r.data = append(r.data, bytes.TrimPrefix(value, []byte(" "))...)
		r.data = append(r.data, '\n')
		if len(r.data) > MaxEvent {
			return nil, fmt.Errorf("read event: %w", ErrEventTooLarge)
		}
	}
}

// line reads one line without its end: LF, CR LF or CR.
func (r *EventReader) line() ([]byte, error) {
	var line []byte
	for {
		c, err := r.lines.ReadByte()
		afterCR := r.afterCR
		r.afterCR = c == '\r'
		switch {
		case err != nil && len(line) > 0 && errors.Is(err, io.EOF):
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		case c == '\n' && afterCR:
			continue
		case c == '\n' || c == '\r':
			return line, nil
		}
		if line = append(line, c); len(line) > MaxEvent {
			return nil, fmt.Errorf("read event: %w", ErrEventTooLarge)
		}
	}
}
