package engine

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Moods are ways of other engines than vLLM. The zero value has none.
type Moods struct {
	// Wake is how long the model takes to load when it is first asked. As with
	// Ollama, a load that nobody waits for any more is given up, and the next
	// request begins it anew.
	Wake time.Duration
	// LeastTokens is the lowest limit of tokens that is taken.
	LeastTokens int
	// NewLimit means that the limit is known as max_completion_tokens only.
	NewLimit bool
	// NoStream means that answers come in one piece only.
	NoStream bool
	// NeedsSystem means that the first message has to be the system's.
	NeedsSystem bool
}

// fault says what these engines find wrong with a request; empty: nothing.
func (m Moods) fault(req chatRequest) (param, text string) {
	limits := []struct {
		name  string
		value *int
	}{{"max_tokens", req.MaxTokens}, {"max_completion_tokens", req.MaxCompletionTokens}}
	for _, limit := range limits {
		if limit.value != nil && *limit.value < m.LeastTokens {
			return limit.name, fmt.Sprintf("Invalid '%s': integer below minimum value. Expected a value >= %d, but got %d instead.",
				limit.name, m.LeastTokens, *limit.value)
		}
	}
	switch {
	case m.NewLimit && req.MaxTokens != nil:
		return "max_tokens", "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
	case m.NoStream && req.Stream:
		return "stream", "Streaming is not supported by this model."
	case m.NeedsSystem && req.Messages[0].Role != "system":
		return "messages", "The first message has to have the role system."
	}
	return "", ""
}

// refuses writes what is wrong with a request, and reports whether anything is.
func (m Moods) refuses(w http.ResponseWriter, req chatRequest) bool {
	param, text := m.fault(req)
	if text != "" {
		writeError(w, http.StatusBadRequest, "invalid_request_error", param, text)
	}
	return text != ""
}

// loader is the load of a model that is begun by who asks for it first, and is
// given up when nobody waits for it any more.
type loader struct {
	mu      sync.Mutex
	loaded  bool
	began   int
	waiting int
	ready   chan struct{} // of the load that goes on; closed when the model is there
	timer   *time.Timer
}

// wait waits until the model, whose load takes so long, is there.
func (l *loader) wait(ctx context.Context, takes time.Duration) error {
	l.mu.Lock()
	if l.loaded || takes == 0 {
		l.mu.Unlock()
		return nil
	}
	if l.waiting == 0 {
		l.began++
		ready := make(chan struct{})
		l.ready = ready
		l.timer = time.AfterFunc(takes, func() { l.done(ready) })
	}
	l.waiting++
	ready := l.ready
	l.mu.Unlock()
	var err error
	select {
	case <-ready:
	case <-ctx.Done():
		err = ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting--; l.waiting == 0 {
		l.timer.Stop()
	}
	return err
}

// done ends the load that ready is closed after.
func (l *loader) done(ready chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.loaded && l.ready == ready {
		l.loaded = true
		close(ready)
	}
}

// Load ends the load that goes on; a model that nobody waits for is not loaded.
func (s *Stub) Load() {
	s.loader.mu.Lock()
	ready, waiting := s.loader.ready, s.loader.waiting
	s.loader.mu.Unlock()
	if waiting > 0 {
		s.loader.done(ready)
	}
}

// loads is how often a load was begun.
func (l *loader) loads() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.began
}
