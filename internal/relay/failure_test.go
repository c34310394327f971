package relay_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relayctl/relayctl/internal/openai"
	"github.com/relayctl/relayctl/internal/protocol"
)

// resetWith is a worker that gives every request up.
func resetWith(code protocol.ResetCode) func(context.Context, *protocol.Stream) {
	return func(_ context.Context, s *protocol.Stream) { s.Reset(code, "") }
}

// TestFailedRequestGoesElsewhere while nothing of its answer was delivered.
func TestFailedRequestGoesElsewhere(t *testing.T) {
	headOnly := func(ctx context.Context, s *protocol.Stream) {
		eventStream(ctx, s, "")
		s.Reset(protocol.ResetEngine, "")
	}
	tests := []struct {
		name  string
		serve func(context.Context, *protocol.Stream)
	}{
		{"engine unreachable", resetWith(protocol.ResetUnreachable)},
		{"refused", resetWith(protocol.ResetRefused)},
		{"engine failed", resetWith(protocol.ResetEngine)},
		{"engine failed after its head", headOnly},
		{"bad status", func(ctx context.Context, s *protocol.Stream) {
			s.Respond(ctx, protocol.ResponseHead{Status: 101}, nil, true)
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, stop := inMemory(t, newStack(t))
				seen := 0
				bad := b.join("gpu-1", func(ctx context.Context, s *protocol.Stream) {
					seen++
					test.serve(ctx, s)
				}, offer("m", 4))
				good := b.join("gpu-2", answerWith(`{"good":1}`), offer("m", 4))
				for range 5 {
					if got := b.ask(t.Context(), laptopKey, askM); got.status != 200 || got.body != `{"good":1}` {
						t.Errorf("got %+v", got)
					}
				}
				if seen != 1 {
					t.Errorf("the bad worker was asked %d times in no time", seen)
				}
				bad.stop()
				good.stop()
				stop()
			})
		})
	}
}

// TestFailedRequestGoesFirst: it has waited longer than those in the queue.
func TestFailedRequestGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := inMemory(t, newStack(t))
		var order []string
		good := b.join("gpu-2", func(ctx context.Context, s *protocol.Stream) {
			body, _ := readBody(ctx, s)
			order = append(order, body)
			slowly(2*time.Second)(ctx, s)
		}, offer("m", 1))
		bad := b.join("gpu-1", func(_ context.Context, s *protocol.Stream) {
			time.Sleep(time.Second)
			s.Reset(protocol.ResetEngine, "")
		}, offer("m", 1))
		var want []string
		var all []<-chan reply
		for _, name := range []string{"good", "failing", "queued 1", "queued 2"} {
			body := `{"model":"m","name":"` + name + `"}`
			want = append(want, body)
			all = append(all, b.askLater(t.Context(), body))
			synctest.Wait()
		}
		time.Sleep(time.Second + time.Millisecond)
		bad.stop()
		for _, waiting := range all {
			if got := <-waiting; got.status != 200 {
				t.Errorf("got %+v", got)
			}
		}
		if strings.Join(order[:2], "") != want[0]+want[1] {
			t.Errorf("served in order %v", order)
		}
		good.stop()
		stop()
	})
}

func TestOnlyWorkerFails(t *testing.T) {
	tests := []struct {
		reset  protocol.ResetCode
		status int
		code   string
	}{
		{protocol.ResetUnreachable, 503, "engine_unreachable"},
		{protocol.ResetRefused, 503, "worker_refused"},
		{protocol.ResetEngine, 502, "engine_failed"},
		{protocol.ResetTooLarge, 413, "request_too_large"},
		{"something new", 502, "engine_failed"},
	}
	for _, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			b, stop := inMemory(t, newStack(t))
			asked := 0
			w := b.join("gpu-1", func(ctx context.Context, s *protocol.Stream) {
				asked++
				resetWith(test.reset)(ctx, s)
			}, offer("m", 4))
			got := b.ask(t.Context(), laptopKey, askM)
			if got.status != test.status || errorCode(t, got.body) != test.code || asked != 1 {
				t.Errorf("%s: got %+v after %d tries", test.reset, got, asked)
			}
			w.stop()
			stop()
		})
	}
}

// TestWorkerLostBeforeTheFirstByte: its request waits a moment for any worker,
// the lost one included.
func TestWorkerLostBeforeTheFirstByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := inMemory(t, newStack(t))
		w := b.join("gpu-1", hang, offer("m", 4))
		waiting := b.askLater(t.Context(), askM)
		synctest.Wait()
		w.stop()
		time.Sleep(time.Second)
		w = b.join("gpu-1", answerWith(`{"again":1}`), offer("m", 4))
		if got := <-waiting; got.body != `{"again":1}` {
			t.Errorf("got %+v", got)
		}
		w.stop()

		w = b.join("gpu-1", hang, offer("m", 4))
		waiting = b.askLater(t.Context(), askM)
		synctest.Wait()
		start := time.Now()
		w.stop()
		got := <-waiting
		if got.status != 502 || errorCode(t, got.body) != "worker_lost" || time.Since(start) > 10*time.Second {
			t.Errorf("got %+v after %v", got, time.Since(start))
		}
		stop()
	})
}

// TestBrokenStreamEndsWithAnError: after a delivered byte nothing is tried
// again, and the client is told inside the stream.
func TestBrokenStreamEndsWithAnError(t *testing.T) {
	tests := []struct {
		name, sent, want string
		lose             bool
		code             string
	}{
		{"engine fails between events", "data: 1\n\n", "data: 1\n\ndata: {", false, "engine_failed"},
		{"engine fails inside an event", "data: 1\n\ndata: {\"x", "data: 1\n\ndata: {\"error", false, "engine_failed"},
		{"engine fails inside an event of several lines", "data: 1\r\n\r\ndata: {\r\ndata: \"x\r\n", "data: 1\r\n\r\ndata: {\"error", false, "engine_failed"},
		{"connection lost", "data: 1\n\n", "data: 1\n\ndata: {", true, "worker_lost"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, stop := inMemory(t, newStack(t))
				w := b.join("gpu-1", func(ctx context.Context, s *protocol.Stream) {
					eventStream(ctx, s, test.sent)
					if test.lose {
						<-ctx.Done()
						return
					}
					time.Sleep(time.Second)
					s.Reset(protocol.ResetEngine, "gone")
				}, offer("m", 4))
				other := b.join("gpu-2", answerWith("again"), offer("m", 1))
				waiting := b.askLater(t.Context(), askM)
				synctest.Wait()
				if test.lose {
					w.stop()
				}
				got := <-waiting
				if !strings.HasPrefix(got.body, test.want) || got.err != nil {
					t.Errorf("got %q, %v", got.body, got.err)
				}
				_, event, _ := strings.Cut(got.body, "data: {\"error\"")
				if e, ok := openai.ParseError([]byte(`{"error"` + event)); !ok || e.Code != test.code {
					t.Errorf("error event %q", event)
				}
				if strings.Contains(got.body, "[DONE]") {
					t.Error("the broken stream says it is done")
				}
				w.stop()
				other.stop()
				stop()
			})
		})
	}
}

// TestBrokenUnaryAnswerIsNoWholeOne: the client sees that it is short.
func TestBrokenUnaryAnswerIsNoWholeOne(t *testing.T) {
	length := func(n string) []protocol.Field { return []protocol.Field{{"Content-Length", n}} }
	tests := []struct {
		name  string
		serve func(context.Context, *protocol.Stream)
	}{
		{"reset", func(ctx context.Context, s *protocol.Stream) {
			s.Respond(ctx, protocol.ResponseHead{Status: 200}, []byte(`{"half":`), false)
			time.Sleep(time.Second)
			s.Reset(protocol.ResetEngine, "")
		}},
		{"shorter than its length", func(ctx context.Context, s *protocol.Stream) {
			s.Respond(ctx, protocol.ResponseHead{Status: 200, Header: length("100")}, []byte("short"), true)
		}},
		{"longer than its length", func(ctx context.Context, s *protocol.Stream) {
			s.Respond(ctx, protocol.ResponseHead{Status: 200, Header: length("10")}, []byte("short"), false)
			s.Write(ctx, []byte("and more than was said"), true)
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, stop := inMemory(t, newStack(t))
				w := b.join("gpu-1", test.serve, offer("m", 4))
				if got := b.ask(t.Context(), laptopKey, askM); got.err == nil {
					t.Errorf("got %+v without an error", got)
				}
				w.stop()
				stop()
			})
		})
	}
}

// TestBrokenUnaryAnswerIsGivenUp: its worker hears of it, and the status tells.
func TestBrokenUnaryAnswerIsGivenUp(t *testing.T) {
	tests := []struct {
		name, sent, code string
	}{
		{"stops", `{"half":`, "idle_timeout"},
		{"goes on beyond its length", `{"longer":"than 10"`, "engine_failed"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, stop := inMemory(t, newStack(t))
				givenUp := false
				w := b.join("gpu-1", func(ctx context.Context, s *protocol.Stream) {
					s.Respond(ctx, protocol.ResponseHead{Status: 200, Header: []protocol.Field{{"Content-Length", "10"}}}, []byte(test.sent), false)
					<-ctx.Done()
					givenUp = true
				}, offer("m", 4))
				if got := b.ask(t.Context(), laptopKey, askM); got.err == nil {
					t.Errorf("got %+v without an error", got)
				}
				synctest.Wait()
				if !givenUp {
					t.Error("the worker still answers nobody")
				}
				if failed := b.Status().Workers[0].Models[0].Failed; failed == nil || failed.Code != test.code {
					t.Errorf("the status has %+v", failed)
				}
				w.stop()
				stop()
			})
		})
	}
}

// TestStalledClientHoldsNoSlot once the engine has finished, though most of the
// answer still waits for the client.
func TestStalledClientHoldsNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := inMemory(t, newStack(t))
		long := strings.Repeat("x", 100<<10)
		w := b.join("gpu-1", answerWith(long), offer("m", 1))
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.URL+"/v1/chat/completions", strings.NewReader(askM))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Api-Key", laptopKey.Reveal())
		stalled, err := b.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer stalled.Body.Close()
		start := time.Now()
		if got := b.ask(t.Context(), laptopKey, askM); got.body != long {
			t.Errorf("got status %d, %d bytes, %v", got.status, len(got.body), got.err)
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("the second request waited %v for the first one's client", took)
		}
		w.stop()
		stop()
	})
}
