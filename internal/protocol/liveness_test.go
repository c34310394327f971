package protocol_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relayctl/relayctl/internal/protocol"
)

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
