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
