package protocol

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Stream is one request and its answer. The relay's side opens it and reads
// the answer; the worker's side reads the request and writes the answer. Each
// side is used by one goroutine.
type Stream struct {
	conn     *Conn
	id       uint32
	request  RequestHead
	cancel   context.CancelCauseFunc // the worker's handler
	readable chan struct{}
	writable chan struct{}

	// All below is guarded by conn.mu.
	err   error // why the stream ended early
	ended bool  // the stream is no longer among conn.streams

	out    []byte // bytes that wait for the writer
	room   []byte // where out is collected on the worker's side, to be used again
	credit int    // bytes the peer still takes
	last   bool   // END follows out
	queued bool   // among conn.ready

	head     *ResponseHead
	in       []byte // bytes that wait for the reader
	spare    []byte // what the reader holds, to be used again
	space    int    // bytes the peer may still send
	taken    int    // bytes read and not yet returned as credit
	complete bool   // END has come
	whole    func() // to be called when END comes
}

func newStream(c *Conn, id uint32) *Stream {
	return &Stream{
		conn:     c,
		id:       id,
		readable: make(chan struct{}, 1),
		writable: make(chan struct{}, 1),
		credit:   c.config.PeerWindow,
		space:    Window,
	}
}

// Open begins a stream with all of its request, which must not be changed
// while the stream lives. The error is ErrTooLarge, ErrCongested, or wraps
// ErrLost.
func (c *Conn) Open(head RequestHead, body []byte) (*Stream, error) {
	head.Length = int64(len(body))
	frame, err := encodeRequest(new([headRoom]byte), 0, head)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return nil, fmt.Errorf("%w: %w", ErrLost, c.err)
	case len(c.control)+len(frame) > controlLimit:
		return nil, ErrCongested
	}
	s := newStream(c, c.freeID())
	binary.BigEndian.PutUint32(frame[4:], s.id)
	c.streams[s.id] = s
	c.say(frame)
	s.out, s.last = body, true
	s.enqueue()
	return s, nil
}

// freeID is the next id that no live stream has, with mu held.
func (c *Conn) freeID() uint32 {
	for {
		c.lastID++
		if c.lastID != 0 && c.streams[c.lastID] == nil {
			return c.lastID
		}
	}
}

// Request is the head of the request, on the worker's side.
func (s *Stream) Request() RequestHead { return s.request }

// Response waits for the head of the answer.
func (s *Stream) Response(ctx context.Context) (ResponseHead, error) {
	for {
		s.conn.mu.Lock()
		head, err := s.head, s.err
		s.conn.mu.Unlock()
		if head != nil {
			return *head, nil
		}
		if err != nil {
			return ResponseHead{}, err
		}
		if err := wait(ctx, s.readable); err != nil {
			return ResponseHead{}, err
		}
	}
}

// Next waits for bytes of the body and returns all that have come, valid until
// the next call; io.EOF at its end. What the previous call returned counts as
// read by then, so that a slow reader slows the peer.
func (s *Stream) Next(ctx context.Context) ([]byte, error) {
	for {
		chunk, err := s.next()
		if chunk != nil || err != nil {
			return chunk, err
		}
		if err := wait(ctx, s.readable); err != nil {
			return nil, err
		}
	}
}

func (s *Stream) next() ([]byte, error) {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	s.returnCredit(len(s.spare))
	s.spare = s.spare[:0]
	switch {
	case len(s.in) > 0:
		s.in, s.spare = s.spare, s.in
		return s.spare, nil
	case s.complete:
		return nil, io.EOF
	}
	return nil, s.err
}

// WhenWhole has f called, once, as soon as the answer's end has come, also while
// bytes of it still wait for their reader. It must not block: the connection's
// reader calls it.
func (s *Stream) WhenWhole(f func()) {
	s.conn.mu.Lock()
	s.whole = f
	complete := s.complete
	s.conn.mu.Unlock()
	if complete {
		f()
	}
}

// More reports whether Next would return without waiting.
func (s *Stream) More() bool {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	return len(s.in) > 0 || s.complete || s.err != nil
}

// Respond sends the head of the answer with the first bytes of its body, and
// its end where last says so: all in one message, if that holds them.
func (s *Stream) Respond(ctx context.Context, head ResponseHead, first []byte, last bool) error {
	frame, err := encodeResponse(new([headRoom]byte), s.id, head)
	if err != nil {
		return err
	}
	return s.send(ctx, frame, first, last)
}

// Write sends bytes of the answer's body, and its end where last says so. It
// waits while the peer or the connection does not keep up.
func (s *Stream) Write(ctx context.Context, p []byte, last bool) error {
	return s.send(ctx, nil, p, last)
}

// send puts head, a frame or nothing, and then p where the writer takes them.
func (s *Stream) send(ctx context.Context, head, p []byte, last bool) error {
	for {
		n, err := s.put(head, p, last)
		if err != nil {
			return err
		}
		if p = p[n:]; len(p) == 0 {
			return nil
		}
		head = nil
		if err := wait(ctx, s.writable); err != nil {
			return err
		}
	}
}

// put takes head and what there is room for of p.
func (s *Stream) put(head, p []byte, last bool) (int, error) {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	switch {
	case s.err != nil:
		return 0, s.err
	case s.ended || s.last:
		return 0, errors.New("write to a stream that has ended")
	}
	if len(head) > 0 {
		s.conn.say(head)
	}
	n := min(len(p), max(0, outLimit-len(s.out)))
	if len(s.out) == 0 {
		s.room = append(s.room[:0], p[:n]...)
		s.out = s.room
	} else {
		s.out = append(s.out, p[:n]...)
	}
	s.last = last && n == len(p)
	s.enqueue()
	return n, nil
}

// Reset gives the stream up on both sides. After the stream's end it does
// nothing.
func (s *Stream) Reset(code ResetCode, text string) { s.Fail(&ResetError{Code: code, Text: text}) }

// Fail is Reset with all that there is to say.
func (s *Stream) Fail(reset *ResetError) {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	if s.ended || s.conn.answers() && s.last {
		return
	}
	reset.cut()
	s.conn.say(encodeText(TypeReset, s.id, reset))
	s.end(reset)
}

func wait(ctx context.Context, ready <-chan struct{}) error {
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func signal(ready chan<- struct{}) {
	select {
	case ready <- struct{}{}:
	default:
	}
}

// The rest runs with conn.mu held.

// end forgets the stream; reason is nil where it came to its proper end.
func (s *Stream) end(reason error) {
	if s.ended {
		return
	}
	s.ended = true
	s.out = nil
	if s.err == nil {
		s.err = reason
	}
	delete(s.conn.streams, s.id)
	signal(s.readable)
	signal(s.writable)
	if s.cancel != nil && reason != nil {
		s.cancel(reason)
	}
}

// enqueue gives the stream its turn at the writer, if it has what to send.
func (s *Stream) enqueue() {
	sendable := len(s.out) > 0 && s.credit > 0 || len(s.out) == 0 && s.last
	if s.queued || s.ended || !sendable {
		return
	}
	s.queued = true
	s.conn.ready = append(s.conn.ready, s)
	s.conn.wake()
}

// collect appends one BODY frame and, where nothing is left, END. The batch
// has room for two headers at least.
func (s *Stream) collect(batch []byte) []byte {
	s.queued = false
	if s.ended {
		return batch
	}
	n := min(len(s.out), s.credit, MaxBody, MaxMessage-len(batch)-2*HeaderSize)
	if n > 0 {
		batch = AppendFrame(batch, Frame{Type: TypeBody, Stream: s.id, Payload: s.out[:n]})
		s.credit -= n
		s.out = s.out[n:]
		signal(s.writable)
	}
	if len(s.out) > 0 || !s.last {
		s.enqueue()
		return batch
	}
	s.last = false
	if s.conn.answers() {
		s.end(nil)
	}
	return AppendFrame(batch, Frame{Type: TypeEnd, Stream: s.id})
}

// returnCredit notes n bytes as read, and returns credit by half windows.
func (s *Stream) returnCredit(n int) {
	s.taken += n
	if s.taken < Window/2 || s.ended || s.complete {
		return
	}
	amount := binary.BigEndian.AppendUint32(nil, uint32(s.taken))
	s.conn.say(AppendFrame(nil, Frame{Type: TypeCredit, Stream: s.id, Payload: amount}))
	s.space += s.taken
	s.taken = 0
}

// take acts on a frame of the stream, and returns what is to be called once
// conn.mu is free.
func (s *Stream) take(f Frame) (then func(), err error) {
	headless := !s.conn.answers() && s.head == nil
	switch f.Type {
	case TypeHead:
		return nil, s.takeHead(f)
	case TypeBody:
		switch {
		case len(f.Payload) > s.space:
			return nil, fmt.Errorf("%w: BODY beyond the credit of stream %d", ErrFrame, s.id)
		case headless || s.complete:
			return nil, fmt.Errorf("%w: BODY before HEAD or after END", ErrFrame)
		case len(s.conn.control) > 2*controlLimit:
			return nil, fmt.Errorf("%w: BODY after BODY while no credit is read", ErrFrame)
		}
		s.space -= len(f.Payload)
		s.in = append(s.in, f.Payload...)
		signal(s.readable)
	case TypeEnd:
		if headless || s.complete {
			return nil, fmt.Errorf("%w: END before HEAD or twice", ErrFrame)
		}
		s.complete = true
		signal(s.readable)
		if !s.conn.answers() {
			s.end(nil) // the answer is whole, whatever of the request was still to go
		}
		return s.whole, nil
	case TypeReset:
		reset := new(ResetError)
		if err := decode(f, reset); err != nil {
			return nil, err
		}
		reset.cut()
		s.end(reset)
	case TypeCredit:
		return nil, s.takeCredit(int(binary.BigEndian.Uint32(f.Payload)))
	}
	return nil, nil
}

func (s *Stream) takeHead(f Frame) error {
	if s.conn.answers() || s.head != nil {
		return fmt.Errorf("%w: HEAD twice or from the relay", ErrFrame)
	}
	head, err := decodeResponse(f)
	if err != nil {
		return err
	}
	s.head = &head
	signal(s.readable)
	return nil
}

func (s *Stream) takeCredit(n int) error {
	if n <= 0 || n > maxWindow || s.credit+n > maxWindow {
		return fmt.Errorf("%w: credit of %d bytes", ErrFrame, n)
	}
	s.credit += n
	s.enqueue()
	return nil
}
