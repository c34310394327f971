package relay

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/relayctl/relayctl/internal/openai"
)

// bodyStall is how long a client may take for each piece of its request's body.
const bodyStall = 30 * time.Second

// body is a request's body in memory: it is read to its end before a worker
// gets any of it, so that a slow client holds no slot, a request can be tried
// again, and the HTTP server can't cut an answer that begins before the
// request was read (golang/go#40747).
type body struct {
	data  []byte
	taken int64
	from  *budget // that taken is of; nil where it is 0
	key   string  // whose it is
}

func (b *body) free() {
	if b.from != nil {
		b.from.give(b.key, b.taken)
	}
	b.data, b.taken, b.from = nil, 0, nil
}

// bodyPiece is how many bytes a body has to bring in each bodyStall until it is
// whole: nobody holds memory by sending a byte now and then.
const bodyPiece = 64 << 10

// readBody reads the body of r, a request of key's, of at most limit bytes,
// until the given time.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, key string, limit int64, until time.Time) (*body, *openai.Error) {
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	b := &body{key: key}
	control := http.NewResponseController(w)
	come, due := 0, time.Now().Add(bodyStall) // bytes that had come when due was set
	for {
		if len(b.data) == cap(b.data) && !s.grow(b, r.ContentLength, limit) {
			b.free()
			return nil, busyError("relay_busy", "the relay holds too many large requests", 2*time.Second)
		}
		n, err := r.Body.Read(b.data[len(b.data):cap(b.data)])
		b.data = b.data[:len(b.data)+n]
		switch {
		case int64(len(b.data)) > limit:
			b.free()
			return nil, tooLarge(limit)
		case errors.Is(err, io.EOF):
			return b, nil // the HTTP server takes the deadline away again
		case err != nil:
			b.free()
			return nil, invalidError(http.StatusBadRequest, "incomplete_body", "", "the request's body did not come whole")
		}
		if len(b.data)-come >= bodyPiece {
			come, due = len(b.data), time.Now().Add(bodyStall)
		}
		control.SetReadDeadline(earlier(due, until))
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

const (
	firstRoom = 16 << 10 // bytes that a body gets to begin with, whatever its client announces
	smallBody = 64 << 10 // up to here, the large ones leave it room
)

// grow makes room for more in b, up to the length that was announced; false
// where the budget has none. A large body of unknown length gets a quarter more
// at a time, since that may be room that it does not need.
func (s *Server) grow(b *body, announced, limit int64) bool {
	size, most := 2*int64(cap(b.data)), announced+1 // one more, to see the end without growing
	if announced < 0 {
		most = limit + 1
		if size > 1<<20 {
			size = int64(cap(b.data)) / 4 * 5
		}
	}
	size = min(max(size, firstRoom), most)
	from, more := &s.smallBodies, size
	if size > smallBody {
		from = &s.bodies
	}
	if from == b.from {
		more -= b.taken
	}
	if !from.take(b.key, more) {
		return false
	}
	if b.from != nil && b.from != from {
		b.from.give(b.key, b.taken)
	}
	b.from, b.taken = from, size
	grown := make([]byte, len(b.data), size)
	copy(grown, b.data)
	b.data = grown
	return true
}

func tooLarge(limit int64) *openai.Error {
	text := fmt.Sprintf("the request's body is over the %d bytes that this relay takes", limit)
	return invalidError(http.StatusRequestEntityTooLarge, "request_too_large", "", text)
}
