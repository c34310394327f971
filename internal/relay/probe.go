package relay

import (
	"context"
	"net/http"
	"strconv"

	"github.com/relayctl/relayctl/internal/openai"
)

// maxProbe is how many tokens a completion with the probe's key may come to:
// some engines take no lower limit.
const maxProbe = 16

func probeOnly(more string) *openai.Error {
	return &openai.Error{Status: http.StatusForbidden, Type: openai.TypePermission, Code: "probe_only", Message: "this key is good for a completion of a few tokens only" + more}
}

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

// relayInTurn relays what a client asked. Of the probes of one model one runs at
// a time, and goes on without its caller: engines there are that give up loading
// a model when the caller leaves, and would never get it loaded for callers with
// less patience. The first byte's timeout ends it, or the relay's end: nobody
// has to be waiting for it.
func (s *Server) relayInTurn(ctx context.Context, j *job, w http.ResponseWriter) error {
	if !j.probe {
		return s.relay(ctx, j, w)
	}
	turn, _ := s.probes.LoadOrStore(j.model, make(chan struct{}, 1))
	select {
	case turn.(chan struct{}) <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-turn.(chan struct{}) }()
	j.stay()
	defer context.AfterFunc(s.gate.stopping, func() { j.cancel(errStopping) })()
	return s.relay(ctx, j, w)
}
