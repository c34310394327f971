package protocol_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relayctl/relayctl/internal/protocol"
)

// inBubble runs test with a connected relay and worker, and fails when either
// end does not stop afterwards.
func inBubble(t *testing.T, serve func(context.Context, *protocol.Stream), test func(t *testing.T, relay, worker *protocol.Conn, a, b *end)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		relay, worker, a, b := pair(serve)
		stopRelay, relayEnded := runConn(relay)
		stopWorker, workerEnded := runConn(worker)
		test(t, relay, worker, a, b)
		stopRelay()
		stopWorker()
		<-relayEnded
		<-workerEnded
	})
}

func TestRequestAndAnswer(t *testing.T) {
	sizes := []int{0, 1, protocol.MaxBody, protocol.MaxBody + 1, protocol.Window, 3*protocol.Window + 7}
	inBubble(t, echo, func(t *testing.T, relay, _ *protocol.Conn, _, _ *end) {
		for _, size := range sizes {
			body := bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
			s, err := relay.Open(protocol.RequestHead{ID: "r", Model: "m", Method: "POST", Target: "/x?<y>"}, body)
			if err != nil {
				t.Fatal(err)
			}
			head, err := s.Response(t.Context())
			if err != nil || head.Status != 200 {
				t.Fatalf("head %+v, %v", head, err)
			}
			if got, err := readAll(t.Context(), s); err != nil || !bytes.Equal(got, body) {
				t.Errorf("%d bytes came back as %d, %v", size, len(got), err)
			}
		}
	})
}

func TestRequestHeadArrivesAsSent(t *testing.T) {
	seen := make(chan protocol.RequestHead, 1)
	serve := func(ctx context.Context, s *protocol.Stream) {
		seen <- s.Request()
		echo(ctx, s)
	}
	inBubble(t, serve, func(t *testing.T, relay, _ *protocol.Conn, _, _ *end) {
		head := protocol.RequestHead{ID: "r", Model: "m", Method: "POST", Target: `/v1/x?a="<&>é`, Header: []protocol.Field{{"A", "1"}, {"A", "2"}}}
		if _, err := relay.Open(head, []byte("four")); err != nil {
			t.Fatal(err)
		}
		head.Length = 4
		if got := <-seen; fmt.Sprint(got) != fmt.Sprint(head) {
			t.Errorf("got %+v, want %+v", got, head)
		}
	})
}

func TestHeadThatDoesNotFit(t *testing.T) {
	inBubble(t, echo, func(t *testing.T, relay, _ *protocol.Conn, _, _ *end) {
		_, err := relay.Open(protocol.RequestHead{Target: strings.Repeat("x", protocol.MaxPayload)}, nil)
		if !errors.Is(err, protocol.ErrTooLarge) {
			t.Errorf("got %v", err)
		}
	})
}

func TestSmallWritesShareAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe()
		worker := protocol.NewConn(b, protocol.Config{PeerWindow: protocol.Window, MaxStreams: 99, Serve: func(ctx context.Context, s *protocol.Stream) {
			s.Respond(ctx, protocol.ResponseHead{Status: 200}, []byte("first"), false)
			for range 100 {
				s.Write(ctx, []byte("data: token\n\n"), false)
			}
			s.Write(ctx, nil, true)
		}})
		stop, ended := runConn(worker)
		open := []byte(`{"length":0}`)
		for i := range uint32(10) {
			a.write(t, protocol.Frame{Type: protocol.TypeOpen, Stream: i + 1, Payload: open}, protocol.Frame{Type: protocol.TypeEnd, Stream: i + 1})
		}
		synctest.Wait() // all ten answers wait behind one message that nobody reads
		messages, ends := 0, 0
		for ends < 10 {
			messages++
			for _, f := range a.read(t) {
				if f.Type == protocol.TypeEnd {
					ends++
				}
			}
		}
		if messages > 4 {
			t.Errorf("ten answers in %d messages", messages)
		}
		stop()
		<-ended
	})
}

func TestControlGoesFirstAndStreamsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe()
		relay := protocol.NewConn(a, protocol.Config{PeerWindow: protocol.Window})
		stop, ended := runConn(relay)
		big := make([]byte, protocol.Window)
		first, err := relay.Open(protocol.RequestHead{}, big)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := relay.Open(protocol.RequestHead{}, big); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		b.read(t) // what the writer held already
		synctest.Wait()
		b.read(t)
		synctest.Wait()
		_, err = relay.Open(protocol.RequestHead{}, []byte("small"))
		if err != nil {
			t.Fatal(err)
		}
		first.Reset(protocol.ResetCancelled, "")
		synctest.Wait()
		b.read(t) // was on its way before
		synctest.Wait()
		got := b.read(t)
		if got[0].Type != protocol.TypeOpen || got[1].Type != protocol.TypeReset {
			t.Errorf("control frames do not come first: %v, %v", got[0].Type, got[1].Type)
		}
		var order []uint32
		for _, f := range got[2:] {
			order = append(order, f.Stream)
		}
		if want := []uint32{2, 3, 3, 2, 2, 2}; !slices.Equal(order, want) { // 3 has BODY and END
			t.Errorf("streams came in order %v, want %v", order, want)
		}
		stop()
		<-ended
	})
}

func TestResetReachesBothSides(t *testing.T) {
	cause := make(chan error, 1)
	serve := func(ctx context.Context, s *protocol.Stream) {
		if s.Request().ID == "refuse" {
			s.Reset(protocol.ResetUnreachable, "no engine")
			return
		}
		<-ctx.Done()
		cause <- context.Cause(ctx)
	}
	inBubble(t, serve, func(t *testing.T, relay, _ *protocol.Conn, _, _ *end) {
		s, err := relay.Open(protocol.RequestHead{ID: "refuse"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var reset *protocol.ResetError
		if _, err := s.Response(t.Context()); !errors.As(err, &reset) || reset.Code != protocol.ResetUnreachable || reset.Text != "no engine" {
			t.Errorf("relay got %v", err)
		}
		if s, err = relay.Open(protocol.RequestHead{}, nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.Reset(protocol.ResetCancelled, "client left")
		s.Reset(protocol.ResetTimeout, "too late to matter")
		if err := <-cause; !errors.As(err, &reset) || reset.Code != protocol.ResetCancelled {
			t.Errorf("worker's handler ended because of %v", err)
		}
	})
}

func TestHandlerWithoutAnswerIsAReset(t *testing.T) {
	inBubble(t, func(context.Context, *protocol.Stream) {}, func(t *testing.T, relay, _ *protocol.Conn, _, _ *end) {
		s, err := relay.Open(protocol.RequestHead{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var reset *protocol.ResetError
		if _, err := s.Response(t.Context()); !errors.As(err, &reset) || reset.Code != protocol.ResetEngine {
			t.Errorf("got %v", err)
		}
	})
}

func TestWaitingEndsWithItsContext(t *testing.T) {
	block := func(ctx context.Context, _ *protocol.Stream) { <-ctx.Done() }
	inBubble(t, block, func(t *testing.T, relay, _ *protocol.Conn, _, _ *end) {
		s, err := relay.Open(protocol.RequestHead{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		why := errors.New("why")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, why)
		defer cancel()
		if _, err := s.Response(ctx); !errors.Is(err, why) {
			t.Errorf("got %v", err)
		}
	})
}

func TestLostConnectionEndsStreamsAndHandlers(t *testing.T) {
	cause := make(chan error, 1)
	serve := func(ctx context.Context, _ *protocol.Stream) {
		<-ctx.Done()
		cause <- context.Cause(ctx)
	}
	inBubble(t, serve, func(t *testing.T, relay, _ *protocol.Conn, a, _ *end) {
		s, err := relay.Open(protocol.RequestHead{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		a.Close()
		if _, err := s.Response(t.Context()); !errors.Is(err, protocol.ErrLost) {
			t.Errorf("relay's stream: %v", err)
		}
		if err := <-cause; !errors.Is(err, protocol.ErrLost) {
			t.Errorf("worker's handler: %v", err)
		}
		if _, err := relay.Open(protocol.RequestHead{}, nil); !errors.Is(err, protocol.ErrLost) {
			t.Errorf("open after the end: %v", err)
		}
	})
}

func TestPingKeepsAQuietConnection(t *testing.T) {
	inBubble(t, echo, func(t *testing.T, relay, worker *protocol.Conn, _, _ *end) {
		time.Sleep(50 * time.Minute)
		select {
		case <-relay.Done():
			t.Error("the relay's end has ended")
		case <-worker.Done():
			t.Error("the worker's end has ended")
		default:
		}
	})
}

func TestSilentPeerIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe()
		relay := protocol.NewConn(a, protocol.Config{PeerWindow: protocol.Window})
		go func() { // takes all and says nothing
			buf := make([]byte, protocol.MaxMessage)
			for {
				if _, err := b.ReadMessage(buf); err != nil {
					return
				}
			}
		}()
		start := time.Now()
		_, ended := runConn(relay)
		if err := <-ended; !errors.Is(err, protocol.ErrSilent) {
			t.Errorf("ended with %v", err)
		}
		if took := time.Since(start); took != protocol.SilenceLimit {
			t.Errorf("noticed after %v", took)
		}
	})
}

func TestStalledWriteIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := pipe() // nobody reads the other end
		relay := protocol.NewConn(a, protocol.Config{PeerWindow: protocol.Window})
		_, ended := runConn(relay)
		start := time.Now()
		if _, err := relay.Open(protocol.RequestHead{}, nil); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, protocol.ErrWriteStalled) {
			t.Errorf("ended with %v", err)
		}
		if took := time.Since(start); took != protocol.WriteTimeout {
			t.Errorf("noticed after %v", took)
		}
	})
}

func TestOpenIsBoundedWhileNothingLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := pipe()
		relay := protocol.NewConn(a, protocol.Config{PeerWindow: protocol.Window})
		stop, ended := runConn(relay)
		head := protocol.RequestHead{Target: strings.Repeat("x", protocol.MaxBody)}
		for range 1000 {
			s, err := relay.Open(head, nil)
			if errors.Is(err, protocol.ErrCongested) {
				stop()
				<-ended
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			s.Reset(protocol.ResetCancelled, "")
		}
		t.Fatal("1000 large requests wait for a writer that is stuck")
	})
}

func TestCloseSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		relay, worker, _, _ := pair(echo)
		_, relayEnded := runConn(relay)
		_, workerEnded := runConn(worker)
		relay.Close(protocol.CloseRevoked, "the secret is gone")
		var said *protocol.CloseError
		if err := <-relayEnded; !errors.As(err, &said) || !said.Sent || said.Code != protocol.CloseRevoked {
			t.Errorf("relay ended with %v", err)
		}
		if err := <-workerEnded; !errors.As(err, &said) || said.Sent || said.Code != protocol.CloseRevoked || said.Text != "the secret is gone" {
			t.Errorf("worker ended with %v", err)
		}
	})
}

func TestDrainIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe()
		drains := make(chan protocol.Drain, 1)
		relay := protocol.NewConn(a, protocol.Config{PeerWindow: protocol.Window})
		worker := protocol.NewConn(b, protocol.Config{PeerWindow: protocol.Window, Serve: echo, OnDrain: func(d protocol.Drain) { drains <- d }})
		stop, ended := runConn(relay)
		_, workerEnded := runConn(worker)
		want := protocol.Drain{ComeBack: protocol.AfterClose, WithinMS: 700}
		relay.Drain(want)
		if got := <-drains; got != want {
			t.Errorf("got %+v", got)
		}
		stop()
		<-ended
		<-workerEnded
	})
}

func TestRoundTripIsMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		relay, worker, _, b := pair(echo)
		b.seen = func([]byte) { time.Sleep(30 * time.Millisecond) } // PING first, then PONG
		stop, ended := runConn(relay)
		_, workerEnded := runConn(worker)
		if relay.RoundTrip() != 0 {
			t.Error("measured before the first ping")
		}
		time.Sleep(protocol.PingEvery + time.Second)
		if got := relay.RoundTrip(); got < 30*time.Millisecond || got > 60*time.Millisecond {
			t.Errorf("got %v", got)
		}
		stop()
		<-ended
		<-workerEnded
	})
}

// TestBrokenRulesEndTheConnection: the peer is told why by CLOSE.
func TestBrokenRulesEndTheConnection(t *testing.T) {
	open := protocol.Frame{Type: protocol.TypeOpen, Stream: 1, Payload: []byte(`{}`)}
	head := protocol.Frame{Type: protocol.TypeHead, Stream: 1, Payload: []byte(`{"status":200}`)}
	body := protocol.Frame{Type: protocol.TypeBody, Stream: 1, Payload: make([]byte, protocol.MaxPayload)}
	end := protocol.Frame{Type: protocol.TypeEnd, Stream: 1}
	credit := protocol.Frame{Type: protocol.TypeCredit, Stream: 1, Payload: []byte{0xff, 0xff, 0xff, 0xff}}
	tests := []struct {
		name   string
		worker bool // the end under test
		frames []protocol.Frame
		text   string
	}{
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
	for _, test := range tests {
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

// TestOpenFloodIsBounded: a relay that opens streams without end and reads
// none of the refusals is not given memory without end.
func TestOpenFloodIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe()
		hang := func(ctx context.Context, _ *protocol.Stream) { <-ctx.Done() }
		worker := protocol.NewConn(b, protocol.Config{PeerWindow: protocol.Window, Serve: hang, MaxStreams: 1})
		_, ended := runConn(worker)
		start := time.Now()
		for id := uint32(1); ; {
			var msg []byte
			for len(msg) < protocol.MaxMessage-100 {
				msg = protocol.AppendFrame(msg, protocol.Frame{Type: protocol.TypeOpen, Stream: id, Payload: []byte("{}")})
				id++
			}
			if id > 1_000_000 {
				t.Error("a million refusals wait for a writer that is stuck")
				a.Close()
				break
			}
			sent := make(chan error, 1)
			go func() { sent <- a.WriteMessage(msg) }()
			synctest.Wait()
			select {
			case err := <-sent:
				if err != nil {
					t.Fatal(err)
				}
				continue
			default:
			}
			break // it is read no more
		}
		if err := <-ended; err == nil {
			t.Error("ended without a reason")
		}
		if took := time.Since(start); took > protocol.WriteTimeout {
			t.Errorf("ended after %v", took)
		}
	})
}
