package relay_test

import (
	"bufio"
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
	"time"

	"github.com/relayctl/relayctl/internal/protocol"
	"github.com/relayctl/relayctl/internal/secret"
)

func TestRefusals(t *testing.T) {
	tests := []struct {
		name   string
		key    secret.Value
		body   string
		status int
		code   string
	}{
		{"no key", secret.Value{}, askM, 401, "invalid_api_key"},
		{"wrong key", secret.New("rk_wrong"), askM, 401, "invalid_api_key"},
		{"expired key", oldKey, askM, 401, "invalid_api_key"},
		{"a worker's secret", workerSecret("gpu-1"), askM, 401, "invalid_api_key"},
		{"unknown model", laptopKey, `{"model":"nope"}`, 404, "model_not_found"},
		{"model not for this key", narrowKey, askM, 404, "model_not_found"},
		{"model of the stack without a worker", laptopKey, `{"model":"other"}`, 503, "no_worker"},
		{"no JSON", laptopKey, `model=m`, 400, "invalid_body"},
		{"no model", laptopKey, `{"messages":[]}`, 400, "invalid_body"},
		{"model twice", laptopKey, `{"model":"m","Model":"other"}`, 400, "invalid_body"},
		{"too large", laptopKey, `{"model":"m","x":"` + strings.Repeat("x", 4096) + `"}`, 413, "request_too_large"},
		{"probe key, many tokens", probeKey, askM, 403, "probe_only"},
		{"probe key, more than a few tokens", probeKey, `{"model":"m","max_tokens":17}`, 403, "probe_only"},
		{"probe key, two limits", probeKey, `{"model":"m","max_tokens":1,"max_completion_tokens":90}`, 403, "probe_only"},
		{"probe key, no tokens, which is no limit", probeKey, `{"model":"m","max_tokens":0}`, 403, "probe_only"},
		{"probe key, below zero, which is no limit", probeKey, `{"model":"m","max_tokens":-1}`, 403, "probe_only"},
		{"probe key, a limit of other kind", probeKey, `{"model":"m","max_tokens":1e1}`, 403, "probe_only"},
		{"probe key, a limit that is null", probeKey, `{"model":"m","max_tokens":null}`, 403, "probe_only"},
		{"probe key, two answers", probeKey, `{"model":"m","max_tokens":1,"n":2}`, 403, "probe_only"},
		{"probe key, one token", probeKey, `{"model":"m","max_tokens":1}`, 200, ""},
		{"probe key, a few tokens", probeKey, `{"model":"m","max_completion_tokens":16}`, 200, ""},
		{"probe key, one token streamed", probeKey, `{"model":"m","max_completion_tokens":1,"stream":true}`, 200, ""},
		{"good key", laptopKey, askM, 200, ""},
	}
	synctest.Test(t, func(t *testing.T) {
		st := newStack(t)
		st.relay["max_body"] = "4KiB"
		b, stop := inMemory(t, st)
		w := b.join("gpu-1", answerWith(`{"answer":1}`), offer("m", 4))
		time.Sleep(time.Minute) // workers are no longer expected after the start
		for _, test := range tests {
			got := b.ask(t.Context(), test.key, test.body)
			if got.status != test.status || got.err != nil {
				t.Errorf("%s: got %d %q, %v; want %d", test.name, got.status, got.body, got.err, test.status)
				continue
			}
			if test.status == 200 {
				continue
			}
			if code := errorCode(t, got.body); code != test.code {
				t.Errorf("%s: code %q, want %q", test.name, code, test.code)
			}
			if retry := got.header.Get("Retry-After"); (retry != "") != (test.status == 503) {
				t.Errorf("%s: Retry-After is %q", test.name, retry)
			}
			if strings.Contains(got.body, "rk_") {
				t.Errorf("%s: the answer repeats the key", test.name)
			}
		}
		w.stop()
		stop()
	})
}

func TestBodyOverTheLimitWithoutLength(t *testing.T) {
	st := newStack(t)
	st.relay["max_body"] = "64KiB"
	r := startRelay(t, st.load(t))
	q, err := http.NewRequest(http.MethodPost, r.URL+"/v1/chat/completions", struct{ *strings.Reader }{strings.NewReader(strings.Repeat("x", 65<<10))})
	if err != nil {
		t.Fatal(err)
	}
	q.ContentLength = -1
	q.Header.Set("X-Api-Key", laptopKey.Reveal())
	response, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("got %d", response.StatusCode)
	}
}

// TestManyLargeBodies: what is kept free for bodies is not used up by room that
// they do not need.
func TestManyLargeBodies(t *testing.T) {
	const size = 8<<20 + 600
	for name, clients := range map[string]int32{"with a length": 24, "chunked": 16} {
		r := startRelay(t, newStack(t).load(t))
		ctx, leave := context.WithCancel(t.Context())
		all := make(chan struct{})
		var here atomic.Int32
		engine := startEngine(t, func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			if here.Add(1) == clients {
				close(all)
			}
			select {
			case <-all: // every body is in memory
			case <-r.Context().Done():
			}
			io.WriteString(w, "{}")
		})
		connectedWorker(t, r, "gpu-1", engine.URL, int(clients), "m")
		body := `{"model":"m","x":"` + strings.Repeat("x", size-20) + `"}`
		var asked sync.WaitGroup
		for range clients {
			asked.Go(func() {
				q, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL+"/v1/chat/completions", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				if name == "chunked" {
					q.ContentLength = -1
				}
				q.Header.Set("X-Api-Key", laptopKey.Reveal())
				response, err := http.DefaultClient.Do(q)
				if err != nil {
					t.Error(err)
					return
				}
				defer response.Body.Close()
				if response.StatusCode != http.StatusOK {
					answer, _ := io.ReadAll(response.Body)
					t.Errorf("%s: %d %s", name, response.StatusCode, answer)
					leave() // the others would wait for it
				}
			})
		}
		asked.Wait()
		leave()
	}
}

// TestOneKeyLeavesRoomForOthers, whatever it announces and holds back: for
// small requests of its own too, and for large ones of others.
func TestOneKeyLeavesRoomForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := inMemory(t, newStack(t))
		w := b.join("gpu-1", answerWith("{}"), offer("m", 4))
		w2 := b.join("gpu-2", answerWith("{}"), offer("other", 4))
		var hogs sync.WaitGroup
		for range 16 { // 16 MiB of 32 each
			conn, err := b.network.dial(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			hogs.Go(func() {
				fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Api-Key: %s\r\nContent-Length: %d\r\n\r\n", laptopKey.Reveal(), 32<<20)
				go io.Copy(io.Discard, conn)
				conn.Write(make([]byte, 16<<20+1))
				time.Sleep(5 * time.Minute)
				conn.Close()
			})
		}
		synctest.Wait()
		large := `{"model":"other","x":"` + strings.Repeat("x", 16<<20) + `"}`
		if got := b.ask(t.Context(), narrowKey, large); got.status != 200 {
			t.Errorf("another key's large request: %d %s", got.status, got.body)
		}
		if got := b.ask(t.Context(), laptopKey, askM); got.status != 200 {
			t.Errorf("its own small request: %d %s", got.status, got.body)
		}
		if got := b.ask(t.Context(), laptopKey, strings.Replace(large, "other", "m", 1)); got.status != 503 || errorCode(t, got.body) != "relay_busy" {
			t.Errorf("its own large request: %d %s", got.status, got.body)
		}
		time.Sleep(time.Minute) // the held ones bring nothing more
		if got := b.ask(t.Context(), laptopKey, strings.Replace(large, "other", "m", 1)); got.status != 200 {
			t.Errorf("its own large request a minute later: %d %s", got.status, got.body)
		}
		hogs.Wait()
		w.stop()
		w2.stop()
		stop()
	})
}

func TestQueueIsBoundedAndTimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStack(t)
		st.relay["max_queue"] = 2
		st.relay["queue_timeout"] = "30s"
		b, stop := inMemory(t, st)
		w := b.join("gpu-1", hang, offer("m", 1))
		ctx, leave := context.WithCancel(t.Context())
		running := b.askLater(ctx, askM)
		synctest.Wait()
		start := time.Now()
		first, second := b.askLater(t.Context(), askM), b.askLater(t.Context(), askM)
		synctest.Wait()
		got := b.ask(t.Context(), laptopKey, askM)
		if got.status != 503 || errorCode(t, got.body) != "queue_full" || got.header.Get("Retry-After") == "" || time.Since(start) != 0 {
			t.Errorf("over the bound: %+v after %v", got, time.Since(start))
		}
		for _, waiting := range []<-chan reply{first, second} {
			got := <-waiting
			if got.status != 503 || errorCode(t, got.body) != "queue_timeout" || time.Since(start) != 30*time.Second {
				t.Errorf("in the queue: %+v after %v", got, time.Since(start))
			}
		}
		leave()
		<-running
		w.stop()
		stop()
	})
}

// TestQueueIsServedInOrder also holds that a slot is handed on the moment it
// comes free.
func TestQueueIsServedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := inMemory(t, newStack(t))
		var order []string
		slow := func(ctx context.Context, s *protocol.Stream) {
			body, _ := readBody(ctx, s)
			order = append(order, body)
			time.Sleep(time.Second)
			answerWith(`{}`)(ctx, s)
		}
		w := b.join("gpu-1", slow, offer("m", 1))
		start := time.Now()
		var all []<-chan reply
		var want []string
		for i := range 5 {
			body := fmt.Sprintf(`{"model":"m","n":%d}`, i)
			want = append(want, body)
			all = append(all, b.askLater(t.Context(), body))
			synctest.Wait()
		}
		for _, reply := range all {
			if got := <-reply; got.status != 200 {
				t.Errorf("got %+v", got)
			}
		}
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("five requests of a second each took %v", took)
		}
		if fmt.Sprint(order) != fmt.Sprint(want) {
			t.Errorf("served in order %v", order)
		}
		w.stop()
		stop()
	})
}

func readBody(ctx context.Context, s *protocol.Stream) (string, error) {
	var all []byte
	for {
		chunk, err := s.Next(ctx)
		if err != nil {
			return string(all), err
		}
		all = append(all, chunk...)
	}
}

// TestQueueIsServedByAWorkerThatJoins: nothing is polled for.
func TestQueueIsServedByAWorkerThatJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := inMemory(t, newStack(t))
		one := b.join("gpu-1", hang, offer("m", 1))
		ctx, leave := context.WithCancel(t.Context())
		running := b.askLater(ctx, askM)
		synctest.Wait()
		waiting := b.askLater(t.Context(), askM)
		synctest.Wait()
		start := time.Now()
		two := b.join("gpu-2", answerWith(`{"from":2}`), offer("m", 1))
		if got := <-waiting; got.status != 200 || time.Since(start) != 0 {
			t.Errorf("got %+v after %v", got, time.Since(start))
		}
		leave()
		<-running
		one.stop()
		two.stop()
		stop()
	})
}

func TestRequestsRightAfterTheStartWaitForWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := inMemory(t, newStack(t))
		waiting := b.askLater(t.Context(), askM)
		synctest.Wait()
		time.Sleep(2 * time.Second)
		w := b.join("gpu-1", answerWith(`{}`), offer("m", 1))
		if got := <-waiting; got.status != 200 {
			t.Errorf("got %+v", got)
		}
		w.stop()
		stop()
	})
}

// TestWorkIsSpread: each worker gets a share after its size, and ties go
// round.
func TestWorkIsSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := inMemory(t, newStack(t))
		counts := make(map[string]int)
		counting := func(name string) func(context.Context, *protocol.Stream) {
			return func(ctx context.Context, _ *protocol.Stream) {
				counts[name]++
				<-ctx.Done()
			}
		}
		one := b.join("gpu-1", counting("gpu-1"), offer("m", 2))
		two := b.join("gpu-2", counting("gpu-2"), offer("m", 8))
		ctx, leave := context.WithCancel(t.Context())
		var all []<-chan reply
		for range 10 {
			all = append(all, b.askLater(ctx, askM))
			synctest.Wait()
			if small, large := counts["gpu-1"], counts["gpu-2"]; small+large == 5 && small != 1 {
				t.Errorf("of five requests %d went to 2 slots, %d to 8", small, large)
			}
		}
		if counts["gpu-1"] != 2 || counts["gpu-2"] != 8 {
			t.Errorf("counts %v", counts)
		}
		leave()
		for _, reply := range all {
			<-reply
		}
		one.stop()
		two.stop()
		stop()
	})
}

// TestSlowUploads: one that goes on is waited for, one that stalls is not.
func TestSlowUploads(t *testing.T) {
	tests := []struct {
		name   string
		piece  int // bytes, after each of which there is a pause
		pause  time.Duration
		status int
		within time.Duration
	}{
		{"steady", 70 << 10, 20 * time.Second, 200, 5 * time.Minute},
		{"stalled", 70 << 10, time.Hour, 400, time.Minute},
		{"a byte now and then", 1, 20 * time.Second, 400, time.Minute},
	}
	body := `{"model":"m","x":"` + strings.Repeat("x", 200<<10) + `"}`
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, stop := inMemory(t, newStack(t))
				w := b.join("gpu-1", slowly(2*time.Minute), offer("m", 1))
				conn, err := b.network.dial(t.Context(), "", "")
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				var client sync.WaitGroup
				client.Go(func() {
					fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Api-Key: %s\r\nContent-Length: %d\r\n\r\n", laptopKey.Reveal(), len(body))
					for piece := range slices.Chunk([]byte(body), test.piece) {
						if _, err := conn.Write(piece); err != nil {
							return
						}
						time.Sleep(test.pause)
					}
				})
				response, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); response.StatusCode != test.status || took > test.within {
					t.Errorf("got %d after %v", response.StatusCode, took)
				}
				conn.Close()
				client.Wait()
				w.stop()
				stop()
			})
		})
	}
}
