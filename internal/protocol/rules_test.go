package protocol_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/relayctl/relayctl/internal/protocol"
)

// brokenRule is what a peer may not send.
type brokenRule struct {
	name   string
	worker bool // the end under test
	frames []protocol.Frame
	text   string
}

func brokenRules() []brokenRule {
	open := protocol.Frame{Type: protocol.TypeOpen, Stream: 1, Payload: []byte(`{}`)}
	head := protocol.Frame{Type: protocol.TypeHead, Stream: 1, Payload: []byte(`{"status":200}`)}
	body := protocol.Frame{Type: protocol.TypeBody, Stream: 1, Payload: make([]byte, protocol.MaxPayload)}
	end := protocol.Frame{Type: protocol.TypeEnd, Stream: 1}
	credit := protocol.Frame{Type: protocol.TypeCredit, Stream: 1, Payload: []byte{0xff, 0xff, 0xff, 0xff}}
	return []brokenRule{
		{"OPEN to the relay", false, []protocol.Frame{open}, "OPEN from a worker"},
		{"BODY before HEAD", false, []protocol.Frame{body}, "BODY before HEAD"},
		{"END before HEAD", false, []protocol.Frame{end}, "END before HEAD"},
		{"HEAD twice", false, []protocol.Frame{head, head}, "HEAD twice"},
		{"more than the credit", false, append([]protocol.Frame{head}, slices.Repeat([]protocol.Frame{body}, protocol.Window/protocol.MaxPayload+1)...), "beyond the credit"},
		{"absurd credit", false, []protocol.Frame{credit}, "credit of"},
		{"no credit", false, []protocol.Frame{{Type: protocol.TypeCredit, Stream: 1, Payload: make([]byte, 4)}}, "credit of 0"},
		{"second HELLO", false, []protocol.Frame{{Type: protocol.TypeHello, Payload: []byte("{}")}}, "second HELLO"},
		{"unknown frame", false, []protocol.Frame{{Type: 77}}, "unknown type 77"},
		{"OPEN twice", true, []protocol.Frame{open, open}, "open already"},
		{"HEAD to the worker", true, []protocol.Frame{open, head}, "HEAD twice or from the relay"},
		{"BODY after END", true, []protocol.Frame{open, end, body}, "after END"},
		{"OPEN that is no JSON", true, []protocol.Frame{{Type: protocol.TypeOpen, Stream: 1, Payload: []byte("x")}}, "type 2"},
	}
}

// TestBrokenRulesEndTheConnection: the peer is told why by CLOSE.
func TestBrokenRulesEndTheConnection(t *testing.T) {
	for _, test := range brokenRules() {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := pipe()
				config := protocol.Config{PeerWindow: protocol.Window}
				if test.worker {
					config.MaxStreams = 9
					config.Serve = func(ctx context.Context, _ *protocol.Stream) { <-ctx.Done() }
				}
				c := protocol.NewConn(a, config)
				if !test.worker {
					if _, err := c.Open(protocol.RequestHead{}, nil); err != nil {
						t.Fatal(err)
					}
				}
				_, ended := runConn(c)
				if !test.worker {
					b.next(t, protocol.TypeOpen)
				}
				for chunk := range slices.Chunk(test.frames, 1) {
					b.write(t, chunk...)
				}
				said := b.next(t, protocol.TypeClose)
				if !strings.Contains(string(said.Payload), `"protocol"`) || !strings.Contains(string(said.Payload), test.text) {
					t.Errorf("told %s, want %q", said.Payload, test.text)
				}
				var closed *protocol.CloseError
				if err := <-ended; !errors.As(err, &closed) || closed.Code != protocol.CloseProtocol {
					t.Errorf("ended with %v", err)
				}
			})
		})
	}
}

func TestLateFramesAreNoFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe()
		relay := protocol.NewConn(a, protocol.Config{PeerWindow: protocol.Window})
		stop, ended := runConn(relay)
		b.write(t,
			protocol.Frame{Type: protocol.TypeHead, Stream: 5, Payload: []byte(`{"status":200}`)},
			protocol.Frame{Type: protocol.TypeBody, Stream: 5, Payload: []byte("late")},
			protocol.Frame{Type: protocol.TypeEnd, Stream: 5},
			protocol.Frame{Type: protocol.TypeReset, Stream: 5, Payload: []byte(`{}`)},
			protocol.Frame{Type: protocol.TypeCredit, Stream: 5, Payload: []byte{0, 0, 0, 1}},
			protocol.Frame{Type: 99, Flags: protocol.FlagOptional, Stream: 5},
			protocol.Frame{Type: protocol.TypePing, Payload: []byte("12345678")},
		)
		if got := b.next(t, protocol.TypePong); string(got.Payload) != "12345678" {
			t.Errorf("pong with %q", got.Payload)
		}
		stop()
		<-ended
	})
}

func TestStreamsOverTheLimitAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe()
		worker := protocol.NewConn(b, protocol.Config{PeerWindow: protocol.Window, MaxStreams: 1, Serve: func(ctx context.Context, _ *protocol.Stream) { <-ctx.Done() }})
		stop, ended := runConn(worker)
		for i := range uint32(2) {
			a.write(t, protocol.Frame{Type: protocol.TypeOpen, Stream: i + 1, Payload: []byte(`{}`)})
		}
		if f := a.next(t, protocol.TypeReset); f.Stream != 2 || !strings.Contains(string(f.Payload), string(protocol.ResetRefused)) {
			t.Errorf("got %+v with %s", f, f.Payload)
		}
		stop()
		<-ended
	})
}
