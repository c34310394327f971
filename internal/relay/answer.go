package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/relayctl/relayctl/internal/protocol"
)

// clientStall is for how long a client may take nothing of its answer.
const clientStall = time.Minute

// silence ends a request when its worker says nothing for too long: at first
// for the first byte, once started for each further one.
type silence struct {
	*time.Timer
	limit time.Duration // between bytes
	begun atomic.Bool
}

func newSilence(firstByte, between time.Duration, cancel context.CancelCauseFunc) *silence {
	s := &silence{limit: between}
	s.Timer = time.AfterFunc(firstByte, func() {
		if s.begun.Load() {
			cancel(errIdle)
			return
		}
		cancel(errFirstByte)
	})
	return s
}

func (s *silence) start() {
	s.begun.Store(true)
	s.Reset(s.limit)
}

// answer passes a worker's answer on to the client.
type answer struct {
	*job
	stream *protocol.Stream
	w      http.ResponseWriter
	idle   *silence

	control   *http.ResponseController
	limited   time.Time
	unflushed bool
	length    int64 // the body's as the head has it, -1 where it has none
	events    events
}

// begin waits for the head and the first bytes and sends both. Until then
// nothing is delivered, and the request may go to another worker.
func (a *answer) begin(ctx context.Context) error {
	head, err := a.stream.Response(ctx)
	if err != nil {
		return err
	}
	if head.Status < 200 || head.Status > 599 {
		return &protocol.ResetError{Code: protocol.ResetEngine, Text: fmt.Sprintf("answered with status %d", head.Status)}
	}
	if turnsAway(head.Status) {
		return a.takeRefusal(ctx, head)
	}
	header := protocol.ResponseHeader(head.Header)
	a.events.on = carriesEvents(head.Status, header)
	chunk, err := a.next(ctx)
	switch {
	case errors.Is(err, io.EOF) && len(chunk) == 0 && head.Status == http.StatusOK:
		return errEmpty
	case err != nil && !errors.Is(err, io.EOF):
		return err
	}
	a.idle.Stop() // the client's pace is not the engine's
	a.firstByte = time.Since(a.start)
	a.control = http.NewResponseController(a.w)
	a.sendHead(head.Status, header)
	if err = a.write(chunk); err != nil {
		a.breakOff(err)
	}
	return err
}

// sendHead sends the head; whatever comes now, the answer has begun.
func (a *answer) sendHead(status int, header http.Header) {
	h := a.w.Header()
	addFields(h, header)
	a.length = lengthIn(h)
	if a.events.on || a.length < 0 {
		a.length = -1
		h.Del("Content-Length")
	}
	if a.events.on {
		h.Set("X-Accel-Buffering", "no")
		if h.Get("Cache-Control") == "" {
			h.Set("Cache-Control", "no-cache")
		}
	}
	a.limited = a.start // the HTTP server has set a deadline then
	a.status = status
	a.outcome = broken // until the end has been seen
	a.w.WriteHeader(status)
}

// addFields takes over the engine's header fields, less the request's id, which
// is ours.
func addFields(h, engines http.Header) {
	id := h["X-Request-Id"]
	maps.Copy(h, engines)
	h["X-Request-Id"] = id
}

// What engines do that say they have answered, and have not.
var (
	errEmpty  = &protocol.ResetError{Code: protocol.ResetEngine, Text: "the model's engine gave an empty answer"}
	errLength = &protocol.ResetError{Code: protocol.ResetEngine, Text: "the body has another length than the head said"}
)

// carriesEvents reports whether an answer's body is looked into as a stream of
// events. An error is none, whatever it is called, and what is compressed can't
// be looked into.
func carriesEvents(status int, h http.Header) bool {
	return status < http.StatusBadRequest && len(h["Content-Encoding"]) == 0 && protocol.MediaType(h) == protocol.EventStream
}

// lengthIn is the body's length as h has it, -1 where it has none that can be
// relied on.
func lengthIn(h http.Header) int64 {
	if len(h["Content-Length"]) == 1 {
		if n, err := strconv.ParseUint(h["Content-Length"][0], 10, 63); err == nil {
			return int64(n)
		}
	}
	return -1
}

// pass sends the rest.
func (a *answer) pass(ctx context.Context) error {
	for {
		chunk, err := a.next(ctx)
		switch {
		case errors.Is(err, io.EOF) && (a.length < 0 || a.length == a.bytesOut):
			return nil
		case errors.Is(err, io.EOF):
			err = errLength
		case err == nil:
			a.idle.Stop() // the client's pace is not the engine's
			err = a.write(chunk)
			a.idle.start()
		}
		if err != nil {
			a.breakOff(err)
			return err
		}
	}
}

// next waits for more that may be delivered, and flushes before it waits: so a
// burst costs one write and a lone token waits for nothing.
func (a *answer) next(ctx context.Context) ([]byte, error) {
	for {
		if a.unflushed && !a.stream.More() {
			if err := a.flush(); err != nil {
				return nil, err
			}
		}
		chunk, err := a.stream.Next(ctx)
		if !a.events.on {
			return chunk, err
		}
		if errors.Is(err, io.EOF) {
			return a.events.end()
		}
		if whole := a.events.take(chunk); err != nil || len(whole) > 0 {
			return whole, err
		}
	}
}

func (a *answer) write(chunk []byte) error {
	if now := time.Now(); now.Sub(a.limited) > clientStall/4 {
		a.control.SetWriteDeadline(now.Add(clientStall))
		a.limited = now
	}
	a.unflushed = true
	if len(chunk) == 0 {
		return nil
	}
	if _, err := a.w.Write(chunk); errors.Is(err, http.ErrContentLength) {
		return errLength
	} else if err != nil {
		return fmt.Errorf("%w: %w", errClientGone, err)
	}
	a.bytesOut += int64(len(chunk))
	if a.events.on {
		a.events.delivered(chunk)
	}
	return nil
}

func (a *answer) flush() error {
	a.unflushed = false
	a.idle.Stop()
	defer a.idle.start()
	if err := a.control.Flush(); err != nil {
		return fmt.Errorf("%w: %w", errClientGone, err)
	}
	return nil
}

// breakOff tells the client of an answer that will not come to its end: in an
// event stream by an error event, else by tearing the connection, since a short
// message would pass for the whole.
func (a *answer) breakOff(err error) {
	if cancelledBy(err) {
		return
	}
	e := judge(err).told
	a.code, a.err = e.Code, err
	if !a.events.on {
		a.tear = true
		return
	}
	a.control.SetWriteDeadline(time.Now().Add(clientStall))
	a.w.Write(append(a.events.gap(), e.Event()...))
	a.control.Flush()
}
