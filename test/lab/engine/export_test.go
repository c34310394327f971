package engine

import "context"

// AwaitIdle waits until no completion runs or ctx ends.
func (s *Stub) AwaitIdle(ctx context.Context) { s.counts.awaitIdle(ctx) }

// Counts returns how many completions run and how many were given up.
func (s *Stub) Counts() (running, cancelled int) {
	s.counts.mu.Lock()
	defer s.counts.mu.Unlock()
	return s.counts.running, s.counts.cancelled
}
