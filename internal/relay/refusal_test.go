package relay_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/relayctl/relayctl/internal/protocol"
	"github.com/relayctl/relayctl/internal/relay"
)

// refuseWith is a worker whose engine answers every request with status.
func refuseWith(status int, body string, header ...protocol.Field) func(context.Context, *protocol.Stream) {
	return func(ctx context.Context, s *protocol.Stream) {
		s.Respond(ctx, protocol.ResponseHead{Status: status, Header: append(header, protocol.Field{"Content-Type", "application/json"})}, []byte(body), true)
	}
}

const loadingAnswer = `{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}` // llama.cpp's

// TestEngineThatTurnsAwayIsNotAskedAgain, as long as another one serves: it
// would be idle always, and draw every request.
func TestEngineThatTurnsAwayIsNotAskedAgain(t *testing.T) {
	for _, status := range []int{401, 403, 404, 405, 407, 408, 429, 500, 502, 503, 504, 529} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, stop := inMemory(t, newStack(t))
				var seen atomic.Int32
				bad := b.join("gpu-1", func(ctx context.Context, s *protocol.Stream) {
					seen.Add(1)
					refuseWith(status, loadingAnswer)(ctx, s)
				}, offer("m", 4))
				good := b.join("gpu-2", answerWith(`{"good":1}`), offer("m", 4))
				for range 20 {
					if got := b.ask(t.Context(), laptopKey, askM); got.status != 200 || got.body != `{"good":1}` {
						t.Errorf("got %+v", got)
					}
				}
				if n := seen.Load(); n != 1 {
					t.Errorf("the bad engine was asked %d times in no time", n)
				}
				bad.stop()
				good.stop()
				stop()
			})
		})
	}
}

// TestEngineThatLoadsDrawsNoTraffic: 200 requests, 8 at once, at two workers
// of which one answers 503 to everything.
func TestEngineThatLoadsDrawsNoTraffic(t *testing.T) {
	r := startRelay(t, newStack(t).load(t))
	loads := startEngine(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, loadingAnswer)
	})
	connectedWorker(t, r, "gpu-1", loads.URL, 4, "m")
	connectedWorker(t, r, "gpu-2", echoEngine(t).URL, 4, "m")
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for range 25 {
				if status, _, body := ask(t, r.URL, laptopKey, askM); status != 200 {
					t.Errorf("%d %s", status, body)
				}
			}
		})
	}
	clients.Wait()
}

// TestManyEnginesTurnAway: the one that serves is found behind them.
func TestManyEnginesTurnAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStack(t)
		for i := 3; i <= 6; i++ {
			name := fmt.Sprintf("gpu-%d", i)
			st.workers = append(st.workers, relay.WorkerFile{Name: name, Hashes: []string{workerSecret(name).Hash()}, Models: []string{"m"}})
		}
		b, stop := inMemory(t, st)
		var all []*handWorker
		for i := 1; i <= 5; i++ {
			all = append(all, b.join(fmt.Sprintf("gpu-%d", i), refuseWith(503, loadingAnswer), offer("m", 100)))
		}
		all = append(all, b.join("gpu-6", answerWith(`{"good":1}`), offer("m", 1)))
		for _, got := range []<-chan reply{b.askLater(t.Context(), askM), b.askLater(t.Context(), askM)} {
			if got := <-got; got.body != `{"good":1}` {
				t.Errorf("got %+v", got)
			}
		}
		for _, w := range all {
			w.stop()
		}
		stop()
	})
}

// TestRefusalIsPassedOn where nobody else serves the model: as the engine has
// it, with a time to come back. What it says of the worker's key is not.
func TestRefusalIsPassedOn(t *testing.T) {
	tests := []struct {
		status int
		header []protocol.Field
		want   int
		code   string // of our own error; "": the engine's answer
		retry  string
	}{
		{503, nil, 503, "", "5"},
		{503, []protocol.Field{{"Retry-After", "17"}}, 503, "", "17"},
		{429, nil, 429, "", "5"},
		{404, nil, 404, "", ""},
		{405, nil, 405, "", ""},
		{408, nil, 408, "", ""},
		{500, nil, 500, "", ""},
		{401, []protocol.Field{{"Www-Authenticate", "Bearer"}}, 502, "engine_key_refused", ""},
		{403, nil, 502, "engine_key_refused", ""},
		{407, nil, 502, "engine_key_refused", ""},
	}
	for _, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			b, stop := inMemory(t, newStack(t))
			first := b.join("gpu-1", refuseWith(test.status, loadingAnswer, test.header...), offer("m", 4))
			for range 2 {
				got := b.ask(t.Context(), laptopKey, askM)
				switch {
				case got.status != test.want || got.err != nil || got.header.Get("Retry-After") != test.retry:
					t.Errorf("%d: got %+v", test.status, got)
				case test.code != "" && errorCode(t, got.body) != test.code, test.code == "" && got.body != loadingAnswer:
					t.Errorf("%d: got %s", test.status, got.body)
				case got.header.Get("Www-Authenticate") != "" || !strings.HasPrefix(got.header.Get("X-Request-Id"), "req_"):
					t.Errorf("%d: got %v", test.status, got.header)
				}
			}
			second := b.join("gpu-2", refuseWith(test.status, loadingAnswer), offer("m", 4))
			if got := b.ask(t.Context(), laptopKey, askM); got.status != test.want {
				t.Errorf("%d, twice: got %+v", test.status, got)
			}
			first.stop()
			second.stop()
			stop()
		})
	}
}

// TestWhatARequestIsRefusedForIsItsOwn: no other engine is asked.
func TestWhatARequestIsRefusedForIsItsOwn(t *testing.T) {
	for _, status := range []int{200, 400, 409, 413, 415, 422, 501} {
		synctest.Test(t, func(t *testing.T) {
			b, stop := inMemory(t, newStack(t))
			first := b.join("gpu-1", refuseWith(status, `{"detail":[{"msg":"Field required"}]}`), offer("m", 4))
			second := b.join("gpu-2", hang, offer("m", 1))
			got := b.ask(t.Context(), laptopKey, askM)
			if got.status != status || got.body != `{"detail":[{"msg":"Field required"}]}` {
				t.Errorf("%d: got %+v", status, got)
			}
			first.stop()
			second.stop()
			stop()
		})
	}
}

// TestPoisonIsBounded: a request that breaks engines breaks three at most.
func TestPoisonIsBounded(t *testing.T) {
	for name, breaks := range map[string]func(context.Context, *protocol.Stream){
		"breaks off": resetWith(protocol.ResetEngine), "500": refuseWith(500, "{}"), "504": refuseWith(504, "{}"),
	} {
		synctest.Test(t, func(t *testing.T) {
			st := newStack(t)
			var all []*handWorker
			for i := 3; i <= 5; i++ {
				worker := fmt.Sprintf("gpu-%d", i)
				st.workers = append(st.workers, relay.WorkerFile{Name: worker, Hashes: []string{workerSecret(worker).Hash()}, Models: []string{"m"}})
			}
			b, stop := inMemory(t, st)
			var broken atomic.Int32
			for i := 1; i <= 5; i++ {
				all = append(all, b.join(fmt.Sprintf("gpu-%d", i), func(ctx context.Context, s *protocol.Stream) {
					broken.Add(1)
					breaks(ctx, s)
				}, offer("m", 1)))
			}
			if got := b.ask(t.Context(), laptopKey, askM); got.status < 500 || broken.Load() != 3 {
				t.Errorf("%s: got %+v, %d broken", name, got, broken.Load())
			}
			for _, w := range all {
				w.stop()
			}
			stop()
		})
	}
}

// TestStatusNamesTheCause of what an engine failed last, until it answers.
func TestStatusNamesTheCause(t *testing.T) {
	where := "nothing listens on 127.0.0.1:9001"
	tests := []struct {
		serve      func(context.Context, *protocol.Stream)
		code, text string
	}{
		{func(_ context.Context, s *protocol.Stream) {
			s.Fail(&protocol.ResetError{Code: protocol.ResetUnreachable, Text: "can't be reached", Detail: where})
		}, "engine_unreachable", where},
		{func(_ context.Context, s *protocol.Stream) { s.Reset(protocol.ResetEngine, "broke off") }, "engine_failed", "broke off"},
		{refuseWith(503, loadingAnswer), "engine_unavailable", "the engine answered 503: Loading model"},
		{refuseWith(404, `{"error":"model \"x\" not found"}`), "engine_lacks_model", `the engine answered 404: model "x" not found`},
		{refuseWith(401, `{"detail":"Not authenticated"}`), "engine_key_refused", "the engine answered 401: Not authenticated"},
		{refuseWith(502, ``), "engine_unavailable", "the engine answered 502: Bad Gateway"},
		{func(ctx context.Context, s *protocol.Stream) {
			eventStream(ctx, s, "data: 1\n\n")
			s.Write(ctx, []byte("data: 2\n\n"), true)
		}, "engine_failed", "the stream ended before its answer did"},
		{hang, "first_byte_timeout", "no first byte in time"},
	}
	for _, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			b, stop := inMemory(t, newStack(t))
			var well atomic.Bool
			w := b.join("gpu-1", func(ctx context.Context, s *protocol.Stream) {
				if well.Load() {
					answerWith("{}")(ctx, s)
					return
				}
				test.serve(ctx, s)
			}, offer("m", 4))
			failed := func() *relay.EngineFailure {
				workers := b.Status().Workers
				at := slices.IndexFunc(workers, func(w relay.WorkerStatus) bool { return w.Name == "gpu-1" })
				return workers[at].Models[0].Failed
			}
			got := b.ask(t.Context(), laptopKey, askM)
			if strings.Contains(got.body, "127.0.0.1") {
				t.Errorf("a client is told an address: %s", got.body)
			}
			if f := failed(); f == nil || f.Code != test.code || f.Text != test.text || f.At.IsZero() {
				t.Errorf("%s: status has %+v", test.code, f)
			}
			well.Store(true)
			if got := b.ask(t.Context(), laptopKey, askM); got.status != 200 || failed() != nil {
				t.Errorf("%s: once it is well: %+v, %+v", test.code, got, failed())
			}
			w.stop()
			stop()
		})
	}
}
