package cli

import (
	"time"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

// jsonEvent is something that happens on a host.
type jsonEvent struct {
	jsonLine
	Host      string       `json:"host,omitempty"`
	Phase     engine.Phase `json:"phase,omitempty"`
	Resource  *plan.ID     `json:"resource,omitempty"`
	Action    plan.Action  `json:"action,omitempty"`
	Step      int          `json:"step"`
	Steps     int          `json:"steps"`
	SentBytes int64        `json:"sent_bytes,omitempty"`
	SizeBytes int64        `json:"size_bytes,omitempty"`
	Seconds   float64      `json:"seconds,omitempty"`
	Message   string       `json:"message" text:"lines"`
}

// jsonDone is what an apply did.
type jsonDone struct {
	TookSeconds float64    `json:"took_seconds"`
	URL         string     `json:"url"`
	Created     int        `json:"created"`
	Changed     int        `json:"changed"`
	Removed     int        `json:"removed"`
	NewKeys     []jsonKeys `json:"new_keys"`
}

// jsonKeys says where a new API key is; the key itself is never printed.
type jsonKeys struct {
	Name string `json:"name"`
	File string `json:"file" text:"verbatim"`
}

// uploadsTold is the least time between two lines about one upload.
const uploadsTold = time.Second

// hear prints an event of an apply.
func (j *jsonOutput) hear(e engine.Event, now time.Time) {
	event := jsonEvent{
		Host: e.Host, Resource: resourceOf(e.ID), Action: e.Action, Step: e.Step, Steps: e.Steps,
		Seconds: seconds(e.Took), Message: happened(e),
	}
	switch e.Phase {
	case stopping, stopped:
		return
	case engine.NewHostKey:
		event.jsonLine = j.line("host_key")
	case engine.Done:
		event.jsonLine = j.line("step_done")
	case engine.Finished:
		event.jsonLine = j.line("host_done")
	case engine.Failed:
		event.jsonLine = j.line("host_failed")
	case engine.Uploading:
		if now.Sub(j.uploads[e.Host]) < uploadsTold && e.Amount.Done < e.Amount.Total {
			return
		}
		j.uploads[e.Host] = now
		event.SentBytes, event.SizeBytes = e.Amount.Done, e.Amount.Total
		fallthrough
	default:
		event.jsonLine, event.Phase, event.Seconds, event.Message = j.line("progress"), e.Phase, 0, doing(e)
	}
	j.print(event)
}

func (j *jsonOutput) beat(time.Time) {}

func (j *jsonOutput) aside() {}

// outcome prints how an apply ended on the hosts.
func (j *jsonOutput) outcome(outcome *engine.Outcome) {
	did := didOf(outcome)
	j.done = &jsonDone{TookSeconds: seconds(outcome.Took), Created: did.Create, Changed: did.Update, Removed: did.Remove}
	j.told = j.done
	j.print(struct {
		jsonLine
		Hosts []engine.HostOutcome `json:"hosts"`
	}{j.line("outcome"), outcome.Hosts})
}

// proof prints what the models answered.
func (j *jsonOutput) proof(proof engine.Proof) {
	var models []jsonModel
	for _, m := range proof.Models {
		models = append(models, modelOf(m))
	}
	j.done.URL = proof.URL
	j.print(struct {
		jsonLine
		URL     string       `json:"url"`
		Route   engine.Route `json:"route,omitempty"` // to the relay; missing: it was not reached
		Detours []string     `json:"detours"`
		Models  []jsonModel  `json:"models"`
	}{j.line("proof"), proof.URL, proof.Route, proof.Detours, models})
}

// keys says where new keys are.
func (j *jsonOutput) keys(names []string, delivery keyDelivery) {
	for _, name := range names {
		_, file := delivery.reveal(name)
		j.done.NewKeys = append(j.done.NewKeys, jsonKeys{name, file})
	}
}
