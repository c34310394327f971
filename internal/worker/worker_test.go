package worker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/protocol"
	"github.com/relayctl/relayctl/internal/secret"
)

// inBubble runs test with a relay that it plays.
func inBubble(t *testing.T, test func(t *testing.T, r *handRelay)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newHandRelay(t)
		test(t, r)
		r.stop()
	})
}

func TestWorkerPresentsItself(t *testing.T) {
	inBubble(t, func(t *testing.T, r *handRelay) {
		_, states, stop := r.start(r.settings(model(t, "m", "http://engine"), model(t, "n", "http://engine")))
		l := r.next()
		if l.secret != "Bearer the-first-secret" || l.hello.Name != "gpu-1" || l.hello.Program != "relay-worker test" || len(l.hello.Instance) != 16 {
			t.Errorf("hello %+v with %s", l.hello, l.secret)
		}
		want := []protocol.Offer{{Name: "m", Concurrency: 2, Kind: "chat"}, {Name: "n", Concurrency: 2, Kind: "chat"}}
		if diff := cmp.Diff(want, l.hello.Models); diff != "" {
			t.Errorf("offers (-want +got):\n%s", diff)
		}
		if state := <-states; state != "connected" {
			t.Errorf("state %q", state)
		}
		l.conn.Close(protocol.CloseShutdown, "")
		<-l.ended
		stop()
	})
}

// TestWorkerComesBack sooner or later, with waits that are spread at random and
// bounded, and tells why it is not connected.
func TestWorkerComesBack(t *testing.T) {
	inBubble(t, func(t *testing.T, r *handRelay) {
		r.set(0, true)
		_, states, stop := r.start(r.settings(model(t, "m", "http://engine")))
		time.Sleep(30 * time.Minute)
		if state := <-states; !strings.Contains(state, "connecting: ") || !strings.Contains(state, "connection refused") {
			t.Errorf("state %q", state)
		}
		tries := r.tries()
		longest := time.Duration(0)
		for i := 1; i < len(tries); i++ {
			wait := tries[i].Sub(tries[i-1])
			longest = max(longest, wait)
			if bound := min(30*time.Second, 250*time.Millisecond<<min(i-1, 20)); wait > bound {
				t.Errorf("wait %d is %v, over %v", i, wait, bound)
			}
		}
		if longest < 20*time.Second || len(tries) < 60 || len(tries) > 400 {
			t.Errorf("%d tries in half an hour, the longest wait %v", len(tries), longest)
		}
		r.set(0, false)
		start := time.Now()
		r.next()
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("back after %v", took)
		}
		stop()
	})
}

func TestWorkerTellsWhyItIsRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, r *handRelay) {
		r.set(401, false)
		_, states, stop := r.start(r.settings(model(t, "m", "http://engine")))
		if state := <-states; !strings.Contains(state, "status 401: no worker secret that is good here") || strings.Contains(state, "the-first-secret") {
			t.Errorf("state %q", state)
		}
		stop()
	})
}

// TestReturnAfterALoss starts small again once a connection has held, and goes
// on growing where connections break at once.
func TestReturnAfterALoss(t *testing.T) {
	tests := []struct {
		name   string
		held   time.Duration
		code   protocol.CloseCode
		within time.Duration
	}{
		{"stable", time.Minute, protocol.CloseRevoked, 250 * time.Millisecond},
		{"the relay restarts", 0, protocol.CloseShutdown, 250 * time.Millisecond},
		{"replaced", time.Minute, protocol.CloseReplaced, 30 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *handRelay) {
				_, _, stop := r.start(r.settings(model(t, "m", "http://engine")))
				longest := time.Duration(0)
				for range 20 {
					l := r.next()
					time.Sleep(test.held)
					l.conn.Close(test.code, "")
					<-l.ended
					start := time.Now()
					synctest.Wait()
					next := r.next()
					longest = max(longest, time.Since(start))
					r.links <- next
				}
				if longest > test.within || longest < test.within/4 {
					t.Errorf("the longest of twenty returns took %v", longest)
				}
				stop()
			})
		})
	}
	t.Run("breaks at once", func(t *testing.T) {
		inBubble(t, func(t *testing.T, r *handRelay) {
			_, _, stop := r.start(r.settings(model(t, "m", "http://engine")))
			start := time.Now()
			for range 20 {
				l := r.next()
				l.conn.Close(protocol.CloseRevoked, "")
				<-l.ended
			}
			if took := time.Since(start); took < time.Minute {
				t.Errorf("twenty connections in %v", took)
			}
			stop()
		})
	})
}

// TestComeBackAfterClose: within what the relay asked for, also where the
// first tries meet a proxy that is not there yet.
func TestComeBackAfterClose(t *testing.T) {
	inBubble(t, func(t *testing.T, r *handRelay) {
		_, _, stop := r.start(r.settings(model(t, "m", "http://engine")))
		for range 20 {
			l := r.next()
			l.conn.Drain(protocol.Drain{ComeBack: protocol.AfterClose, WithinMS: 1000})
			synctest.Wait()
			time.Sleep(5 * time.Second)
			if len(r.links) != 0 {
				t.Fatal("came back before the connection was closed")
			}
			r.set(0, true)
			l.conn.Close(protocol.CloseDrained, "") // as a proxy would
			<-l.ended
			start := time.Now()
			time.Sleep(300 * time.Millisecond)
			r.set(0, false)
			next := r.next()
			if took := time.Since(start); took > 5*time.Second { // a few tries may meet nobody, each after a longer wait
				t.Errorf("back after %v", took)
			}
			r.links <- next
		}
		stop()
	})
}

func TestComeBackAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, r *handRelay) {
		_, _, stop := r.start(r.settings(model(t, "m", "http://engine")))
		first := r.next()
		first.conn.Drain(protocol.Drain{ComeBack: protocol.AtOnce})
		second := r.next()
		if second.hello.Instance != first.hello.Instance {
			t.Error("the second connection is of another instance")
		}
		select {
		case err := <-first.ended:
			t.Errorf("the worker ended the first: %v", err)
		default:
		}
		first.conn.Close(protocol.CloseDrained, "")
		<-first.ended
		time.Sleep(time.Minute)
		if len(r.links) != 0 {
			t.Error("a third connection for the closed first")
		}
		stop()
	})
}

// TestRelayThatAsksToComeBackForEver gets a few connections, one after the other.
func TestRelayThatAsksToComeBackForEver(t *testing.T) {
	for name, wish := range map[string]protocol.ComeBack{"at once": protocol.AtOnce, "after a close": protocol.AfterClose} {
		inBubble(t, func(t *testing.T, r *handRelay) {
			_, _, stop := r.start(r.settings(model(t, "m", "http://engine")))
			ctx, enough := context.WithTimeout(t.Context(), 10*time.Second)
			defer enough()
			got := 0
			for ctx.Err() == nil {
				select {
				case l := <-r.links:
					got++
					l.conn.Drain(protocol.Drain{ComeBack: wish})
					if wish == protocol.AfterClose {
						synctest.Wait()
						l.conn.Close(protocol.CloseDrained, "")
					}
				case <-ctx.Done():
				}
				if got > 1000 {
					enough()
				}
			}
			switch {
			case wish == protocol.AtOnce && got != 4:
				t.Errorf("%s: the worker opened %d connections", name, got)
			case wish == protocol.AfterClose && (got < 20 || got > 200):
				t.Errorf("%s: the worker connected %d times in ten seconds", name, got)
			}
			stop()
		})
	}
}

// TestReload: the new settings get a connection of their own, and until the
// relay takes them the old one stays.
func TestReload(t *testing.T) {
	inBubble(t, func(t *testing.T, r *handRelay) {
		settings := r.settings(model(t, "m", "http://engine"))
		w, _, stop := r.start(settings)
		first := r.next()
		renewed := *settings
		renewed.Secret = secret.New("the-second-secret")
		renewed.Models = append(renewed.Models, model(t, "n", "http://engine"))
		r.set(401, false)
		w.Reload(&renewed)
		time.Sleep(time.Minute)
		select {
		case err := <-first.ended:
			t.Fatalf("the old connection ended: %v", err)
		default:
		}
		r.set(0, false)
		second := r.next()
		if second.secret != "Bearer the-second-secret" || len(second.hello.Models) != 2 {
			t.Errorf("hello %+v with %s", second.hello, second.secret)
		}
		stop()
		<-first.ended
		<-second.ended
	})
}

// TestReloadEndsTheWait of a worker that can't connect: the new settings may
// be the cure.
func TestReloadEndsTheWait(t *testing.T) {
	inBubble(t, func(t *testing.T, r *handRelay) {
		r.set(401, false)
		settings := r.settings(model(t, "m", "http://engine"))
		w, _, stop := r.start(settings)
		time.Sleep(10 * time.Minute)
		r.set(0, false)
		start := time.Now()
		w.Reload(settings)
		r.next()
		if took := time.Since(start); took != 0 {
			t.Errorf("connected after %v", took)
		}
		stop()
	})
}

// TestStopFinishesFirst: the relay is told, what runs goes on, and the worker
// ends when the relay closes, or when its time is over.
func TestStopFinishesFirst(t *testing.T) {
	tests := []struct {
		name  string
		close time.Duration // after the drain, 0: never
		took  time.Duration
	}{
		{"in time", 20 * time.Second, 20 * time.Second},
		{"not in time", 0, time.Minute},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *handRelay) {
				_, _, stop := r.start(r.settings(model(t, "m", "http://engine")))
				l := r.next()
				start := time.Now()
				stopped := make(chan struct{})
				go func() {
					stop()
					close(stopped)
				}()
				if d := <-l.drains; d.ComeBack != protocol.Never {
					t.Errorf("the relay was told %+v", d)
				}
				if test.close > 0 {
					time.Sleep(test.close)
					l.conn.Close(protocol.CloseDrained, "")
				}
				<-stopped
				if took := time.Since(start); took != test.took {
					t.Errorf("stopped after %v", took)
				}
				<-l.ended
				if len(r.links) != 0 {
					t.Error("came back")
				}
			})
		})
	}
}

func TestStopWithoutAConnection(t *testing.T) {
	inBubble(t, func(t *testing.T, r *handRelay) {
		r.set(0, true)
		_, _, stop := r.start(r.settings(model(t, "m", "http://engine")))
		time.Sleep(10 * time.Minute)
		start := time.Now()
		stop()
		if took := time.Since(start); took != 0 {
			t.Errorf("stopped after %v", took)
		}
	})
}

// TestOnlyAllowedRequestsReachAnEngine: whatever a relay asks for.
func TestOnlyAllowedRequestsReachAnEngine(t *testing.T) {
	inBubble(t, func(t *testing.T, r *handRelay) {
		_, _, stop := r.start(r.settings(model(t, "m", "http://127.0.0.1:1"))) // nothing may be dialled in a bubble
		l := r.next()
		for _, head := range []protocol.RequestHead{
			{Model: "m", Method: "GET", Target: "/v1/chat/completions"},
			{Model: "m", Method: "POST", Target: "/invocations"},
			{Model: "m", Method: "POST", Target: "/metrics"},
			{Model: "m", Method: "POST", Target: "/v1/../invocations"},
			{Model: "m", Method: "POST", Target: "/v1/chat/completions/../../../sleep"},
			{Model: "m", Method: "POST", Target: "/v1/chat/completions#x"},
			{Model: "m", Method: "POST", Target: "http://169.254.169.254/v1/chat/completions"},
			{Model: "m", Method: "POST", Target: "//evil.example/v1/chat/completions"},
			{Model: "m", Method: "POST", Target: ""},
			{Model: "m", Method: "POST", Target: "/v1/chat/completions?a b"},
			{Model: "m", Method: "POST", Target: "/v1/chat/completions?a HTTP/1.1\r\nX-Evil: 1"},
			{Model: "m", Method: "POST", Target: "/v1/chat/completions?\x00"},
			{Model: "m", Method: "POST", Target: "/v1/chat/completions?é"},
			{Model: "other", Method: "POST", Target: "/v1/chat/completions"},
		} {
			s, err := l.conn.Open(head, []byte(`{"model":"m"}`))
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Response(t.Context())
			var reset *protocol.ResetError
			if !errors.As(err, &reset) || reset.Code != protocol.ResetRefused {
				t.Errorf("%+v: %v", head, err)
			}
		}
		l.conn.Close(protocol.CloseShutdown, "")
		<-l.ended
		stop()
	})
}

func TestInstancesDiffer(t *testing.T) {
	inBubble(t, func(t *testing.T, r *handRelay) {
		seen := make(map[string]bool)
		for range 3 {
			_, _, stop := r.start(r.settings(model(t, "m", "http://engine")))
			l := r.next()
			seen[l.hello.Instance] = true
			l.conn.Close(protocol.CloseShutdown, "")
			<-l.ended
			stop()
		}
		if len(seen) != 3 {
			t.Errorf("instances %v", fmt.Sprint(seen))
		}
	})
}
