package cli

import (
	"sync"

	"github.com/relayctl/relayctl/internal/secret"
	"github.com/relayctl/relayctl/internal/stack"
)

// secrets are left out of all that is printed: those of the stack, and those
// that the user gave beside it. They may come while others print.
type secrets struct {
	mu      sync.RWMutex
	sources *stack.Sources // nil: no stack was read yet
	given   secret.Texts
}

func (s *secrets) ofStack(sources *stack.Sources) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sources = sources
}

// add takes what the user gave.
func (s *secrets) add(value secret.Value) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.given.Add(value.Reveal())
}

func (s *secrets) mask(text string) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.given.Mask(s.sources.Mask(text))
}
