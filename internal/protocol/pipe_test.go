package protocol_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/relayctl/relayctl/internal/protocol"
)

// end is one end of a connection in memory. A message is written when the
// other end reads it.
type end struct {
	in    <-chan []byte
	out   chan<- []byte
	close func() // of both ends
	done  <-chan struct{}
	seen  func(msg []byte) // told of every message written; may be nil
}

func pipe() (a, b *end) {
	ab, ba, done := make(chan []byte), make(chan []byte), make(chan struct{})
	stop := sync.OnceFunc(func() { close(done) })
	return &end{in: ba, out: ab, close: stop, done: done}, &end{in: ab, out: ba, close: stop, done: done}
}

func (e *end) ReadMessage(buf []byte) (int, error) {
	select {
	case msg := <-e.in:
		if len(msg) > len(buf) {
			return 0, errors.New("message too long")
		}
		return copy(buf, msg), nil
	case <-e.done:
		return 0, io.EOF
	}
}

func (e *end) WriteMessage(msg []byte) error {
	msg = append([]byte(nil), msg...)
	if e.seen != nil {
		e.seen(msg)
	}
	select {
	case e.out <- msg:
		return nil
	case <-e.done:
		return io.ErrClosedPipe
	}
}

func (e *end) Close() error {
	e.close()
	return nil
}

// write sends frames as one message.
func (e *end) write(t testing.TB, frames ...protocol.Frame) {
	t.Helper()
	var msg []byte
	for _, f := range frames {
		msg = protocol.AppendFrame(msg, f)
	}
	if err := e.WriteMessage(msg); err != nil {
		t.Error(err)
	}
}

// read returns the frames of the next message, nil at the connection's end.
func (e *end) read(t testing.TB) []protocol.Frame {
	t.Helper()
	buf := make([]byte, protocol.MaxMessage)
	n, err := e.ReadMessage(buf)
	if err != nil {
		t.Error(err)
		return nil
	}
	return frames(t, buf[:n])
}

// frames parses a whole message.
func frames(t testing.TB, msg []byte) (all []protocol.Frame) {
	t.Helper()
	for len(msg) > 0 {
		f, rest, err := protocol.NextFrame(msg)
		if err != nil {
			t.Error(err)
			return nil
		}
		all, msg = append(all, f), rest
	}
	return all
}

// next returns the next frame of type want, passing over others.
func (e *end) next(t testing.TB, want protocol.Type) protocol.Frame {
	t.Helper()
	for {
		all := e.read(t)
		for _, f := range all {
			if f.Type == want {
				return f
			}
		}
		if all == nil {
			return protocol.Frame{}
		}
	}
}

// runConn runs c and returns what stops it and tells how it ended.
func runConn(c *protocol.Conn) (stop func(), ended <-chan error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	return cancel, done
}

// pair is a relay's and a worker's end that talk to each other.
func pair(serve func(context.Context, *protocol.Stream)) (relay, worker *protocol.Conn, a, b *end) {
	a, b = pipe()
	relay = protocol.NewConn(a, protocol.Config{PeerWindow: protocol.Window})
	worker = protocol.NewConn(b, protocol.Config{PeerWindow: protocol.Window, Serve: serve, MaxStreams: 1000})
	return relay, worker, a, b
}

// readAll reads the body of a stream to its end.
func readAll(ctx context.Context, s *protocol.Stream) ([]byte, error) {
	var all []byte
	for {
		chunk, err := s.Next(ctx)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, chunk...)
	}
}

// echo answers with the request's body.
func echo(ctx context.Context, s *protocol.Stream) {
	body, err := readAll(ctx, s)
	if err == nil {
		s.Respond(ctx, protocol.ResponseHead{Status: 200}, body, true)
	}
}
