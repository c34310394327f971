package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

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
	if failure, proxy := proof.Err, s.config.Stack.Proxy; failure != nil {
		failure.Log = append(failure.Log, log...)
		failure.Hint = "Look at what the relay says: journalctl -u relay-server on " + proxy.Name
		if unasked == nil {
			failure.Hint = fmt.Sprintf("The relay itself is up on %s. Look where %s leads, and what Caddy does with it.", proxy.Name, proxy.Domain)
		}
		return
	}
	sideBySide(proof.Models, 0, func(model ModelProof) {
		if model.Err != nil {
			model.Err.Log = append(model.Err.Log, log...)
			s.explainModel(ctx, model.Err, status, unasked == nil)
		}
	})
}

// modelEngine is the engine of a model at one of its workers.
type modelEngine struct {
	worker    *stack.Worker
	model     *stack.Model
	host      string         // that the worker is on
	connected bool           // the worker is, to the relay
	failed    *engineFailure // how it failed last; nil: it did not, or has answered since
}

// enginesOf lists the engines of a model, in the order of the stack, and what the
// relay knows of them.
func (s *Session) enginesOf(name string, status relayStatus) []modelEngine {
	var list []modelEngine
	for _, w := range s.config.Stack.Workers {
		if at := slices.IndexFunc(w.Models, func(m *stack.Model) bool { return m.Name == name }); at >= 0 {
			connected, failed := len(status.of(w.Name)) > 0, status.failure(w.Name, name)
			list = append(list, modelEngine{w, w.Models[at], s.hostOf(w.Name), connected, failed})
		}
	}
	return list
}

func (e modelEngine) hasFailed() bool { return e.failed != nil }

// told is what the worker told of the failure.
func (e modelEngine) told() string { return e.host + ": " + openai.FirstLine(e.failed.Text) }

// hint says what to do about the failure.
func (e modelEngine) hint() string {
	attribute := "backend"
	if e.failed.Code == codeKeyRefused {
		attribute = "backend_key"
	}
	at := e.model.At(attribute)
	line := fmt.Sprintf("%s line %d", at.Filename, at.Start.Line)
	switch {
	case e.failed.Code == codeKeyRefused && e.model.BackendKey.IsZero():
		return fmt.Sprintf("The engine asks for a key: add backend_key to model %q of worker %q (%s).", e.model.Name, e.worker.Name, line)
	case e.failed.Code == codeKeyRefused:
		return fmt.Sprintf("The engine takes another key than backend_key of model %q of worker %q (%s).", e.model.Name, e.worker.Name, line)
	case e.failed.Code == codeUnreachable:
		return fmt.Sprintf("Is the engine of %s up on %s? It is expected at %s (%s).", e.model.Name, e.host, e.model.Backend, line)
	}
	return fmt.Sprintf("Look at what the engine of %s itself says on %s.", e.model.Name, e.host)
}

// explainModel says what the relay knows of a model's engines; where it knows
// no cause, the workers' logs are quoted.
func (s *Session) explainModel(ctx context.Context, failure *NoToken, status relayStatus, relayKnown bool) {
	engines := s.enginesOf(failure.Model, status)
	if at := slices.IndexFunc(engines, modelEngine.hasFailed); at >= 0 && isOfEngine(failure) {
		failure.Log = append(failure.Log, "clients see this: "+failure.Summary)
		failure.Summary, failure.Hint = engines[at].told(), engines[at].hint()
	}
	var missing []string
	for _, e := range engines {
		switch {
		case relayKnown && !e.connected:
			missing = append(missing, e.host)
			failure.Log = append(failure.Log, e.host+": its worker is not connected to the relay")
			failure.Log = append(failure.Log, s.unitLog(ctx, e.host, "relay-worker.service")...)
		case relayKnown && errors.Is(failure, errNoTokenWithin):
			failure.Log = append(failure.Log, fmt.Sprintf("%s: connected; its engine at %s gives no token", e.host, e.model.Backend))
		case !e.hasFailed():
			failure.Log = append(failure.Log, s.unitLog(ctx, e.host, "relay-worker.service")...)
		case e.told() != failure.Summary:
			failure.Log = append(failure.Log, e.told())
		}
	}
	switch {
	case failure.Hint != "":
	case len(missing) > 0:
		failure.Hint = "Look at what the worker says: journalctl -u relay-worker on " + strings.Join(missing, ", ")
	case relayKnown:
		failure.Hint = "Look at the engine of " + failure.Model + ": is it up, and does it answer by itself?"
	}
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
