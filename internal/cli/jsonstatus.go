package cli

import (
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
)

// jsonSeen is how a stack is.
type jsonSeen struct {
	URL      string              `json:"url"`
	Route    engine.Route        `json:"route,omitempty"` // to the relay; missing: it was not reached
	Detours  []string            `json:"detours"`
	Applied  *jsonApplied        `json:"applied"` // null: never
	Problems []jsonProblem       `json:"problems"`
	Hosts    []engine.HostStatus `json:"hosts"`
	Models   []jsonModelStatus   `json:"models"`

	NotCompared []engine.NotCompared `json:"not_compared"`
}

type jsonApplied struct {
	Time     time.Time `json:"time"`
	Operator string    `json:"operator"`
}

// jsonProblem is something that needs attention. Code is what programs go by.
type jsonProblem struct {
	Code    string   `json:"code"`
	Host    string   `json:"host,omitempty"`
	Model   string   `json:"model,omitempty"`
	Message string   `json:"message" text:"lines"`
	Log     []string `json:"log" text:"lines"`
	Command string   `json:"command,omitempty"`
	Hint    string   `json:"hint,omitempty" text:"lines"`
}

// jsonModelStatus is how one model is. The figures that only the relay knows
// are null where it could not be asked.
type jsonModelStatus struct {
	jsonModel
	Workers         *int `json:"workers"`
	ExpectedWorkers int  `json:"expected_workers"`
	Running         *int `json:"running"`
	Waiting         *int `json:"waiting"`
}

// jsonModel is what a model answered when asked for a token.
type jsonModel struct {
	Name              string       `json:"name"`
	OK                bool         `json:"ok"`
	FirstTokenSeconds float64      `json:"first_token_seconds,omitempty"`
	Route             engine.Route `json:"route,omitempty"`
	Detours           []string     `json:"detours"`
	Error             string       `json:"error,omitempty" text:"lines"`
}

// status takes how a stack is.
func (j *jsonOutput) status(s *engine.Status) {
	seen := jsonSeen{URL: s.URL, Route: s.Route, Detours: s.Detours, Hosts: s.Hosts, NotCompared: s.NotCompared}
	if !s.Applied.IsZero() {
		seen.Applied = &jsonApplied{s.Applied, s.Operator}
	}
	for _, p := range s.Problems {
		problem := jsonProblem{Code: codeOf(p.Cause, string(p.Kind)), Host: p.Host, Model: p.Model, Message: p.Summary, Log: p.Log, Hint: p.Why}
		if p.Command != "" {
			problem.Command = j.view.about.again(strings.TrimPrefix(p.Command, "relayctl "))
		}
		seen.Problems = append(seen.Problems, problem)
	}
	for _, m := range s.Models {
		shape := jsonModelStatus{jsonModel: modelOf(m.Proof), ExpectedWorkers: m.Expected}
		shape.Name = m.Model
		if m.Known {
			shape.Workers, shape.Running, shape.Waiting = &m.Workers, &m.Running, &m.Waiting
		}
		seen.Models = append(seen.Models, shape)
	}
	j.tell(s.Stack, seen)
}

func modelOf(m engine.ModelProof) jsonModel {
	shape := jsonModel{Name: m.Model, OK: m.Err == nil, Detours: m.Detours}
	if m.Err != nil {
		shape.Error = m.Err.Summary
		return shape
	}
	shape.Route, shape.FirstTokenSeconds = m.Route, seconds(m.FirstToken)
	return shape
}
