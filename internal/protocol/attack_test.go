package protocol_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/relayctl/relayctl/internal/protocol"
	"github.com/relayctl/relayctl/test/attack"
)

// attackSeed is where all attacks of these tests come from.
const attackSeed = 20261128

// TestMalformedFrames: whatever frames a peer sends, as relay or as worker, the
// connection ends with a reason, all that it started ends with it, and who
// reads an answer gets no more of it than the credit that was given.
func TestMalformedFrames(t *testing.T) {
	const sessions = 2500
	t.Logf("seed %d", attackSeed)
	frames, ends := 0, map[string]int{}
	for i := range uint64(sessions) {
		messages := attack.Messages(rand.New(rand.NewPCG(attackSeed, i)), 12)
		for _, msg := range messages {
			frames += countFrames(msg)
		}
		for _, serve := range []func(context.Context, *protocol.Stream){nil, echo} {
			c := protocol.NewConn(&script{messages: append([][]byte(nil), messages...)}, protocol.Config{PeerWindow: protocol.Window, Serve: serve, MaxStreams: 2})
			var streams []*protocol.Stream
			if serve == nil {
				for range 3 {
					s, err := c.Open(protocol.RequestHead{}, []byte("request"))
					if err != nil {
						t.Fatal(err)
					}
					streams = append(streams, s)
				}
			}
			err := c.Run(t.Context())
			ends[fmt.Sprint(map[bool]string{true: "relay", false: "worker"}[serve == nil], ": ", reasonOf(err))]++
			if err == nil {
				t.Fatalf("session %d ended without a reason", i)
			}
			for _, s := range streams {
				body, err := readAll(t.Context(), s)
				if len(body) > protocol.Window {
					t.Errorf("session %d: %d bytes of an answer wait, %v", i, len(body), err)
				}
			}
		}
	}
	t.Logf("%d sessions with %d frames to each side; they ended so: %v", sessions, frames, ends)
	for _, end := range []string{"relay: a broken rule", "relay: the peer's CLOSE", "relay: the end", "worker: a broken rule", "worker: the peer's CLOSE", "worker: the end"} {
		if ends[end] == 0 {
			t.Errorf("none ended with %s", end)
		}
	}
	if len(ends) != 6 {
		t.Error("some ended otherwise")
	}
}

// reasonOf is which kind of end a connection had.
func reasonOf(err error) string {
	var closed *protocol.CloseError
	switch {
	case errors.As(err, &closed) && closed.Sent && closed.Code == protocol.CloseProtocol, errors.Is(err, protocol.ErrFrame):
		return "a broken rule"
	case errors.As(err, &closed) && !closed.Sent:
		return "the peer's CLOSE"
	case errors.Is(err, io.EOF):
		return "the end"
	}
	return fmt.Sprint(err)
}

// countFrames is how many frames a message has, the one included that is none.
func countFrames(msg []byte) (n int) {
	for len(msg) > 0 {
		_, rest, err := protocol.NextFrame(msg)
		n++
		if err != nil {
			break
		}
		msg = rest
	}
	return n
}

// TestResetFloodIsBounded: a relay that opens streams and gives them up at once
// has no more handlers run than it may have streams, however long those take to
// end.
func TestResetFloodIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most, flood = 5, 5000
		var running, highest, started atomic.Int32
		release := make(chan struct{})
		a, b := pipe()
		worker := protocol.NewConn(b, protocol.Config{PeerWindow: protocol.Window, MaxStreams: most, Serve: func(context.Context, *protocol.Stream) {
			started.Add(1)
			if n := running.Add(1); n > highest.Load() {
				highest.Store(n)
			}
			<-release // it does not hear that it is over
			running.Add(-1)
		}})
		stop, ended := runConn(worker)
		go func() {
			for {
				if _, err := a.ReadMessage(make([]byte, protocol.MaxMessage)); err != nil {
					return
				}
			}
		}()
		for id := range uint32(flood) {
			a.write(t, protocol.Frame{Type: protocol.TypeOpen, Stream: id + 1, Payload: []byte(`{}`)}, protocol.Frame{Type: protocol.TypeReset, Stream: id + 1, Payload: []byte(`{"code":"cancelled"}`)})
		}
		synctest.Wait()
		if got := running.Load(); got > most {
			t.Errorf("%d handlers run, where %d may", got, most)
		}
		close(release)
		synctest.Wait()
		before := started.Load()
		a.write(t, protocol.Frame{Type: protocol.TypeOpen, Stream: flood + 1, Payload: []byte(`{}`)})
		synctest.Wait()
		if started.Load() != before+1 {
			t.Error("a stream is refused after the flood")
		}
		t.Logf("%d streams opened and given up, at most %d handlers at once", flood, highest.Load())
		stop()
		<-ended
	})
}
