package relay_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relayctl/relayctl/internal/protocol"
)

func TestTimeouts(t *testing.T) {
	tests := []struct {
		name  string
		serve func(context.Context, *protocol.Stream)
		after time.Duration
		code  string
	}{
		{"no first byte", hang, 10 * time.Minute, "first_byte_timeout"},
		{"a head is no byte", func(ctx context.Context, s *protocol.Stream) {
			eventStream(ctx, s, "")
			<-ctx.Done()
		}, 10 * time.Minute, "first_byte_timeout"},
		{"idle", func(ctx context.Context, s *protocol.Stream) {
			eventStream(ctx, s, "data: 1\n\n")
			<-ctx.Done()
		}, 5 * time.Minute, "idle_timeout"},
		{"endless", func(ctx context.Context, s *protocol.Stream) {
			for eventStream(ctx, s, "data: 1\n\n"); ctx.Err() == nil; time.Sleep(time.Minute) {
				s.Write(ctx, []byte("data: 2\n\n"), false)
			}
		}, time.Hour, "request_timeout"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, stop := inMemory(t, newStack(t))
				told := make(chan error, 1)
				w := b.join("gpu-1", func(ctx context.Context, s *protocol.Stream) {
					test.serve(ctx, s)
					told <- context.Cause(ctx)
				}, offer("m", 4))
				start := time.Now()
				got := b.ask(t.Context(), laptopKey, askM)
				if took := time.Since(start); took != test.after || !strings.Contains(got.body, `"code":"`+test.code+`"`) {
					t.Errorf("got %+v after %v", got, took)
				}
				if got.status != http.StatusOK && got.status != http.StatusGatewayTimeout {
					t.Errorf("status %d", got.status)
				}
				var reset *protocol.ResetError
				if err := <-told; !errors.As(err, &reset) || reset.Code != protocol.ResetTimeout {
					t.Errorf("the worker was told %v", err)
				}
				w.stop()
				stop()
			})
		})
	}
}

// TestClientThatLeavesFreesItsSlotAtOnce, wherever its request is.
func TestClientThatLeavesFreesItsSlotAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := inMemory(t, newStack(t))
		told := make(chan error, 2)
		w := b.join("gpu-1", func(ctx context.Context, s *protocol.Stream) {
			body, _ := readBody(ctx, s)
			if strings.Contains(body, "stream") {
				eventStream(ctx, s, "data: 1\n\n")
			} else if strings.Contains(body, "quick") {
				answerWith(`{}`)(ctx, s)
				return
			}
			<-ctx.Done()
			told <- context.Cause(ctx)
		}, offer("m", 1))
		for _, body := range []string{`{"model":"m"}`, `{"model":"m","stream":true}`} {
			ctx, leave := context.WithCancel(t.Context())
			first := b.askLater(ctx, body)
			synctest.Wait()
			queuedCtx, leaveQueue := context.WithCancel(t.Context())
			queued := b.askLater(queuedCtx, askM)
			synctest.Wait()
			next := b.askLater(t.Context(), `{"model":"m","x":"quick"}`)
			synctest.Wait()
			leaveQueue() // out of the queue, before its turn
			<-queued
			synctest.Wait()
			start := time.Now()
			leave()
			if got := <-next; got.status != 200 || time.Since(start) != 0 {
				t.Errorf("the next one got %+v after %v", got, time.Since(start))
			}
			<-first
			var reset *protocol.ResetError
			if err := <-told; !errors.As(err, &reset) || reset.Code != protocol.ResetCancelled {
				t.Errorf("the worker was told %v", err)
			}
		}
		w.stop()
		stop()
	})
}

// TestSlowClientIsGivenUp: one that takes nothing does not hold a slot for
// ever, and the relay does not hold what it does not take.
func TestSlowClientIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := inMemory(t, newStack(t))
		sent, ended := 0, make(chan time.Time, 1)
		w := b.join("gpu-1", func(ctx context.Context, s *protocol.Stream) {
			event := []byte("data: " + strings.Repeat("x", 4088) + "\n\n")
			eventStream(ctx, s, string(event))
			for s.Write(ctx, event, false) == nil {
				sent += len(event)
			}
			ended <- time.Now()
		}, offer("m", 1))
		conn, err := b.network.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		io.WriteString(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Api-Key: "+laptopKey.Reveal()+"\r\nContent-Length: 13\r\n\r\n{\"model\":\"m\"}")
		if took := (<-ended).Sub(start); took > 2*time.Minute {
			t.Errorf("given up after %v", took)
		}
		if sent > 1<<20 {
			t.Errorf("%d bytes were taken from the worker for a client that takes none", sent)
		}
		conn.Close()
		w.stop()
		stop()
	})
}

// sleepy is a connection whose other end can fall silent, as a host without
// power does: nothing comes any more, and what is sent is lost.
type sleepy struct {
	net.Conn
	asleep atomic.Bool
}

func (c *sleepy) Write(p []byte) (int, error) {
	if c.asleep.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// TestSilentWorkerIsAvoided before it is given up for lost.
func TestSilentWorkerIsAvoided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := inMemory(t, newStack(t))
		conn := &sleepy{}
		dial := func(ctx context.Context, network, address string) (c net.Conn, err error) {
			conn.Conn, err = b.network.dial(ctx, network, address)
			return conn, err
		}
		silent, err := b.joinOver(dial, workerSecret("gpu-1"), protocol.WorkerHello{Name: "gpu-1", Models: []protocol.Offer{offer("m", 4)}}, hang)
		if err != nil {
			t.Fatal(err)
		}
		good := b.join("gpu-2", answerWith(`{"good":1}`), offer("m", 4))
		conn.asleep.Store(true)
		time.Sleep(protocol.PingEvery + 6*time.Second)
		for range 5 {
			start := time.Now()
			if got := b.ask(t.Context(), laptopKey, askM); got.body != `{"good":1}` || time.Since(start) != 0 {
				t.Errorf("got %+v after %v", got, time.Since(start))
			}
		}
		time.Sleep(protocol.SilenceLimit - protocol.PingEvery)
		if st := b.Status(); len(st.Workers) != 2 || st.Workers[0].Connected {
			t.Errorf("the silent worker still counts as connected: %+v", st.Workers)
		}
		silent.stop()
		good.stop()
		stop()
	})
}
