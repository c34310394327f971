package relay_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
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

// BenchmarkOneByOne asks one question at a time, directly and through the relay
// in turn. Its figure is what the relay adds to the median.
func BenchmarkOneByOne(b *testing.B) {
	engine := startEngine(b, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"id":"1","object":"chat.completion","choices":[]}`)
	})
	r := startRelay(b, newStack(b).load(b))
	connectedWorker(b, r, "gpu-1", engine.URL, 1, "m")
	transport := &http.Transport{MaxIdleConnsPerHost: 1, DisableCompression: true}
	defer transport.CloseIdleConnections()
	took := map[string][]time.Duration{}
	ask := func(base string) {
		begun := time.Now()
		if err := roundTrip(transport, base); err != nil {
			b.Fatal(err)
		}
		took[base] = append(took[base], time.Since(begun))
	}
	for range 200 { // warm up
		ask(engine.URL)
		ask(r.URL)
	}
	clear(took)
	for b.Loop() {
		ask(engine.URL)
		ask(r.URL)
	}
	median := func(base string) float64 {
		slices.Sort(took[base])
		return float64(took[base][len(took[base])/2].Microseconds()) / 1000
	}
	b.ReportMetric(median(engine.URL), "direct-p50-ms")
	b.ReportMetric(median(r.URL)-median(engine.URL), "added-p50-ms")
	b.ReportMetric(0, "ns/op")
}

func compare(b *testing.B, engineURL string, perOp float64) {
	r := startRelay(b, newStack(b).load(b))
	connectedWorker(b, r, "gpu-1", engineURL, 2*benchConns, "m")
	load(b, engineURL, 500) // warm up
	load(b, r.URL, 500)
	b.ResetTimer()
	var direct, relayed usage
	const rounds = 12 // taken in turn, so that a noisy moment hits both
	var ratios []float64
	for range rounds {
		straight, around := load(b, engineURL, b.N/rounds+1), load(b, r.URL, b.N/rounds+1)
		ratios = append(ratios, straight.wall.Seconds()/around.wall.Seconds())
		direct.add(straight)
		relayed.add(around)
	}
	slices.Sort(ratios)
	n := float64(rounds * (b.N/rounds + 1))
	b.ReportMetric(n*perOp/direct.wall.Seconds(), "direct/s")
	b.ReportMetric(n*perOp/relayed.wall.Seconds(), "relayed/s")
	b.ReportMetric(ratios[rounds/2], "wall-ratio-median")
	b.ReportMetric(ratios[rounds-1], "wall-ratio-max")
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
