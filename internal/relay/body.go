package relay

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/relayctl/relayctl/internal/openai"
)

// bodyStall is for how long a client may send nothing of its request's body.
const bodyStall = 30 * time.Second

// budget bounds the memory that all requests' bodies take together.
type budget struct {
	limit, used atomic.Int64
}

func (b *budget) take(n int64) bool {
	if b.used.Add(n) <= b.limit.Load() {
		return true
	}
	b.used.Add(-n)
	return false
}

func (b *budget) give(n int64) { b.used.Add(-n) }

// body is a request's body in memory: it is read to its end before a worker
// gets any of it, so that a slow client holds no slot, a request can be tried
// again, and the HTTP server can't cut an answer that begins before the
// request was read (golang/go#40747).
type body struct {
	data   []byte
	taken  int64
	budget *budget
}

func (b *body) free() {
	b.budget.give(b.taken)
	b.data, b.taken = nil, 0
}

// readBody reads the body of r, of at most limit bytes, until the given time.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, limit int64, until time.Time) (*body, *openai.Error) {
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	b := &body{budget: &s.bodies}
	control := http.NewResponseController(w)
	for {
		if len(b.data) == cap(b.data) && !b.grow(r.ContentLength, limit) {
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
		deadline := time.Now().Add(bodyStall)
		if until.Before(deadline) {
			deadline = until // a byte now and then keeps nothing open for ever
		}
		control.SetReadDeadline(deadline)
	}
}

// firstRoom is how much memory a body takes to begin with, in bytes, whatever
// its client announces.
const firstRoom = 16 << 10

// grow makes room for more, up to the length that was announced; false where
// the budget has none. A large body of unknown length gets a quarter more at a
// time, since that may be room that it does not need.
func (b *body) grow(announced, limit int64) bool {
	size, most := 2*int64(cap(b.data)), announced+1 // one more, to see the end without growing
	if announced < 0 {
		most = limit + 1
		if size > 1<<20 {
			size = int64(cap(b.data)) / 4 * 5
		}
	}
	size = min(max(size, firstRoom), most)
	if !b.budget.take(size - b.taken) {
		return false
	}
	b.taken = size
	grown := make([]byte, len(b.data), size)
	copy(grown, b.data)
	b.data = grown
	return true
}

func tooLarge(limit int64) *openai.Error {
	text := fmt.Sprintf("the request's body is over the %d bytes that this relay takes", limit)
	return invalidError(http.StatusRequestEntityTooLarge, "request_too_large", "", text)
}
