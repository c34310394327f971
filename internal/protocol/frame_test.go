package protocol_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/relayctl/relayctl/internal/protocol"
)

func TestNextFrameRefuses(t *testing.T) {
	body := func(n int) []byte { return bytes.Repeat([]byte("x"), n) }
	tests := []struct {
		name string
		msg  []byte
		want string
	}{
		{"too few bytes", []byte{4, 0, 0, 0, 0, 0, 1}, "too few for a header"},
		{"cut payload", protocol.AppendFrame(nil, protocol.Frame{Type: protocol.TypeBody, Stream: 1, Payload: body(9)})[:16], "is cut"},
		{"too long", protocol.AppendFrame(nil, protocol.Frame{Type: protocol.TypeBody, Stream: 1, Payload: body(protocol.MaxPayload + 1)}), "is over 32768"},
		{"unknown type", protocol.AppendFrame(nil, protocol.Frame{Type: 99}), "unknown type 99"},
		{"type 0", make([]byte, 8), "unknown type 0"},
		{"body without stream", protocol.AppendFrame(nil, protocol.Frame{Type: protocol.TypeBody, Payload: body(1)}), "without a stream"},
		{"ping on a stream", protocol.AppendFrame(nil, protocol.Frame{Type: protocol.TypePing, Stream: 1, Payload: body(8)}), "on stream 1"},
		{"short ping", protocol.AppendFrame(nil, protocol.Frame{Type: protocol.TypePing, Payload: body(7)}), "7 bytes, not 8"},
		{"short credit", protocol.AppendFrame(nil, protocol.Frame{Type: protocol.TypeCredit, Stream: 1, Payload: body(3)}), "3 bytes, not 4"},
		{"end with payload", protocol.AppendFrame(nil, protocol.Frame{Type: protocol.TypeEnd, Stream: 1, Payload: body(1)}), "1 bytes, not 0"},
		{"empty body", protocol.AppendFrame(nil, protocol.Frame{Type: protocol.TypeBody, Stream: 1}), "empty body"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := protocol.NextFrame(test.msg)
			if !errors.Is(err, protocol.ErrFrame) || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestUnknownOptionalFrameIsParsed(t *testing.T) {
	f, rest, err := protocol.NextFrame(protocol.AppendFrame(nil, protocol.Frame{Type: 99, Flags: protocol.FlagOptional, Stream: 7, Payload: []byte("later")}))
	if err != nil || f.Type != 99 || len(rest) != 0 {
		t.Fatalf("got %+v, %v", f, err)
	}
}

// FuzzFrame: what is parsed prints to the same bytes, nothing panics, and
// nothing is allocated for what a header only claims.
func FuzzFrame(f *testing.F) {
	f.Add(protocol.AppendFrame(nil, protocol.Frame{Type: protocol.TypeBody, Stream: 1, Payload: []byte("data: x\n\n")}))
	f.Add(protocol.AppendFrame(protocol.AppendFrame(nil, protocol.Frame{Type: protocol.TypePing, Payload: make([]byte, 8)}), protocol.Frame{Type: protocol.TypeEnd, Stream: 1 << 31}))
	f.Add(protocol.AppendFrame(nil, protocol.Frame{Type: 200, Flags: 0xff}))
	f.Add([]byte{4, 0, 0xff, 0xff, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, msg []byte) {
		for len(msg) > 0 {
			frame, rest, err := protocol.NextFrame(msg)
			if err != nil {
				if !errors.Is(err, protocol.ErrFrame) {
					t.Fatalf("error of another kind: %v", err)
				}
				return
			}
			if cap(frame.Payload) > protocol.MaxPayload {
				t.Fatalf("payload of %d bytes", cap(frame.Payload))
			}
			printed := protocol.AppendFrame(nil, frame)
			if !bytes.Equal(printed, msg[:len(msg)-len(rest)]) {
				t.Fatalf("parsed %x, printed %x", msg[:len(msg)-len(rest)], printed)
			}
			msg = rest
		}
	})
}

// script is a transport that delivers given messages and takes all that is
// written.
type script struct {
	messages [][]byte
}

func (s *script) ReadMessage(buf []byte) (int, error) {
	if len(s.messages) == 0 {
		return 0, io.EOF
	}
	n := copy(buf, s.messages[0])
	s.messages = s.messages[1:]
	return n, nil
}

func (s *script) WriteMessage([]byte) error { return nil }
func (s *script) Close() error              { return nil }

// FuzzConn: no message of a peer, as relay or as worker, makes a Conn panic or
// hang.
func FuzzConn(f *testing.F) {
	frame := protocol.AppendFrame
	open := frame(nil, protocol.Frame{Type: protocol.TypeOpen, Stream: 1, Payload: []byte(`{"length":4}`)})
	f.Add(frame(open, protocol.Frame{Type: protocol.TypeBody, Stream: 1, Payload: []byte("body")}), frame(nil, protocol.Frame{Type: protocol.TypeEnd, Stream: 1}))
	f.Add(frame(nil, protocol.Frame{Type: protocol.TypeHead, Stream: 1, Payload: []byte(`{"status":200}`)}), frame(nil, protocol.Frame{Type: protocol.TypeEnd, Stream: 1}))
	f.Add(frame(nil, protocol.Frame{Type: protocol.TypeDrain, Payload: []byte(`{}`)}), frame(nil, protocol.Frame{Type: protocol.TypeClose, Payload: []byte(`{"code":"x"}`)}))
	f.Add(frame(nil, protocol.Frame{Type: protocol.TypeCredit, Stream: 1, Payload: []byte{0xff, 0xff, 0xff, 0xff}}), []byte("garbage"))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		for _, serve := range []func(context.Context, *protocol.Stream){nil, echo} {
			c := protocol.NewConn(&script{messages: [][]byte{first, second}}, protocol.Config{PeerWindow: protocol.Window, Serve: serve, MaxStreams: 2})
			if serve == nil {
				if _, err := c.Open(protocol.RequestHead{}, []byte("request")); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.Run(t.Context()); err == nil {
				t.Fatal("ended without a reason")
			}
		}
	})
}
