package cli

import (
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

// typeHistory ends what relayctl history prints.
const typeHistory = "history"

// jsonHistory is what relayctl history prints.
type jsonHistory struct {
	jsonEnd
	*jsonPast
	Errors []jsonError `json:"errors"`
}

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
	Ended    *time.Time     `json:"ended,omitempty"`
	State    string         `json:"state"`
	Hosts    []jsonPastHost `json:"hosts"`
}

type jsonPastHost struct {
	Name    string     `json:"name"`
	Number  int        `json:"number"`
	State   string     `json:"state"`
	Told    bool       `json:"told"` // by the host itself
	Steps   int        `json:"steps"`
	Summary string     `json:"summary"`
	Reason  string     `json:"reason,omitempty"`
	At      *jsonTaken `json:"at,omitempty"` // the step that it was cut off in
	// Taken are the steps themselves: with --apply, where they are kept.
	Taken []jsonTaken `json:"taken,omitempty"`
}

type jsonTaken struct {
	jsonResource
	Step   int         `json:"step"`
	Action plan.Action `json:"action"`
	Began  time.Time   `json:"began"`
	Ended  *time.Time  `json:"ended,omitempty"`
	Error  string      `json:"error,omitempty"`
}

type jsonOriginal struct {
	jsonResource
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
	j.stack = h.Stack
	j.past = &jsonPast{More: h.More, Applies: []jsonApply{}, Originals: []jsonOriginal{}}
	for _, a := range h.Applies {
		apply := jsonApply{
			Number: a.Number, Command: printable(a.Command), Operator: printable(a.Operator), Version: printable(a.Version),
			Began: utc(a.Began), Ended: known(a.Ended), State: stateOf(a.State), Hosts: []jsonPastHost{},
		}
		for _, host := range a.Hosts {
			apply.Hosts = append(apply.Hosts, pastHostOf(host))
		}
		j.past.Applies = append(j.past.Applies, apply)
	}
	for _, o := range h.Originals {
		j.past.Originals = append(j.past.Originals, jsonOriginal{
			jsonResource: pastResource(o.ID), Host: o.Host, Apply: o.Number, Time: utc(o.Time), Kept: printable(o.Kept),
			Enabled: o.Before[plan.AttrEnabled] == plan.Yes, Running: o.Before[plan.AttrRunning] == plan.Yes, Command: printable(bringBack(o.Original)),
		})
	}
}

func pastHostOf(h engine.PastHost) jsonPastHost {
	shape := jsonPastHost{
		Name: printable(h.Host), Number: h.Number, State: stateOf(h.State), Told: h.Told, Steps: h.Steps, Summary: printable(h.Summary), Reason: printable(h.Why),
	}
	if h.At != nil {
		at := takenOf(*h.At)
		shape.At = &at
	}
	for _, step := range h.Taken {
		shape.Taken = append(shape.Taken, takenOf(step))
	}
	return shape
}

func takenOf(s plan.StepTaken) jsonTaken {
	return jsonTaken{
		jsonResource: pastResource(s.ID), Step: s.Step, Action: plan.Action(printable(string(s.Action))),
		Began: utc(s.Began), Ended: known(s.Ended), Error: printable(s.Error),
	}
}

func pastResource(id plan.ID) jsonResource {
	return jsonResource{plan.Kind(printable(string(id.Kind))), printable(id.Name)}
}

// stateOf is a state as one word.
func stateOf(state plan.PastState) string {
	return strings.ReplaceAll(printable(string(state)), " ", "_")
}

// utc is a time that a host told; zero where JSON has no form for it, since its
// year has not four digits.
func utc(at time.Time) time.Time {
	at = at.UTC()
	if year := at.Year(); year < 0 || year > 9999 {
		return time.Time{}
	}
	return at
}

// known is a time, and null where it is not known.
func known(at time.Time) *time.Time {
	if at = utc(at); at.IsZero() {
		return nil
	}
	return &at
}
