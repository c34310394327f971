package relay_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relayctl/relayctl/internal/protocol"
)

const askOneToken = `{"model":"m","max_tokens":1,"stream":true}`

// loading is an engine that takes a time to load its model, and gives up where
// the caller leaves.
type loading struct {
	takes  time.Duration
	loaded bool
	began  int     // loads
	ended  []error // of those that were given up
}

func (l *loading) serve(ctx context.Context, s *protocol.Stream) {
	if !l.loaded {
		l.began++
		select {
		case <-time.After(l.takes):
			l.loaded = true
		case <-ctx.Done():
			l.ended = append(l.ended, context.Cause(ctx))
			return
		}
	}
	answerWith(`{"answer":1}`)(ctx, s)
}

// TestProbeGoesOnWithoutItsCaller: who asks with less patience than the model
// takes to load does not keep it from being loaded.
func TestProbeGoesOnWithoutItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := inMemory(t, newStack(t))
		engine := &loading{takes: 45 * time.Second}
		w := b.join("gpu-1", engine.serve, offer("m", 4))
		for range 4 {
			ctx, leave := context.WithTimeout(t.Context(), 10*time.Second)
			if got := b.ask(ctx, probeKey, askOneToken); !errors.Is(got.err, context.DeadlineExceeded) {
				t.Errorf("got %+v", got)
			}
			leave()
			synctest.Wait()
			if st := b.Status(); st.Models[0].Running != 1 {
				t.Errorf("%d requests run", st.Models[0].Running)
			}
		}
		start := time.Now()
		if got := b.ask(t.Context(), probeKey, askOneToken); got.status != http.StatusOK || time.Since(start) != 5*time.Second {
			t.Errorf("got %+v after %v", got, time.Since(start))
		}
		synctest.Wait()
		if engine.began != 1 {
			t.Errorf("it was loaded %d times", engine.began)
		}
		w.stop()
		stop()
	})
}

// TestProbeOfAHungEngineEnds, in the first byte's time; the next one has its
// turn then, and only one is at the engine at a time.
func TestProbeOfAHungEngineEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := inMemory(t, newStack(t))
		engine := &loading{takes: time.Hour}
		w := b.join("gpu-1", engine.serve, offer("m", 4))
		ctx, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		b.ask(ctx, probeKey, askOneToken)
		start := time.Now()
		got := b.ask(t.Context(), probeKey, askOneToken)
		if want := 10*time.Minute - time.Second + 10*time.Minute; got.status != http.StatusGatewayTimeout || time.Since(start) != want {
			t.Errorf("got %+v after %v, want %v", got, time.Since(start), want)
		}
		synctest.Wait() // until the worker has heard of it
		var reset *protocol.ResetError
		if len(engine.ended) != 2 || !errors.As(engine.ended[0], &reset) || reset.Code != protocol.ResetTimeout {
			t.Errorf("given up by %v", engine.ended)
		}
		w.stop()
		stop()
	})
}

// TestProbeHoldsNobodyUp: neither a relay that stops nor a client, for whom one
// that leaves is one that left.
func TestProbeHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := inMemory(t, newStack(t))
		w := b.join("gpu-1", hang, offer("m", 4))
		for _, key := range []struct {
			name string
			ask  func(context.Context) reply
			want int // requests that run when its caller has left
		}{
			{"a client's", func(ctx context.Context) reply { return b.ask(ctx, laptopKey, askM) }, 0},
			{"the probe", func(ctx context.Context) reply { return b.ask(ctx, probeKey, askOneToken) }, 1},
		} {
			ctx, leave := context.WithTimeout(t.Context(), time.Second)
			key.ask(ctx)
			leave()
			synctest.Wait()
			if st := b.Status(); st.Models[0].Running != key.want {
				t.Errorf("%s: %d requests run, want %d", key.name, st.Models[0].Running, key.want)
			}
		}
		start := time.Now()
		stop()
		if took := time.Since(start); took > time.Second {
			t.Errorf("the relay stopped after %v", took)
		}
		w.stop()
	})
}
