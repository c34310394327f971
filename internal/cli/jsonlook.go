package cli

import (
	"strings"

	"github.com/relayctl/relayctl/internal/engine"
)

// status takes how a stack is.
func (j *jsonOutput) status(s *engine.Status, o stackOptions) {
	j.stack = s.Stack
	j.seen = &jsonSeen{URL: s.URL, Route: s.Route, Detours: printables(s.Detours), Problems: []jsonProblem{}, Hosts: []jsonHostStatus{}, Models: []jsonModelStatus{}, NotCompared: []jsonNotCompared{}}
	for _, n := range s.NotCompared {
		j.seen.NotCompared = append(j.seen.NotCompared, jsonNotCompared{n.Host, n.Block, n.Argument})
	}
	if !s.Applied.IsZero() {
		j.seen.Applied = &jsonApplied{utc(s.Applied), printable(s.Operator)}
	}
	for _, p := range s.Problems {
		problem := jsonProblem{
			Code: codeOf(p.Cause, string(p.Kind)), Host: printable(p.Host), Model: p.Model,
			Message: printable(p.Summary), Log: printables(p.Log), Hint: printable(p.Why),
		}
		if words := strings.Fields(strings.TrimPrefix(p.Command, "relayctl ")); len(words) > 0 {
			problem.Command = printable(o.again(words[0], words[1:]...))
		}
		j.seen.Problems = append(j.seen.Problems, problem)
	}
	for _, h := range s.Hosts {
		host := jsonHostStatus{Name: h.Name, Worker: h.Worker, Role: h.Role, Up: h.Up, Drift: h.Drift, Units: []jsonUnit{}}
		for _, u := range h.Units {
			host.Units = append(host.Units, jsonUnit{
				Name: printable(u.Name), Running: u.Active, Version: printable(u.Version), WantedVersion: printable(u.Wanted), Detail: printable(u.Detail),
			})
		}
		j.seen.Hosts = append(j.seen.Hosts, host)
	}
	for _, m := range s.Models {
		j.seen.Models = append(j.seen.Models, modelStatusOf(m))
	}
}

func modelStatusOf(m engine.ModelStatus) jsonModelStatus {
	shape := jsonModelStatus{jsonModel: modelOf(m.Proof), ExpectedWorkers: m.Expected}
	shape.Name = m.Model
	if m.Known {
		shape.Workers, shape.Running, shape.Waiting = &m.Workers, &m.Running, &m.Waiting
	}
	return shape
}

func modelOf(m engine.ModelProof) jsonModel {
	shape := jsonModel{Name: m.Model, OK: m.Err == nil, Detours: printables(m.Detours)}
	if m.Err != nil {
		shape.Error = printable(m.Err.Summary)
		return shape
	}
	shape.Route, shape.FirstTokenSeconds = m.Route, seconds(m.FirstToken)
	return shape
}
