package relay_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relayctl/relayctl/internal/protocol"
	"github.com/relayctl/relayctl/internal/relay"
)

// drip is a body of some bytes every 20 seconds, without end.
type drip struct {
	piece int
	left  *int // of the present piece
}

func (d drip) Read(p []byte) (int, error) {
	if *d.left == 0 {
		time.Sleep(20 * time.Second)
		*d.left = d.piece
	}
	n := min(len(p), *d.left)
	*d.left -= n
	for i := range n {
		p[i] = ' '
	}
	return n, nil
}

// TestDrippingBodyEnds: after 30 s where it brings next to nothing, else with
// the request's time.
func TestDrippingBodyEnds(t *testing.T) {
	for piece, after := range map[int]time.Duration{1: 30 * time.Second, 10 << 10: 30 * time.Second, 100 << 10: 2 * time.Minute} {
		dripping(t, piece, after)
	}
}

func dripping(t *testing.T, piece int, after time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		st := newStack(t)
		st.relay["request_timeout"] = "2m"
		b, stop := inMemory(t, st)
		ctx, leave := context.WithTimeout(t.Context(), time.Hour)
		defer leave()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, b.URL+"/v1/chat/completions", drip{piece, new(int)})
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Api-Key", laptopKey.Reveal())
		start := time.Now()
		if response, err := b.client.Do(r); err == nil {
			response.Body.Close()
		}
		if took := time.Since(start); took < after || took > after+30*time.Second {
			t.Errorf("%d bytes each time: it took %v", piece, took)
		}
		leave()
		time.Sleep(time.Minute) // the client's own goroutine sleeps in Read
		stop()
	})
}

// TestWorkerThatOffersTooMuch is served all the same: it is told of some of
// what was not taken, and serves what it may.
func TestWorkerThatOffersTooMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := inMemory(t, newStack(t))
		offers := []protocol.Offer{offer("m", 1)}
		for i := range protocol.MaxOffers - 1 {
			offers = append(offers, offer(strings.Repeat("\U000e0001", 16)+strconv.Itoa(i), 1))
		}
		w := b.join("gpu-1", answerWith(`{"good":1}`), offers...)
		if got := b.ask(t.Context(), laptopKey, askM); got.body != `{"good":1}` {
			t.Errorf("got %+v", got)
		}
		if n := len(w.hello.Notes); n == 0 || n > 100 {
			t.Errorf("%d notes", n)
		}
		w.stop()
		stop()
	})
}

// TestEventWithoutEndIsNotHeld: a worker can't fill the memory with it.
func TestEventWithoutEndIsNotHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStack(t)
		st.relay["first_byte_timeout"] = "1m"
		b, stop := inMemory(t, st)
		w := b.join("gpu-1", func(ctx context.Context, s *protocol.Stream) {
			eventStream(ctx, s, "data: ")
			s.Write(ctx, make([]byte, 1<<20), false)
			<-ctx.Done()
		}, offer("m", 1))
		if got := b.ask(t.Context(), laptopKey, askM); got.status != http.StatusOK || len(got.body) < 1<<20 {
			t.Errorf("got status %d, %d bytes", got.status, len(got.body))
		}
		w.stop()
		stop()
	})
}

// TestBrokenOffAnswerIsLoggedWithItsReason, also where it ends by a broken
// connection, which leaves the handler by a panic.
func TestBrokenOffAnswerIsLoggedWithItsReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		n := newNetwork()
		server := relay.New(relay.Config{Settings: newStack(t).load(t), Version: "test", Log: slog.New(slog.NewTextHandler(&log, nil))})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- server.Serve(ctx, relay.Listeners{API: n}) }()
		b := &bubble{running: &running{Server: server, URL: "http://relay.test"}, t: t, network: n, client: n.client()}
		w := b.join("gpu-1", func(ctx context.Context, s *protocol.Stream) {
			s.Respond(ctx, protocol.ResponseHead{Status: 200}, []byte("{"), false)
			time.Sleep(time.Millisecond) // or the reset overtakes it
			s.Reset(protocol.ResetEngine, "it fell over")
		}, offer("m", 1))
		if got := b.ask(t.Context(), laptopKey, askM); got.err == nil {
			t.Errorf("half an answer passed for a whole one: %+v", got)
		}
		w.stop()
		b.client.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if !strings.Contains(log.String(), "it fell over") {
			t.Errorf("the log does not say why:\n%s", log.String())
		}
	})
}
