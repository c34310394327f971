package relay_test

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
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
//
// Clients keep their connections from the first to the last request, as SDKs do
// and as a worker does with its engine. With new ones for each round, the kernel
// would hold small writes back on them, and on them only, until it has seen what
// the way can carry: a hundred flushed events were 46 segments then, not 98.

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
	straight, around := newClients(b, engineURL), newClients(b, r.URL)
	straight.load(b, 1000) // warm up
	around.load(b, 1000)
	b.ResetTimer()
	var direct, relayed usage
	const rounds = 12 // taken in turn, so that a noisy moment hits both
	var ratios []float64
	for range rounds {
		d, r := straight.load(b, b.N/rounds+1), around.load(b, b.N/rounds+1)
		ratios = append(ratios, d.wall.Seconds()/r.wall.Seconds())
		direct.add(d)
		relayed.add(r)
	}
	slices.Sort(ratios)
	n := float64(rounds * (b.N/rounds + 1))
	b.ReportMetric(n*perOp/direct.wall.Seconds(), "direct/s")
	b.ReportMetric(n*perOp/relayed.wall.Seconds(), "relayed/s")
	b.ReportMetric(ratios[rounds/2], "wall-ratio-median")
	b.ReportMetric(ratios[rounds-1], "wall-ratio-max")
	b.ReportMetric(direct.cpu.Seconds()/relayed.cpu.Seconds(), "cpu-ratio")
	b.ReportMetric(float64(relayed.cpu.Microseconds())/n, "relayed-cpu-µs/op")
	b.ReportMetric(float64(direct.allocs)/n, "direct-allocs/op")
	b.ReportMetric(float64(relayed.allocs)/n, "relayed-allocs/op")
	b.ReportMetric(0, "ns/op")
}

// usage is what some work took.
type usage struct {
	wall, cpu time.Duration
	allocs    uint64
}

func (u *usage) add(v usage) {
	u.wall, u.cpu, u.allocs = u.wall+v.wall, u.cpu+v.cpu, u.allocs+v.allocs
}

// used is what the process has taken so far.
func used(b *testing.B) usage {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{cpu: time.Duration(r.Utime.Nano() + r.Stime.Nano()), allocs: m.Mallocs}
}

// clients are benchConns clients with a connection each.
type clients struct {
	base      string
	transport *http.Transport
}

func newClients(b *testing.B, base string) *clients {
	transport := &http.Transport{MaxIdleConnsPerHost: benchConns, MaxConnsPerHost: benchConns, DisableCompression: true}
	b.Cleanup(transport.CloseIdleConnections)
	return &clients{base, transport}
}

// load sends n requests, and returns what that took.
func (c *clients) load(b *testing.B, n int) usage {
	var left atomic.Int64
	left.Store(int64(n))
	var all sync.WaitGroup
	start, before := time.Now(), used(b)
	for range benchConns {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				if err := roundTrip(c.transport, c.base); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	wall, after := time.Since(start), used(b)
	return usage{wall, after.cpu - before.cpu, after.allocs - before.allocs}
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
