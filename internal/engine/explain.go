package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/relayctl/relayctl/internal/stack"
)

// journalLines is how many of its last lines a service is quoted with.
const journalLines = 5

// explain adds to the proofs that failed what relay and workers say about it.
func (s *Session) explain(ctx context.Context, proofs []ModelProof) {
	isFailed := func(proof ModelProof) bool { return proof.Err != nil }
	if !slices.ContainsFunc(proofs, isFailed) {
		return
	}
	status, unasked := s.proxy().relayStatus(ctx)
	var clocks []string
	for _, clock := range s.clocksOff() {
		clocks = append(clocks, strings.TrimPrefix(clock.Host+": "+clock.Summary(), ": "))
	}
	var asking sync.WaitGroup
	for _, proof := range proofs {
		if !isFailed(proof) {
			continue
		}
		proof.Err.Log = append(proof.Err.Log, clocks...)
		if unasked != nil {
			proof.Err.Log = append(proof.Err.Log, inWords(unasked))
		}
		asking.Go(func() { s.explainModel(ctx, proof.Err, status, unasked == nil) })
	}
	asking.Wait()
}

func (s *Session) explainModel(ctx context.Context, failure *NoToken, status relayStatus, relayKnown bool) {
	var missing []string
	for _, worker := range s.config.Stack.Workers {
		model := modelOf(worker, failure.Model)
		if model == nil {
			continue
		}
		connected := relayKnown && status.connected(worker.Name)
		if relayKnown && !connected {
			missing = append(missing, s.hostOf(worker.Name))
			failure.Log = append(failure.Log, fmt.Sprintf("%s: its worker is not connected to the relay", worker.Name))
		}
		if connected && errors.Is(failure, errNoTokenWithin) {
			failure.Log = append(failure.Log, fmt.Sprintf("%s: connected; its engine at %s gives no token", worker.Name, model.Backend))
		}
		failure.Log = append(failure.Log, s.journal(ctx, s.hostOf(worker.Name), "relay-worker.service")...)
	}
	if failure.Hint != "" {
		return
	}
	switch {
	case len(missing) > 0:
		failure.Hint = "Look at what the worker says: journalctl -u relay-worker on " + strings.Join(missing, ", ")
	case relayKnown:
		failure.Hint = "Look at the engine of " + failure.Model + ": is it up, and does it answer by itself?"
	}
}

// journal quotes the end of a unit's log, each line with the host's name. A
// host without a conversation says nothing.
func (s *Session) journal(ctx context.Context, name, unit string) []string {
	h := s.hosts[name]
	if h == nil {
		return nil
	}
	lines, err := h.client.Journal(ctx, unit, journalLines)
	if err != nil {
		return []string{fmt.Sprintf("%s: %s: %v", name, unit, err)}
	}
	for i, line := range lines {
		lines[i] = name + ": " + line
	}
	return lines
}

func modelOf(worker *stack.Worker, name string) *stack.Model {
	for _, model := range worker.Models {
		if model.Name == name {
			return model
		}
	}
	return nil
}
