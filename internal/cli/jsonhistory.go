package cli

import (
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

// jsonPast is what the hosts remember.
type jsonPast struct {
	Applies   []jsonApply    `json:"applies"` // newest first
	More      bool           `json:"more"`    // there are older ones
	Originals []jsonOriginal `json:"originals"`
}

type jsonApply struct {
	Number   int            `json:"number"`
	Command  string         `json:"command"`
	Operator string         `json:"operator"`
	Version  string         `json:"version"` // of the relayctl that did it
	Began    time.Time      `json:"began"`
	Ended    time.Time      `json:"ended,omitzero"`
	State    string         `json:"state"`
	Hosts    []jsonPastHost `json:"hosts"`
}

type jsonPastHost struct {
	Name    string           `json:"name"`
	Number  int              `json:"number"`
	State   string           `json:"state"`
	Told    bool             `json:"told"` // by the host itself
	Steps   int              `json:"steps"`
	Summary string           `json:"summary"`
	Reason  string           `json:"reason,omitempty" text:"lines"`
	At      *plan.StepTaken  `json:"at,omitempty"`    // the step that it was cut off in
	Taken   []plan.StepTaken `json:"taken,omitempty"` // with --apply, where they are kept
}

type jsonOriginal struct {
	plan.ID
	Host    string    `json:"host"`
	Apply   int       `json:"apply"`
	Time    time.Time `json:"time"`
	Kept    string    `json:"kept,omitempty"`
	Enabled bool      `json:"was_enabled,omitempty"`
	Running bool      `json:"was_running,omitempty"`
	Command string    `json:"command"` // brings it back
}

// history takes what the hosts remember.
func (j *jsonOutput) history(h *engine.History) {
	past := jsonPast{More: h.More}
	for _, a := range h.Applies {
		apply := jsonApply{Number: a.Number, Command: a.Command, Operator: a.Operator, Version: a.Version, Began: a.Began, Ended: a.Ended, State: stateOf(a.State)}
		for _, host := range a.Hosts {
			apply.Hosts = append(apply.Hosts, jsonPastHost{
				Name: host.Host, Number: host.Number, State: stateOf(host.State), Told: host.Told, Steps: host.Steps,
				Summary: host.Summary, Reason: host.Why, At: host.At, Taken: host.Taken,
			})
		}
		past.Applies = append(past.Applies, apply)
	}
	for _, o := range h.Originals {
		past.Originals = append(past.Originals, jsonOriginal{
			ID: o.ID, Host: o.Host, Apply: o.Number, Time: o.Time, Kept: o.Kept, Command: bringBack(o.Original),
			Enabled: o.Before[plan.AttrEnabled] == plan.Yes, Running: o.Before[plan.AttrRunning] == plan.Yes,
		})
	}
	j.tell(h.Stack, past)
}

// stateOf is a state as one word.
func stateOf(state plan.PastState) string { return strings.ReplaceAll(string(state), " ", "_") }
