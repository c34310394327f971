package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/relayctl/relayctl/internal/openai"
	"github.com/relayctl/relayctl/internal/stack"
)

// logLines is how many of its last lines a service is quoted with.
const logLines = 5

// explain adds to a proof that failed what relay and workers say about it.
func (s *Session) explain(ctx context.Context, proof *Proof) {
	if proof.failure() == nil {
		return
	}
	status, unasked := s.proxy().relayStatus(ctx)
	var log []string
	for _, clock := range s.clocksOff() {
		log = append(log, strings.TrimPrefix(clock.Host+": "+clock.Summary(), ": "))
	}
	if unasked != nil {
		log = append(log, inWords(unasked))
	}
	if proof.Err != nil {
		proof.Err.Log = append(proof.Err.Log, log...)
		proof.Err.Hint = s.wayHint(unasked == nil)
		return
	}
	var asking sync.WaitGroup
	for _, model := range proof.Models {
		if model.Err == nil {
			continue
		}
		model.Err.Log = append(model.Err.Log, log...)
		asking.Go(func() { s.explainModel(ctx, model.Err, status, unasked == nil) })
	}
	asking.Wait()
}

// wayHint says where to look when no way leads to the relay.
func (s *Session) wayHint(relayUp bool) string {
	proxy := s.config.Stack.Proxy
	if relayUp {
		return fmt.Sprintf("The relay itself is up on %s. Look where %s leads, and what Caddy does with it.", proxy.Name, proxy.Domain)
	}
	return "Look at what the relay says: journalctl -u relay-server on " + proxy.Name
}

// told is what a worker told of the engine of a model.
type told struct {
	worker *stack.Worker
	model  *stack.Model
	host   string
	*engineFailure
}

func (t told) String() string { return t.host + ": " + openai.FirstLine(t.Text) }

// hint says what to do about it.
func (t told) hint() string {
	at := func(attribute string) string {
		r := t.model.At(attribute)
		return fmt.Sprintf("%s line %d", r.Filename, r.Start.Line)
	}
	switch {
	case t.Code == codeKeyRefused && t.model.BackendKey.IsZero():
		return fmt.Sprintf("The engine asks for a key: add backend_key to model %q of worker %q (%s).", t.model.Name, t.worker.Name, at("backend_key"))
	case t.Code == codeKeyRefused:
		return fmt.Sprintf("The engine takes another key than backend_key of model %q of worker %q (%s).", t.model.Name, t.worker.Name, at("backend_key"))
	case t.Code == codeUnreachable:
		return fmt.Sprintf("Is the engine of %s up on %s? It is expected at %s (%s).", t.model.Name, t.host, t.model.Backend, at("backend"))
	}
	return fmt.Sprintf("Look at what the engine of %s itself says on %s.", t.model.Name, t.host)
}

// engines lists the workers of a model whose engine failed last, by what the
// relay knows, in the order of the stack.
func (s *Session) engines(status relayStatus, name string) []told {
	var list []told
	for _, worker := range s.config.Stack.Workers {
		model := modelOf(worker, name)
		if model == nil {
			continue
		}
		if failed := status.failure(worker.Name, name); failed != nil {
			list = append(list, told{worker, model, s.hostOf(worker.Name), failed})
		}
	}
	return list
}

// explainModel says what the relay knows of a model's engines; where it knows
// no cause, the workers' logs are quoted.
func (s *Session) explainModel(ctx context.Context, failure *NoToken, status relayStatus, relayKnown bool) {
	engines := s.engines(status, failure.Model)
	if len(engines) > 0 && isOfEngine(failure) {
		failure.Log = append(failure.Log, "clients see this: "+failure.Summary)
		failure.Summary, failure.Hint = engines[0].String(), engines[0].hint()
	}
	var missing []string
	for _, worker := range s.config.Stack.Workers {
		model, host := modelOf(worker, failure.Model), s.hostOf(worker.Name)
		if model == nil {
			continue
		}
		at := slices.IndexFunc(engines, func(t told) bool { return t.worker == worker })
		switch {
		case relayKnown && len(status.of(worker.Name)) == 0:
			missing = append(missing, host)
			failure.Log = append(failure.Log, fmt.Sprintf("%s: its worker is not connected to the relay", worker.Name))
			failure.Log = append(failure.Log, s.unitLog(ctx, host, "relay-worker.service")...)
		case relayKnown && errors.Is(failure, errNoTokenWithin):
			failure.Log = append(failure.Log, fmt.Sprintf("%s: connected; its engine at %s gives no token", worker.Name, model.Backend))
		case at < 0:
			failure.Log = append(failure.Log, s.unitLog(ctx, host, "relay-worker.service")...)
		case engines[at].String() != failure.Summary:
			failure.Log = append(failure.Log, engines[at].String())
		}
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

// isOfEngine reports whether an engine that failed may be why no token came.
func isOfEngine(err error) bool {
	var said *refusal
	if errors.As(err, &said) {
		return said.ofEngine()
	}
	return !errors.Is(err, errNoTokenWithin) && !errors.Is(err, errNoAnswer)
}

// unitLog quotes the end of a unit's log, each line with the host's name. A
// host without a conversation says nothing.
func (s *Session) unitLog(ctx context.Context, name, unit string) []string {
	h := s.hosts[name]
	if h == nil {
		return nil
	}
	lines, err := h.client.Log(ctx, unit, logLines)
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
