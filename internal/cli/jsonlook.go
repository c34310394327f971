package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

// plannedOf brings a plan, and what was seen beside it, into its form.
func (j *jsonOutput) plannedOf(planned *engine.Planned, diff bool) *jsonPlanned {
	texts := planned.Texts
	if !diff {
		texts = nil
	}
	shape := &jsonPlanned{
		TookSeconds: seconds(planned.Took), Document: plan.NewDocument(planned.Plan, texts),
		NewKeys: append([]string{}, planned.Keys...), Notices: []jsonNotice{},
	}
	notice := func(code, host, format string, args ...any) *jsonNotice {
		shape.Notices = append(shape.Notices, jsonNotice{Code: code, Host: printable(host), Message: printable(fmt.Sprintf(format, args...))})
		return &shape.Notices[len(shape.Notices)-1]
	}
	for _, lock := range planned.Locks {
		notice("at_work", lock.Host, "%s is at work there (%s, since %s)", lock.Holder, lock.Command, lock.Since.UTC().Format(time.RFC3339))
	}
	for _, cut := range planned.CutOff {
		told := notice("cut_off", cut.Host, "what %s began there (%s, %s) was cut off; apply goes on from where it ended",
			cut.Holder, cut.Command, cut.Since.UTC().Format(time.RFC3339))
		told.Resource = resourceOf(cut.At)
	}
	for _, clock := range planned.Clocks {
		told := notice("clock_off", clock.Host, "%s", clock.Summary())
		told.AheadSeconds = seconds(clock.Off)
	}
	for _, failure := range planned.Stays {
		notice("left_behind", failure.Host, "left the stack and can't be cleaned up: %s", failure.Summary)
	}
	for _, name := range planned.GivenUp {
		notice("given_up", name, "left the stack and is given up: what stands on it stays there")
	}
	for _, name := range planned.Unknown {
		notice("unknown_host", name, "--forget %s: no host of this name left the stack", name)
	}
	return shape
}

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
