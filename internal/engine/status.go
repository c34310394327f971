package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/openai"
	"github.com/relayctl/relayctl/internal/plan"
)

// Status is how a stack is.
type Status struct {
	Stack    string
	URL      string
	Problems []Problem // the worst first; empty: all well
	Hosts    []HostStatus
	Models   []ModelStatus // by name
	// NotCompared are secrets whose content the stack was loaded without.
	NotCompared []NotCompared

	Route   Route    // on which the relay answers; empty: on none, or nobody looked
	Detours []string // why the routes before it do not work

	Applied  time.Time // last apply on the proxy host; zero: never
	Operator string    // who applied then: user@machine
}

// Problem is something that needs attention, with what to do about it.
type Problem struct {
	Kind    ProblemKind
	Cause   error  // of HostTrouble, where it is known: one of this package's errors says more
	Host    string // empty: the stack as a whole
	Model   string // that it is about; empty: none
	Summary string // one line, without the host's name
	Log     []string
	// Command is the next thing to type, such as "relayctl apply"; Why is what
	// it does. Both may be empty.
	Command string
	Why     string
}

// ProblemKind says what a problem is, for programs.
type ProblemKind string

// The kinds of problems.
const (
	HostTrouble   ProblemKind = "host_failed"         // a host can't be reached, or not worked on
	ClockTrouble  ProblemKind = "clock_off"           // a clock is off
	NeverApplied  ProblemKind = "never_applied"       // nothing was applied yet
	RelaySilent   ProblemKind = "relay_silent"        // the relay could not be asked how it is
	NoWay         ProblemKind = "relay_unreached"     // no route leads to the relay
	ModelSilent   ProblemKind = "no_token"            // a model gives no token
	EngineTrouble ProblemKind = "engine_failed"       // one of a model's engines fails, while others answer
	FewWorkers    ProblemKind = "workers_missing"     // a model has fewer workers than it should
	UnitDown      ProblemKind = "unit_down"           // a unit does not run
	OtherVersion  ProblemKind = "other_version"       // a program has another version than it should
	HalfRotated   ProblemKind = "rotation_unfinished" // the rotation of a worker's secret is not finished
	DriftFromFile ProblemKind = "drift"               // something is not as the stack file says
)

// HostStatus is how one host is.
type HostStatus struct {
	Name   string       `json:"name"`
	Worker string       `json:"worker,omitempty"` // that is on it, on the proxy's machine too; empty: none is
	Role   string       `json:"role"`
	Up     bool         `json:"up"`    // reachable
	Drift  int          `json:"drift"` // how many things an apply would change
	Units  []UnitStatus `json:"units"` // that relayctl manages there
}

// UnitStatus is how one unit is.
type UnitStatus struct {
	Name    string `json:"name"` // without .service
	Active  bool   `json:"running"`
	Version string `json:"version,omitempty"`        // that is installed; empty where it is not known
	Wanted  string `json:"wanted_version,omitempty"` // another version that it should have; empty: it has it
	Detail  string `json:"detail,omitempty"`         // one line of systemd's or of the service itself
}

// ModelStatus is how one model is.
type ModelStatus struct {
	Model            string
	Workers          int // connected that serve it
	Expected         int // that should
	Running, Waiting int // requests
	// Known says that the relay could be asked: else the figures above, but
	// for Expected, mean nothing.
	Known bool
	Proof ModelProof
}

// Status looks at everything and asks every model for a token. It changes
// nothing.
func (s *Session) Status(ctx context.Context) (*Status, error) {
	planned, err := s.Plan(ctx)
	if err != nil {
		return nil, err
	}
	status := &Status{Stack: s.config.Stack.Name, URL: s.config.Stack.Proxy.URL()}
	for _, failure := range planned.Failed {
		status.Problems = append(status.Problems, problemOf(failure))
	}
	for _, clock := range planned.Clocks {
		status.Problems = append(status.Problems, Problem{Kind: ClockTrouble, Host: clock.Host, Summary: clock.Summary(), Why: clock.Hint()})
	}
	for _, target := range s.targets {
		status.Hosts = append(status.Hosts, s.hostStatus(target, planned))
	}
	proxy := planned.observed.seen[s.config.Stack.Proxy.Name]
	if manifest := proxy.Facts.Manifest; manifest != nil {
		status.Applied, status.Operator = manifest.Time, manifest.Operator
		status.blockProblems(planned)
		status.unitProblems()
		if err := s.modelStatus(ctx, status, planned); err != nil {
			return nil, err
		}
	} else if s.proxy() != nil && planned.observed.failed[s.config.Stack.Proxy.Name] == nil {
		status.Problems = append(status.Problems, Problem{
			Kind: NeverApplied, Summary: "nothing was applied yet", Command: "relayctl apply", Why: "sets the stack up",
		})
	}
	if !status.Applied.IsZero() {
		status.rotationProblems(planned)
		status.driftProblems()
		status.NotCompared = s.notCompared(planned)
	}
	return status, nil
}

func problemOf(failure *HostError) Problem {
	return Problem{Kind: HostTrouble, Cause: failure.Cause, Host: failure.Host, Summary: failure.Summary, Log: failure.Log, Why: failure.Hint}
}

// hostStatus tells how one host is, from what planning saw.
func (s *Session) hostStatus(target Target, planned *Planned) HostStatus {
	host := HostStatus{Name: target.Name, Role: string(target.Role), Worker: target.Worker}
	if target.Role == plan.RoleWorker {
		host.Worker = target.Name
	}
	seen, up := planned.observed.seen[target.Name]
	if !up {
		return host
	}
	host.Up = true
	host.Drift = planned.proposal.plan(target.Name).Counts().Total()
	for _, resource := range planned.proposal.desired[target.Name].Want {
		if resource.Kind.Describe().Runs && resource.Want[plan.AttrRunning] == plan.Known(plan.Yes) {
			host.Units = append(host.Units, unitStatus(resource, seen.Facts, planned.proposal.desired[target.Name].Want))
		}
	}
	return host
}

// unitStatus tells how a unit is that should run.
func unitStatus(unit plan.Resource, facts plan.Facts, want []plan.Resource) UnitStatus {
	fact := facts.Find(unit.ID)
	status := UnitStatus{
		Name:   strings.TrimSuffix(unit.Name, ".service"),
		Active: fact.Have[plan.AttrRunning] == plan.Yes,
		Detail: fact.Detail,
	}
	if unit.Unit == nil || unit.Unit.Program == nil {
		status.Version = facts.Find(plan.ID{Kind: plan.KindPackage, Name: status.Name}).Detail
		return status
	}
	status.Version = facts.Find(*unit.Unit.Program).Have[plan.AttrVersion]
	at := slices.IndexFunc(want, func(r plan.Resource) bool { return r.ID == *unit.Unit.Program })
	if at >= 0 && want[at].Want[plan.AttrVersion].Text != status.Version {
		status.Wanted = want[at].Want[plan.AttrVersion].Text
	}
	return status
}

// modelStatus asks the relay about every model, and every model for a token.
func (s *Session) modelStatus(ctx context.Context, status *Status, planned *Planned) error {
	if s.proxy() == nil {
		return nil
	}
	facts := planned.observed.seen[s.config.Stack.Proxy.Name].Facts
	proof := s.prove(ctx, s.config.Stack.Proxy.Domain, facts, s.config.Stack.ModelNames(), statusPatience)
	if ctx.Err() != nil {
		return fmt.Errorf("ask models for a token: %w", context.Cause(ctx))
	}
	status.Route, status.Detours = proof.Route, proof.Detours
	relay, asked := s.proxy().relayStatus(ctx) // now that the proof has had every engine's failure told
	down := status.standsStill("relay-server") // then that is told, and what follows from it is no news
	if asked != nil && !down {
		status.Problems = append(status.Problems, Problem{
			Kind: RelaySilent, Host: s.config.Stack.Proxy.Name, Summary: asked.Error(),
			Log: s.unitLog(ctx, s.config.Stack.Proxy.Name, "relay-server.service"), Command: "relayctl apply", Why: "starts it",
		})
	}
	if proof.Err != nil && !down {
		status.Problems = append(status.Problems, Problem{Kind: NoWay, Summary: proof.Err.Summary, Log: proof.Err.Log, Why: proof.Err.Hint})
	}
	now := time.Now().Add(s.proxy().clockOff)
	for _, answered := range proof.Models {
		said := relay.model(answered.Model)
		model := ModelStatus{
			Model: answered.Model, Workers: said.Workers, Running: said.Running, Waiting: said.Waiting,
			Expected: s.expected(answered.Model), Known: asked == nil, Proof: answered,
		}
		status.Models = append(status.Models, model)
		if proof.Err == nil {
			status.modelProblems(model, s.engines(relay, model.Model), now)
		}
	}
	return nil
}

// expected is how many workers the stack file has for a model.
func (s *Session) expected(model string) int {
	n := 0
	for _, worker := range s.config.Stack.Workers {
		if modelOf(worker, model) != nil {
			n++
		}
	}
	return n
}

// lately is for how long the failure of an engine is told while others of its
// model answer: without requests nobody knows whether it still fails.
const lately = 10 * time.Minute

// modelProblems tells what is wrong with a model, whose engines failed last as
// the relay has it; now is by the relay's clock.
func (s *Status) modelProblems(model ModelStatus, engines []told, now time.Time) {
	failure := model.Proof.Err
	for _, engine := range engines {
		if failure == nil && now.Sub(engine.At) < lately {
			s.Problems = append(s.Problems, Problem{
				Kind: EngineTrouble, Host: engine.host, Model: model.Model,
				Summary: fmt.Sprintf("%s fails there: %s", model.Model, openai.FirstLine(engine.Text)), Why: engine.hint(),
			})
		}
	}
	switch {
	case failure != nil:
		s.Problems = append(s.Problems, silence(failure))
	case model.Known && model.Workers < model.Expected:
		s.Problems = append(s.Problems, Problem{
			Kind: FewWorkers, Model: model.Model,
			Summary: fmt.Sprintf("%s is served by %d of %d workers", model.Model, model.Workers, model.Expected),
			Command: "relayctl apply", Why: "starts workers that stand still",
		})
	}
}

// silence tells of a model that gives no token.
func silence(failure *NoToken) Problem {
	p := Problem{Kind: ModelSilent, Model: failure.Model, Log: failure.Log, Why: failure.Hint}
	switch {
	case errors.Is(failure, errHangs):
		p.Summary = fmt.Sprintf("%s hangs: %s", failure.Model, failure.Summary)
	case errors.Is(failure, errNoTokenWithin):
		p.Summary = fmt.Sprintf("%s gave %s: it may be loading, or hang", failure.Model, failure.Summary)
		p.Command, p.Why = "relayctl status", "looks again; the relay goes on asking"
	default:
		p.Summary = fmt.Sprintf("%s does not answer: %s", failure.Model, failure.Summary)
	}
	return p
}

// standsStill reports whether a unit that should run does not.
func (s *Status) standsStill(name string) bool {
	return slices.ContainsFunc(s.Hosts, func(h HostStatus) bool {
		return slices.ContainsFunc(h.Units, func(u UnitStatus) bool { return u.Name == name && !u.Active })
	})
}

// blockProblems tells what is in the way: what else is wrong may follow from it.
func (s *Status) blockProblems(planned *Planned) {
	for _, host := range planned.Hosts {
		for _, change := range host.Blocked() {
			s.Problems = append(s.Problems, Problem{
				Kind: DriftFromFile, Host: host.Name, Summary: change.ID.String() + ": " + change.Block,
				Command: "relayctl plan", Why: "shows what is in the way",
			})
		}
	}
}

func (s *Status) unitProblems() {
	for _, host := range s.Hosts {
		for _, unit := range host.Units {
			switch {
			case !unit.Active:
				summary := unit.Name + " does not run"
				if unit.Detail != "" {
					summary += ": " + unit.Detail
				}
				s.Problems = append(s.Problems, Problem{Kind: UnitDown, Host: host.Name, Summary: summary, Command: "relayctl apply", Why: "starts it"})
			case unit.Wanted != "":
				s.Problems = append(s.Problems, Problem{
					Kind: OtherVersion, Host: host.Name, Summary: fmt.Sprintf("%s is %s, not %s", unit.Name, unit.Version, unit.Wanted),
					Command: "relayctl apply", Why: "brings the version that this relayctl carries",
				})
			}
		}
	}
}

func (s *Status) driftProblems() {
	for _, host := range s.Hosts {
		told := 0 // units that do not run, each a thing that apply would change
		for _, unit := range host.Units {
			if !unit.Active {
				told++
			}
		}
		if drift := host.Drift - told; drift > 0 {
			s.Problems = append(s.Problems, Problem{
				Kind: DriftFromFile, Host: host.Name, Summary: notAsItSays(drift, told > 0),
				Command: "relayctl plan", Why: "shows the difference",
			})
		}
	}
}

// notAsItSays says how many things an apply would change, more than what was
// told already.
func notAsItSays(n int, more bool) string {
	which, verb := "thing", "is"
	if n != 1 {
		which, verb = "things", "are"
	}
	if more {
		which = "more " + which
	}
	return fmt.Sprintf("%d %s %s not as the stack file says", n, which, verb)
}
