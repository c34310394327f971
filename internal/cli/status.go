package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

func (a *app) statusCommand() *cobra.Command {
	var o hostsOptions
	command := &cobra.Command{
		Use:   "status [stack.hcl]",
		Short: "Show how hosts and models are; exit with 1 if anything is wrong",
		Long: `Show how all hosts are, and whether every model gives a token when asked.
What is wrong comes first, and makes the exit code 1. Nothing is changed.`,
		RunE: func(command *cobra.Command, _ []string) error { return a.status(command.Context(), o) },
	}
	takeHosts(command, &o)
	a.takeJSON(command, typeStatus)
	return command
}

func (a *app) status(ctx context.Context, o hostsOptions) error {
	return a.look(ctx, o, noSecrets, func(ctx context.Context, hosts session) error {
		status, err := hosts.Status(ctx)
		if err != nil {
			return err
		}
		a.view.status(status, a.Now())
		if len(status.Problems) > 0 {
			return errTold
		}
		return nil
	})
}

// status prints how a stack is: what is wrong first.
func (v *view) status(s *engine.Status, now time.Time) {
	v.json.status(s)
	well := "all well"
	if n := len(s.Problems); n > 0 {
		well = plural(n, "thing needs attention", "things need attention")
	}
	v.out.printf("%s  %s  %s%s\n", v.out.paint(bold, s.Stack), s.URL, well, v.clean(applied(s, now)))
	for i, p := range s.Problems {
		if i == 0 {
			v.out.printf("\n")
		}
		v.problem(p)
	}
	v.detours(s.Detours)
	v.out.printf("\n")
	var rows [][]string
	for _, h := range s.Hosts {
		rows = append(rows, hostRows(h)...)
	}
	v.table(rows)
	if len(s.Models) == 0 {
		return
	}
	v.out.printf("\n")
	rows = [][]string{{"model", "workers", "running", "waiting", "first token"}}
	for _, m := range s.Models {
		workers, running, waiting, token := "?", "?", "?", "none"
		if m.Known {
			workers = fmt.Sprintf("%d of %d", m.Workers, m.Expected)
			running, waiting = fmt.Sprint(m.Running), fmt.Sprint(m.Waiting)
		}
		if m.Proof.Err == nil {
			token = plan.Seconds(m.Proof.FirstToken)
		}
		rows = append(rows, []string{m.Model, workers, running, waiting, token})
	}
	v.table(rows)
	if len(s.NotCompared) > 0 {
		v.out.printf("\n")
		v.say(0, "Not compared, since no value was given: %s.", strings.Join(names(s.NotCompared, engine.NotCompared.String), ", "))
	}
}

// applied says when somebody applied last, as the proxy host knows it.
func applied(s *engine.Status, now time.Time) string {
	lost := func(h engine.HostStatus) bool { return h.Role == string(plan.RoleProxy) && !h.Up }
	switch {
	case slices.ContainsFunc(s.Hosts, lost):
		return ""
	case s.Applied.IsZero():
		return "  never applied"
	}
	return fmt.Sprintf("  applied %s by %s", ago(now.Sub(s.Applied)), s.Operator)
}

// ago says roughly how long ago something was.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", d/time.Hour)
	}
	return fmt.Sprintf("%d days ago", d/(24*time.Hour))
}

// problem prints what is wrong, and the next thing to type about it.
func (v *view) problem(p engine.Problem) {
	v.out.printf("%s %s", v.out.paint(bold, "!"), v.flow(2, 2, strings.TrimPrefix(p.Host+": "+p.Summary, ": ")))
	v.log(v.out, 6, p.Log)
	switch {
	case p.Command != "":
		command := v.again(strings.TrimPrefix(p.Command, "relayctl "))
		v.out.printf("    %s\n", strings.TrimRight(fmt.Sprintf("%-28s  %s", command, v.clean(p.Why)), " "))
	case p.Why != "":
		v.out.printf("%s", v.paragraphs(4, p.Why))
	}
}

// hostRows is one row, and on a machine in two roles a second one for what the
// worker runs, so that all fits into 80 columns.
func hostRows(h engine.HostStatus) [][]string {
	rows := [][]string{{bothNames(h.Name, h.Role, h.Worker), "up"}}
	if !h.Up {
		rows[0][1] = "can't be reached"
	}
	for _, u := range h.Units {
		if h.Role == string(plan.RoleProxy) && u.Name == "relay-worker" {
			rows = append(rows, []string{"", ""})
		}
		last := len(rows) - 1
		rows[last] = append(rows[last], unitCell(u))
	}
	if h.Drift > 0 {
		rows[0] = append(rows[0], fmt.Sprintf("apply would change %s", plural(h.Drift, "thing", "things")))
	}
	return rows
}

func unitCell(u engine.UnitStatus) string {
	text := strings.TrimSpace(u.Name + " " + u.Version)
	if u.Wanted != "" {
		text += " (should be " + u.Wanted + ")"
	}
	if !u.Active {
		text += " not running"
	}
	return text
}

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
