package relay_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// benchConns is how many clients ask at once.
const benchConns = 64

// The benchmarks measure the whole way, client and engine in the same process,
// and the same client calling the engine itself. Their figure is the ratio of
// CPU time: on a machine that does nothing else, how much of the direct
// throughput is left. Unlike wall time it stands on a busy machine too.

func BenchmarkUnary(b *testing.B) {
	answer := []byte(`{"id":"1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"` + strings.Repeat("word ", 40) + `"}}]}`)
	engine := startEngine(b, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.Write(answer)
	})
	compare(b, engine.URL, 1)
}

// BenchmarkBurst streams 100 events of a token each, as fast as they go: an op
// is one stream.
func BenchmarkBurst(b *testing.B) {
	event := []byte(`data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":" word"}}]}` + "\n\n")
	engine := startEngine(b, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		for range 100 {
			w.Write(event)
			w.(http.Flusher).Flush()
		}
		io.WriteString(w, "data: [DONE]\n\n")
	})
	compare(b, engine.URL, 100)
}

func compare(b *testing.B, engineURL string, perOp float64) {
	r := startRelay(b, newStack(b).load(b))
	connectedWorker(b, r, "gpu-1", engineURL, 2*benchConns, "m")
	load(b, engineURL, 500) // warm up
	load(b, r.URL, 500)
	b.ResetTimer()
	var direct, relayed usage
	const rounds = 4 // taken in turn, so that a noisy moment hits both
	for range rounds {
		direct.add(load(b, engineURL, b.N/rounds+1))
		relayed.add(load(b, r.URL, b.N/rounds+1))
	}
	n := float64(rounds * (b.N/rounds + 1))
	b.ReportMetric(n*perOp/direct.wall.Seconds(), "direct/s")
	b.ReportMetric(n*perOp/relayed.wall.Seconds(), "relayed/s")
	b.ReportMetric(direct.wall.Seconds()/relayed.wall.Seconds(), "wall-ratio")
	b.ReportMetric(direct.cpu.Seconds()/relayed.cpu.Seconds(), "cpu-ratio")
	b.ReportMetric(float64(relayed.cpu.Microseconds())/n, "relayed-cpu-µs/op")
	b.ReportMetric(0, "ns/op")
}

// usage is what some work took.
type usage struct{ wall, cpu time.Duration }

func (u *usage) add(v usage) { u.wall, u.cpu = u.wall+v.wall, u.cpu+v.cpu }

func cpuTime(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// load sends n requests from benchConns clients with a connection each, and
// returns what that took.
func load(b *testing.B, base string, n int) usage {
	var left atomic.Int64
	left.Store(int64(n))
	transport := &http.Transport{MaxIdleConnsPerHost: benchConns, DisableCompression: true}
	defer transport.CloseIdleConnections()
	var clients sync.WaitGroup
	start, cpu := time.Now(), cpuTime(b)
	for range benchConns {
		clients.Go(func() {
			for left.Add(-1) >= 0 {
				if err := roundTrip(transport, base); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	clients.Wait()
	return usage{time.Since(start), cpuTime(b) - cpu}
}

var benchBody = `{"model":"m","stream":true,"messages":[{"role":"user","content":"` + strings.Repeat("why ", 50) + `"}]}`

func roundTrip(transport *http.Transport, base string) error {
	r, err := http.NewRequest(http.MethodPost, base+"/v1/chat/completions", strings.NewReader(benchBody))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+laptopKey.Reveal())
	r.Header.Set("Content-Type", "application/json")
	response, err := transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	_, err = io.Copy(io.Discard, response.Body)
	return err
}
