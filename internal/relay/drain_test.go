package relay_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relayctl/relayctl/internal/protocol"
	"github.com/relayctl/relayctl/internal/relay"
	"github.com/relayctl/relayctl/internal/service"
)

// slowly answers after d.
func slowly(d time.Duration) func(context.Context, *protocol.Stream) {
	return func(ctx context.Context, s *protocol.Stream) {
		select {
		case <-time.After(d):
			answerWith(`{"slow":1}`)(ctx, s)
		case <-ctx.Done():
		}
	}
}

func drainRequest(comeBack protocol.ComeBack, timeout, hold time.Duration) relay.DrainRequest {
	return relay.DrainRequest{ComeBack: comeBack, Timeout: service.Duration(timeout), Hold: service.Duration(hold)}
}

// TestDrainBeforeAProxyReload: running answers finish, new requests wait, the
// proxy closes the connections, the workers come back, nobody saw an error.
func TestDrainBeforeAProxyReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := inMemory(t, newStack(t))
		w := b.join("gpu-1", slowly(3*time.Second), offer("m", 4))
		running := b.askLater(t.Context(), askM)
		synctest.Wait()
		drained := make(chan relay.DrainResult, 1)
		start := time.Now()
		go func() {
			drained <- b.Drain(t.Context(), drainRequest(protocol.AfterClose, 30*time.Second, 30*time.Second))
		}()
		if d := <-w.drains; d.ComeBack != protocol.AfterClose || d.WithinMS < 250 || d.WithinMS > 1000 {
			t.Errorf("the worker was told %+v", d)
		}
		waiting := b.askLater(t.Context(), askM)
		if got := <-drained; got != (relay.DrainResult{Workers: 1, Running: 1, Left: 0}) || time.Since(start) != 3*time.Second {
			t.Errorf("drained: %+v after %v", got, time.Since(start))
		}
		if got := <-running; got.status != 200 {
			t.Errorf("the running request got %+v", got)
		}
		w.stop() // as by the proxy's reload
		time.Sleep(time.Second)
		meanwhile := b.askLater(t.Context(), askM)
		time.Sleep(time.Second)
		w = b.join("gpu-1", answerWith(`{}`), offer("m", 4))
		for _, later := range []<-chan reply{waiting, meanwhile} {
			if got := <-later; got.status != 200 {
				t.Errorf("a waiting request got %+v", got)
			}
		}
		w.stop()
		stop()
	})
}

// TestDrainWithoutAReload: connections that nobody closed are used again.
func TestDrainWithoutAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := inMemory(t, newStack(t))
		w := b.join("gpu-1", answerWith(`{}`), offer("m", 4))
		got := b.Drain(t.Context(), drainRequest(protocol.AfterClose, 30*time.Second, 20*time.Second))
		if got != (relay.DrainResult{Workers: 1}) {
			t.Errorf("drained: %+v", got)
		}
		start := time.Now()
		if got := b.ask(t.Context(), laptopKey, askM); got.status != 200 || time.Since(start) != 20*time.Second {
			t.Errorf("got %+v after %v", got, time.Since(start))
		}
		w.stop()
		stop()
	})
}

// TestDrainLeavesDirectConnectionsAlone: a reload of the proxy closes no
// connection that does not pass through it, so its worker goes on meanwhile.
func TestDrainLeavesDirectConnectionsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := inMemory(t, newStack(t))
		through := b.join("gpu-1", answerWith(`{"through":1}`), offer("m", 4))
		b.direct = true
		here := b.join("gpu-2", answerWith(`{"here":1}`), offer("m", 4))
		got := b.Drain(t.Context(), drainRequest(protocol.AfterClose, 30*time.Second, 30*time.Second))
		synctest.Wait()
		if got != (relay.DrainResult{Workers: 1}) || len(through.drains) != 1 || len(here.drains) != 0 {
			t.Errorf("drained: %+v; told: %d and %d", got, len(through.drains), len(here.drains))
		}
		for _, worker := range b.Status().Workers {
			if worker.Direct != (worker.Name == "gpu-2") || worker.Direct != (worker.State == "serving") {
				t.Errorf("status %+v", worker)
			}
		}
		start := time.Now()
		if got := b.ask(t.Context(), laptopKey, askM); got.body != `{"here":1}` || time.Since(start) > time.Second {
			t.Errorf("got %+v after %v", got, time.Since(start))
		}
		if got := b.Drain(t.Context(), drainRequest(protocol.AtOnce, time.Second, 0)); got.Workers != 2 {
			t.Errorf("at once: %+v", got)
		}
		through.stop()
		here.stop()
		stop()
	})
}

// TestHoldEndsForThoseWhoStay: not for a worker that leaves, and not before a
// later drain says so.
func TestHoldEndsForThoseWhoStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := inMemory(t, newStack(t))
		w := b.join("gpu-1", slowly(time.Minute), offer("m", 4))
		leaves := b.join("gpu-2", slowly(time.Hour), offer("m", 100))
		var running []<-chan reply
		for range 2 { // one at each
			running = append(running, b.askLater(t.Context(), askM))
			synctest.Wait()
		}
		leaves.conn.Drain(protocol.Drain{ComeBack: protocol.Never})
		synctest.Wait()
		b.Drain(t.Context(), drainRequest(protocol.AfterClose, time.Second, 10*time.Second))
		time.Sleep(5 * time.Second)
		b.Drain(t.Context(), drainRequest(protocol.AfterClose, time.Second, 10*time.Second))
		start := time.Now()
		next := b.askLater(t.Context(), askM)
		if got := <-next; got.status != 200 || time.Since(start) != 10*time.Second+time.Minute {
			t.Errorf("got %+v after %v: the second hold lasts 10 s, the answer a minute", got, time.Since(start))
		}
		leaves.stop()
		w.stop()
		for _, r := range running {
			<-r
		}
		stop()
	})
}

func TestDrainIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := inMemory(t, newStack(t))
		w := b.join("gpu-1", slowly(time.Minute), offer("m", 4))
		running := b.askLater(t.Context(), askM)
		synctest.Wait()
		start := time.Now()
		got := b.Drain(t.Context(), drainRequest(protocol.AfterClose, 5*time.Second, time.Second))
		if got != (relay.DrainResult{Workers: 1, Running: 1, Left: 1}) || time.Since(start) != 5*time.Second {
			t.Errorf("drained: %+v after %v", got, time.Since(start))
		}
		if got := <-running; got.status != 200 {
			t.Errorf("got %+v", got)
		}
		w.stop()
		stop()
	})
}

// TestSecondConnectionTakesOver: new work goes to the newer one, the older
// finishes and is closed. Meanwhile both count as one worker.
func TestSecondConnectionTakesOver(t *testing.T) {
	tests := []struct {
		name     string
		instance string
		code     protocol.CloseCode
	}{
		{"of the same process", "gpu-1", protocol.CloseDrained},
		{"of another process", "other", protocol.CloseReplaced},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, stop := inMemory(t, newStack(t))
				older := b.join("gpu-1", slowly(3*time.Second), offer("m", 1))
				running := b.askLater(t.Context(), askM)
				synctest.Wait()
				newer, err := b.tryJoin(workerSecret("gpu-1"), protocol.WorkerHello{Name: "gpu-1", Instance: test.instance, Models: []protocol.Offer{offer("m", 1)}}, answerWith(`{"new":1}`))
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				if got := b.ask(t.Context(), laptopKey, askM); got.body != `{"new":1}` || time.Since(start) != 3*time.Second {
					t.Errorf("got %+v after %v: the engine takes one request at a time", got, time.Since(start))
				}
				if got := <-running; got.body != `{"slow":1}` {
					t.Errorf("the running request got %+v", got)
				}
				var closed *protocol.CloseError
				if err := <-older.ended; !errors.As(err, &closed) || closed.Code != test.code {
					t.Errorf("the older connection ended with %v", err)
				}
				newer.stop()
				stop()
			})
		})
	}
}

func TestWorkerThatLeavesFinishesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := inMemory(t, newStack(t))
		w := b.join("gpu-1", slowly(3*time.Second), offer("m", 4))
		time.Sleep(time.Minute)
		running := b.askLater(t.Context(), askM)
		synctest.Wait()
		for range 100 {
			w.conn.Drain(protocol.Drain{ComeBack: protocol.Never})
		}
		synctest.Wait()
		other := b.join("gpu-2", answerWith(`{"other":1}`), offer("m", 1))
		if got := b.ask(t.Context(), laptopKey, askM); got.body != `{"other":1}` {
			t.Errorf("a new request got %+v", got)
		}
		if got := <-running; got.body != `{"slow":1}` {
			t.Errorf("the running request got %+v", got)
		}
		var closed *protocol.CloseError
		if err := <-w.ended; !errors.As(err, &closed) || closed.Code != protocol.CloseDrained {
			t.Errorf("the connection ended with %v", err)
		}
		other.stop()
		stop()
	})
}

// TestRelayStops: what runs and what waits is finished, what comes is sent
// away, and workers hear why.
func TestRelayStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := inMemory(t, newStack(t))
		w := b.join("gpu-1", slowly(3*time.Second), offer("m", 1))
		running := b.askLater(t.Context(), askM)
		synctest.Wait()
		waiting := b.askLater(t.Context(), askM)
		synctest.Wait()
		start := time.Now()
		stopped := make(chan struct{})
		go func() {
			stop()
			close(stopped)
		}()
		synctest.Wait()
		late := b.ask(t.Context(), laptopKey, askM)
		if late.status != 503 || errorCode(t, late.body) != "relay_stopping" || late.header.Get("Retry-After") == "" {
			t.Errorf("a new request got %+v", late)
		}
		for _, r := range []<-chan reply{running, waiting} {
			if got := <-r; got.status != 200 {
				t.Errorf("got %+v", got)
			}
		}
		<-stopped
		if took := time.Since(start); took < 6*time.Second || took > 10*time.Second {
			t.Errorf("stopped after %v", took)
		}
		var closed *protocol.CloseError
		if err := <-w.ended; !errors.As(err, &closed) || closed.Code != protocol.CloseShutdown {
			t.Errorf("the worker's connection ended with %v", err)
		}
	})
}

// TestRelayStopsInBoundedTime: what does not finish is told so.
func TestRelayStopsInBoundedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStack(t)
		st.relay["drain_timeout"] = "7s"
		b, stop := inMemory(t, st)
		w := b.join("gpu-1", func(ctx context.Context, s *protocol.Stream) {
			eventStream(ctx, s, "data: 1\n\n")
			<-ctx.Done()
		}, offer("m", 1))
		streaming := b.askLater(t.Context(), askM)
		synctest.Wait()
		waiting := b.askLater(t.Context(), askM)
		synctest.Wait()
		start := time.Now()
		stop()
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("stopped after %v", took)
		}
		for what, r := range map[string]<-chan reply{"streaming": streaming, "waiting": waiting} {
			if got := <-r; !contains(got.body, `"code":"relay_stopping"`) {
				t.Errorf("the %s request got %+v", what, got)
			}
		}
		w.stop()
	})
}
