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
