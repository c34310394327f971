package relay

import (
	"io"

	"github.com/relayctl/relayctl/internal/openai"
	"github.com/relayctl/relayctl/internal/protocol"
)

// tailSize is how much of a stream's end is looked at to see whether it is one,
// in bytes: room for the event that says so and one of figures after it.
const tailSize = 4 << 10

// maxHeld is how much of an event is waited for, in bytes. No budget counts it:
// what workers can make the relay hold is this, twice, for each request.
const maxHeld = 1 << 20

// errCutOff is a stream of events that ended before its answer did.
var errCutOff = &protocol.ResetError{Code: protocol.ResetEngine, Text: "the stream ended before its answer did"}

// events is what has to be known of an event stream so that clients get whole
// events only, and learn of an end that is none.
type events struct {
	on    bool   // the answer is an event stream
	held  []byte // the beginning of an event that has not come whole
	spare []byte // what held was before, to be used again
	tail  []byte // the end of what was delivered, tailSize bytes at least where there were as many
}

// take is what may be delivered once chunk has come, valid until the next call.
// An event that does not fit into maxHeld bytes is not waited for.
func (e *events) take(chunk []byte) []byte {
	if len(e.held) == 0 {
		n := openai.WholeEvents(chunk)
		e.held = append(e.held, chunk[n:]...)
		return chunk[:n]
	}
	searched := max(len(e.held)-2, 0) // a blank line may lie across
	e.held, e.spare = e.spare[:0], append(e.held, chunk...)
	n := openai.WholeEvents(e.spare[searched:])
	if n > 0 {
		n += searched
	} else if len(e.spare) > maxHeld {
		n = len(e.spare)
	}
	if n == 0 {
		e.held, e.spare = e.spare, e.held
		return nil
	}
	e.held = append(e.held, e.spare[n:]...)
	return e.spare[:n]
}

// end is what is left to be delivered at the stream's end, io.EOF for nothing,
// or errCutOff.
func (e *events) end() ([]byte, error) {
	last := e.held
	e.held = nil
	switch {
	case !openai.StreamHasEnded(e.tail) && !openai.StreamHasEnded(last):
		return nil, errCutOff
	case len(last) == 0:
		return nil, io.EOF
	}
	return last, nil
}

// delivered takes note of what the client has got.
func (e *events) delivered(chunk []byte) {
	if len(chunk) >= tailSize {
		e.tail = e.tail[:0]
		chunk = chunk[len(chunk)-tailSize:]
	} else if len(e.tail)+len(chunk) > 2*tailSize {
		e.tail = append(e.tail[:0], e.tail[len(e.tail)-tailSize:]...)
	}
	e.tail = append(e.tail, chunk...)
}

// gap is what has to stand before a further event, after an event that was too
// large to be held back.
func (e *events) gap() []byte {
	if openai.WholeEvents(e.tail) == len(e.tail) {
		return nil
	}
	return []byte("\n\n")
}
