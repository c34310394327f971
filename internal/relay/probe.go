package relay

import (
	"context"
	"net/http"
	"strconv"
	"sync"

	"github.com/relayctl/relayctl/internal/openai"
)

// maxProbe is how many tokens a completion with the probe's key may come to:
// some engines take no lower limit.
const maxProbe = 16

// fewTokens reports whether e can come to maxProbe tokens at most.
func fewTokens(e openai.Envelope) bool {
	set := false
	for _, limit := range []openai.Count{e.MaxTokens, e.MaxCompletionTokens} {
		if limit == "" {
			continue
		}
		n, err := strconv.Atoi(string(limit))
		if err != nil || n < 1 || n > maxProbe {
			return false
		}
		set = true
	}
	return set && (e.N == "" || e.N == "1")
}

// probes lets one probe of each model run at a time.
type probes struct {
	mu      sync.Mutex
	running map[string]*probe
}

// probe is a request with the probe's key that has its turn.
type probe struct {
	request *request
	over    chan struct{}
}

// relayInTurn relays what a client asked. A probe waits until the one before it
// is over, and then goes on without its caller: engines there are that give up
// loading a model when the caller leaves, and would never get it loaded for
// callers with less patience. The first byte's timeout ends it.
func (s *Server) relayInTurn(ctx context.Context, j *job, w http.ResponseWriter) error {
	if !j.probe {
		return s.relay(ctx, j, w)
	}
	end, err := s.probes.begin(ctx, j)
	if err != nil {
		return err
	}
	defer end()
	j.stay()
	return s.relay(ctx, j, w)
}

// begin waits for the turn of a probe of its model; ctx ends the wait.
func (p *probes) begin(ctx context.Context, j *job) (end func(), err error) {
	for {
		p.mu.Lock()
		before := p.running[j.model]
		if before == nil {
			mine := &probe{j.request, make(chan struct{})}
			if p.running == nil {
				p.running = make(map[string]*probe)
			}
			p.running[j.model] = mine
			p.mu.Unlock()
			return func() { p.end(j.model, mine) }, nil
		}
		p.mu.Unlock()
		select {
		case <-before.over:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (p *probes) end(model string, mine *probe) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.running, model)
	close(mine.over)
}

// cut ends all that run, with reason as their context's cause: nobody has to be
// waiting for them.
func (p *probes) cut(reason error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, running := range p.running {
		running.request.cancel(reason)
	}
}
