package engine

import (
	"context"
	"fmt"
	"io"
	"sync"
)

// counters is what the engine counts. The zero value is ready.
type counters struct {
	mu        sync.Mutex
	running   int // completions now
	peak      int // the most that ran at once
	started   int
	cancelled int // given up because the client left
	tokens    int
	finished  map[string]int // by finish reason
	idle      chan struct{}  // closed when running falls to 0; nil if nobody waits
}

func (c *counters) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running++
	c.started++
	c.peak = max(c.peak, c.running)
}

// end counts a completion as finished for reason; an empty reason means that
// the client left.
func (c *counters) end(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running--
	if reason == "" {
		c.cancelled++
	} else {
		if c.finished == nil {
			c.finished = map[string]int{}
		}
		c.finished[reason]++
	}
	if c.running == 0 && c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

func (c *counters) token() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tokens++
}

// awaitIdle waits until nothing runs or ctx ends.
func (c *counters) awaitIdle(ctx context.Context) {
	c.mu.Lock()
	if c.running == 0 {
		c.mu.Unlock()
		return
	}
	if c.idle == nil {
		c.idle = make(chan struct{})
	}
	idle := c.idle
	c.mu.Unlock()
	select {
	case <-idle:
	case <-ctx.Done():
	}
}

// write writes the counts in the Prometheus text form: vLLM's names where it
// has one, stub_ before the others.
func (c *counters) write(w io.Writer, model string, loads int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	gauge := func(name string, value int) {
		fmt.Fprintf(w, "# TYPE %s gauge\n%s{engine=\"0\",model_name=%q} %d.0\n", name, name, model, value)
	}
	counter := func(name string, value int) {
		fmt.Fprintf(w, "# TYPE %s counter\n%s{engine=\"0\",model_name=%q} %d.0\n", name, name, model, value)
	}
	gauge("vllm:num_requests_running", c.running)
	gauge("vllm:num_requests_waiting", 0)
	gauge("vllm:kv_cache_usage_perc", 0)
	counter("vllm:generation_tokens_total", c.tokens)
	fmt.Fprintf(w, "# TYPE vllm:request_success_total counter\n")
	for _, reason := range []string{"stop", "length"} {
		fmt.Fprintf(w, "vllm:request_success_total{engine=\"0\",finished_reason=%q,model_name=%q} %d.0\n",
			reason, model, c.finished[reason])
	}
	counter("stub_requests_total", c.started)
	counter("stub_requests_cancelled_total", c.cancelled)
	gauge("stub_requests_running_peak", c.peak)
	counter("stub_loads_total", loads)
}
