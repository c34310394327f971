package protocol

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// The ends of a connection that nobody asked for. Both leave every stream
// with ErrLost.
var (
	ErrLost         = errors.New("connection lost")
	ErrSilent       = errors.New("peer is silent")
	ErrWriteStalled = errors.New("peer does not take what is written")
)

// ErrCongested is returned by Open while too much waits for the writer.
var ErrCongested = errors.New("connection is congested")

// Config is what a Conn needs to know.
type Config struct {
	// PeerWindow is the window of the peer's HELLO.
	PeerWindow int
	// Serve handles a stream that the peer opened; ctx ends with the stream.
	// It is called on a goroutine per stream and must end the stream. Nil on
	// the relay's side, which opens all streams.
	Serve func(ctx context.Context, s *Stream)
	// MaxStreams bounds how many streams Serve handles at once; more are
	// refused.
	MaxStreams int
	// OnDrain is told of the peer's DRAIN. It must not block.
	OnDrain func(Drain)
}

// Conn is one connection between relay and worker, after the exchange of
// HELLO. No lock is held across reading or writing.
type Conn struct {
	transport Transport
	config    Config
	done      chan struct{} // closed when the connection has ended
	kick      chan struct{} // something waits for the writer
	lastRead  atomic.Int64  // when the reader last got a message, ns since began
	roundTrip atomic.Int64  // of the last PING, ns
	began     time.Time
	handlers  sync.WaitGroup

	mu      sync.Mutex
	err     error // why the connection ended
	streams map[uint32]*Stream
	serving int // handlers that run: of some the stream has ended before them
	lastID  uint32
	control []byte    // encoded frames that go before all bodies
	pong    []byte    // payload of a PONG that waits, nil for none
	ready   []*Stream // streams with something to send, in turn
	closing *CloseError
}

// NewConn makes a Conn of t. It does nothing before Run.
func NewConn(t Transport, config Config) *Conn {
	return &Conn{
		transport: t,
		config:    config,
		done:      make(chan struct{}),
		kick:      make(chan struct{}, 1),
		began:     time.Now(),
		streams:   make(map[uint32]*Stream),
	}
}

// Run reads and writes until the connection ends or ctx does, and returns
// why: a *CloseError where either side said so. It returns after everything
// it started, handlers included, has stopped.
func (c *Conn) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { c.fail(context.Cause(ctx)) })
	defer stop()
	var own sync.WaitGroup
	own.Go(c.write)
	own.Go(c.watch)
	c.fail(c.read())
	own.Wait()
	c.handlers.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close says code and text to the peer after what already waits for the
// writer, less bodies, and ends the connection. It does not wait.
func (c *Conn) Close(code CloseCode, text string) {
	c.mu.Lock()
	if c.closing == nil {
		c.closing = &CloseError{Code: code, Text: cut(text), Sent: true}
	}
	c.mu.Unlock()
	c.wake()
}

// Drain sends d to the peer. It does not wait.
func (c *Conn) Drain(d Drain) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.say(encodeText(TypeDrain, 0, d))
}

// say has frame sent before all bodies, with mu held.
func (c *Conn) say(frame []byte) {
	c.control = append(c.control, frame...)
	c.wake()
}

// Done is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// RoundTrip is how long the last PING took, 0 before the first came back.
func (c *Conn) RoundTrip() time.Duration { return time.Duration(c.roundTrip.Load()) }

// Quiet is for how long nothing has come from the peer. Over PingEvery and a
// little, something is wrong.
func (c *Conn) Quiet() time.Duration {
	return time.Since(c.began) - time.Duration(c.lastRead.Load())
}

// fail ends the connection; the first reason stands.
func (c *Conn) fail(reason error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = reason
	close(c.done)
	for _, s := range c.streams {
		s.end(fmt.Errorf("%w: %w", ErrLost, reason))
	}
	c.mu.Unlock()
	c.transport.Close()
}

// answers tells the worker's side, where the peer opens the streams.
func (c *Conn) answers() bool { return c.config.Serve != nil }

func (c *Conn) wake() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// watch pings, and ends the connection when nothing comes any more.
func (c *Conn) watch() {
	ticker := time.NewTicker(PingEvery)
	defer ticker.Stop()
	limit := time.NewTimer(SilenceLimit)
	defer limit.Stop()
	for {
		select {
		case <-c.done:
			return
		case <-ticker.C:
			now := binary.BigEndian.AppendUint64(nil, uint64(time.Since(c.began)))
			c.mu.Lock()
			c.say(AppendFrame(nil, Frame{Type: TypePing, Payload: now}))
			c.mu.Unlock()
		case <-limit.C:
			silence := c.Quiet()
			if silence >= SilenceLimit {
				c.fail(ErrSilent)
				return
			}
			limit.Reset(SilenceLimit - silence)
		}
	}
}

// read takes messages until one can't be read or breaks a rule.
func (c *Conn) read() error {
	buf := make([]byte, MaxMessage)
	var after []func()
	for {
		n, err := c.transport.ReadMessage(buf)
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		c.lastRead.Store(int64(time.Since(c.began)))
		after, err = c.takeMessage(buf[:n], after[:0])
		for _, f := range after {
			f()
		}
		if errors.Is(err, ErrFrame) {
			c.Close(CloseProtocol, err.Error())
			<-c.done
		}
		if err != nil {
			return err
		}
	}
}

// takeMessage acts on all frames of a message at once, so that an answer that
// came in one message is seen as one. It adds to after what is to be called then.
func (c *Conn) takeMessage(msg []byte, after []func()) ([]func(), error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(msg) > 0 {
		f, rest, err := NextFrame(msg)
		if err != nil {
			return after, err
		}
		then, err := c.take(f)
		if then != nil {
			after = append(after, then)
		}
		if err != nil {
			return after, err
		}
		msg = rest
	}
	return after, nil
}

// take acts on one frame, with mu held, and returns what is to be called once it
// is not.
func (c *Conn) take(f Frame) (then func(), err error) {
	switch f.Type {
	case TypeOpen:
		return nil, c.takeOpen(f)
	case TypeHead, TypeBody, TypeEnd, TypeReset, TypeCredit:
		// A stream that is not open has ended a moment ago on this side, and the
		// peer does not know yet.
		if s := c.streams[f.Stream]; s != nil {
			return s.take(f)
		}
	case TypePing:
		c.pong = append(c.pong[:0], f.Payload...)
		c.wake()
	case TypePong:
		if sent := time.Duration(binary.BigEndian.Uint64(f.Payload)); sent > 0 {
			c.roundTrip.Store(int64(max(0, time.Since(c.began)-sent)))
		}
	case TypeDrain:
		var d Drain
		if err := decode(f, &d); err != nil || c.config.OnDrain == nil {
			return nil, err
		}
		return func() { c.config.OnDrain(d) }, nil
	case TypeClose:
		return nil, decodeClose(f)
	case TypeHello:
		return nil, fmt.Errorf("%w: a second HELLO", ErrFrame)
	}
	return nil, nil
}

// takeOpen starts a handler for a stream of the peer's, with mu held.
func (c *Conn) takeOpen(f Frame) error {
	if !c.answers() {
		return fmt.Errorf("%w: OPEN from a worker", ErrFrame)
	}
	head, err := decodeRequest(f)
	switch {
	case err != nil:
		return err
	case c.err != nil:
		return nil
	case c.streams[f.Stream] != nil:
		return fmt.Errorf("%w: stream %d is open already", ErrFrame, f.Stream)
	case len(c.control) > controlLimit:
		return fmt.Errorf("%w: OPEN after OPEN while nothing of the answers is read", ErrFrame)
	case max(len(c.streams), c.serving) >= c.config.MaxStreams:
		c.say(encodeText(TypeReset, f.Stream, &ResetError{Code: ResetRefused, Text: "the worker has too many streams"}))
		return nil
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	s := newStream(c, f.Stream)
	s.request, s.cancel = head, cancel
	c.streams[f.Stream] = s
	c.serving++
	c.handlers.Go(func() {
		defer cancel(nil)
		c.config.Serve(ctx, s)
		s.Reset(ResetEngine, "the worker gave no answer") // does nothing after an answer
		c.mu.Lock()
		defer c.mu.Unlock()
		c.serving--
	})
	return nil
}
