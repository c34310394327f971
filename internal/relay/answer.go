package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/relayctl/relayctl/internal/protocol"
)

// clientStall is for how long a client may take nothing of its answer.
const clientStall = time.Minute

// silence ends a request when its worker says nothing for too long: at first
// for the first byte, once started for each further one.
type silence struct {
	timer *time.Timer
	limit time.Duration // between bytes
	begun atomic.Bool
}

func newSilence(firstByte, between time.Duration, cancel context.CancelCauseFunc) *silence {
	s := &silence{limit: between}
	s.timer = time.AfterFunc(firstByte, func() {
		if s.begun.Load() {
			cancel(errIdle)
			return
		}
		cancel(errFirstByte)
	})
	return s
}

func (s *silence) stop() { s.timer.Stop() }

func (s *silence) start() {
	s.begun.Store(true)
	s.timer.Reset(s.limit)
}

// answer passes a worker's answer on to the client.
type answer struct {
	*job
	stream *protocol.Stream
	w      http.ResponseWriter
	idle   *silence

	control *http.ResponseController
	events  bool // the answer is an event stream
	limited time.Time
	length  int64   // the body's as the head has it, -1 where it has none
	tail    [2]byte // the last bytes delivered
}

// begin waits for the head and the first bytes and sends both. Until then
// nothing is delivered, and the request may go to another worker.
func (a *answer) begin(ctx context.Context) error {
	head, err := a.stream.Response(ctx)
	if err != nil {
		return err
	}
	chunk, err := a.stream.Next(ctx)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if head.Status < 200 || head.Status > 599 {
		return &protocol.ResetError{Code: protocol.ResetEngine, Text: fmt.Sprintf("answered with status %d", head.Status)}
	}
	a.idle.stop() // the client's pace is not the engine's
	a.firstByte = time.Since(a.start)
	a.control = http.NewResponseController(a.w)
	a.setHeader(head)
	a.limited = a.start // the HTTP server has set a deadline then
	a.status = head.Status
	a.outcome = broken // until the end has been seen
	a.w.WriteHeader(head.Status)
	if err = a.write(chunk); err != nil {
		a.breakOff(err)
	}
	return err
}

// setHeader takes over the engine's header fields, less those that are not its
// to set. What the worker left out on its side is left out again: a worker is
// not trusted with this host's clients.
func (a *answer) setHeader(head protocol.ResponseHead) {
	h := a.w.Header()
	id := h["X-Request-Id"] // ours
	protocol.AddResponseFields(h, head.Header)
	h["X-Request-Id"] = id
	media, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	a.events = strings.EqualFold(strings.TrimSpace(media), "text/event-stream")
	a.length = lengthIn(h)
	if a.events || a.length < 0 {
		a.length = -1
		h.Del("Content-Length")
	}
	if !a.events {
		return
	}
	h.Set("X-Accel-Buffering", "no")
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-cache")
	}
}

// lengthIn is the body's length as h has it, -1 where it has none that can be
// relied on.
func lengthIn(h http.Header) int64 {
	lengths := h["Content-Length"]
	if len(lengths) != 1 {
		return -1
	}
	n, err := strconv.ParseUint(lengths[0], 10, 63)
	if err != nil {
		return -1
	}
	return int64(n)
}

// pass sends the rest.
func (a *answer) pass(ctx context.Context) error {
	for {
		chunk, err := a.stream.Next(ctx)
		if errors.Is(err, io.EOF) {
			if err = a.checkLength(0); err == nil {
				return nil
			}
		}
		if err == nil {
			a.idle.stop() // the client's pace is not the engine's
			err = a.write(chunk)
			a.idle.start()
		}
		if err != nil {
			a.breakOff(err)
			return err
		}
	}
}

// checkLength holds a body that goes on with more bytes to the length its head
// gave; with none more, it has come to its end.
func (a *answer) checkLength(more int) error {
	length := a.bytesOut + int64(more)
	if a.length < 0 || length == a.length || more > 0 && length < a.length {
		return nil
	}
	return &protocol.ResetError{Code: protocol.ResetEngine, Text: "the body has another length than the head said"}
}

// write sends chunk, and flushes when nothing more has come meanwhile: so a
// burst costs one write and a lone token waits for nothing.
func (a *answer) write(chunk []byte) error {
	if now := time.Now(); now.Sub(a.limited) > clientStall/4 {
		a.control.SetWriteDeadline(now.Add(clientStall))
		a.limited = now
	}
	if len(chunk) > 0 {
		if err := a.checkLength(len(chunk)); err != nil {
			return err
		}
		if _, err := a.w.Write(chunk); err != nil {
			return fmt.Errorf("%w: %w", errClientGone, err)
		}
		a.bytesOut += int64(len(chunk))
		a.keepTail(chunk)
	}
	if a.stream.More() {
		return nil
	}
	if err := a.control.Flush(); err != nil {
		return fmt.Errorf("%w: %w", errClientGone, err)
	}
	return nil
}

func (a *answer) keepTail(chunk []byte) {
	if len(chunk) == 1 {
		a.tail[0], a.tail[1] = a.tail[1], chunk[0]
		return
	}
	copy(a.tail[:], chunk[len(chunk)-2:])
}

// breakOff tells the client of an answer that will not come to its end: in an
// event stream by an error event, else by breaking the message, since a short
// one would pass for the whole.
func (a *answer) breakOff(err error) {
	if cancelledBy(err) {
		return
	}
	e := failure(err)
	a.code, a.err = e.Code, err
	if !a.events {
		panic(http.ErrAbortHandler)
	}
	var gap string
	if a.tail != [2]byte{'\n', '\n'} && a.tail[1] != 0 {
		gap = "\n\n"
	}
	a.control.SetWriteDeadline(time.Now().Add(clientStall))
	a.w.Write(append([]byte(gap), e.Event()...))
	a.control.Flush()
}
