package relay

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
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

// readBody reads the body of r into b, until the given time.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, b *body, until time.Time) *openai.Error {
	limit := int64(s.current().settings.Relay.MaxBody)
	control := http.NewResponseController(w)
	come, due := 0, time.Now().Add(bodyStall) // bytes that had come when due was set
	for {
		if max(int64(len(b.data)), r.ContentLength) > limit {
			text := fmt.Sprintf("the request's body is over the %d bytes that this relay takes", limit)
			return invalidError(http.StatusRequestEntityTooLarge, "request_too_large", "", text)
		}
		if len(b.data) == cap(b.data) && !s.grow(b, r.ContentLength, limit) {
			return busyError("relay_busy", "the relay holds too many large requests", 2*time.Second)
		}
		n, err := r.Body.Read(b.data[len(b.data):cap(b.data)])
		b.data = b.data[:len(b.data)+n]
		switch {
		case errors.Is(err, io.EOF) && int64(len(b.data)) <= limit:
			return nil // the HTTP server takes the deadline away again
		case err != nil && !errors.Is(err, io.EOF):
			return invalidError(http.StatusBadRequest, "incomplete_body", "", "the request's body did not come whole")
		}
		if len(b.data)-come >= bodyPiece {
			come, due = len(b.data), time.Now().Add(bodyStall)
		}
		deadline := due
		if until.Before(due) {
			deadline = until
		}
		control.SetReadDeadline(deadline)
	}
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

// share is how many times what is left free one key may hold. So there is room
// for whoever comes later, however many have taken all they may: one alone has
// four fifths, two have four ninths each, and so on.
const share = 4

// budget bounds the memory of bodies, of all keys together and of each.
type budget struct {
	mu    sync.Mutex
	limit int64 // bytes
	used  int64
	byKey map[string]int64
}

func (b *budget) setLimit(limit int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit = limit
	if b.byKey == nil {
		b.byKey = make(map[string]int64)
	}
}

// take takes n bytes for key, or none.
func (b *budget) take(key string, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	free := b.limit - b.used - n
	if b.byKey[key]+n > share*free {
		return false
	}
	b.used += n
	b.byKey[key] += n
	return true
}

func (b *budget) give(key string, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	if b.byKey[key] -= n; b.byKey[key] == 0 {
		delete(b.byKey, key)
	}
}
