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
		status.Problems = append(status.Problems, Problem{
			Kind: HostTrouble, Cause: failure.Cause, Host: failure.Host, Summary: failure.Summary, Log: failure.Log, Why: failure.Hint,
		})
	}
	for _, clock := range planned.Clocks {
		status.tell(ClockTrouble, clock.Host, clock.Summary(), "", clock.Hint())
	}
	for _, target := range s.targets {
		status.Hosts = append(status.Hosts, s.hostStatus(target, planned))
	}
	proxy, isSeen := planned.observed.seen[s.config.Stack.Proxy.Name]
	if manifest := proxy.Facts.Manifest; manifest != nil {
		status.Applied, status.Operator = manifest.Time, manifest.Operator
		status.blockProblems(planned)
		status.unitProblems()
		if err := s.modelStatus(ctx, status, proxy.Facts); err != nil {
			return nil, err
		}
	} else if isSeen {
		status.tell(NeverApplied, "", "nothing was applied yet", "relayctl apply", "sets the stack up")
	}
	if !status.Applied.IsZero() {
		status.rotationProblems(planned)
		status.driftProblems()
		status.NotCompared = s.notCompared(planned)
	}
	return status, nil
}

// tell adds a problem.
func (s *Status) tell(kind ProblemKind, host, summary, command, why string) {
	s.Problems = append(s.Problems, Problem{Kind: kind, Host: host, Summary: summary, Command: command, Why: why})
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
func (s *Session) modelStatus(ctx context.Context, status *Status, facts plan.Facts) error {
	proof := s.prove(ctx, s.config.Stack.Proxy.Domain, facts, s.config.Stack.ModelNames(), statusPatience)
	if ctx.Err() != nil {
		return fmt.Errorf("ask models for a token: %w", context.Cause(ctx))
	}
	status.Route, status.Detours = proof.Route, proof.Detours
	proxy := s.proxy()
	relay, unasked := proxy.relayStatus(ctx) // now that the proof has had every engine's failure told
	if !status.standsStill("relay-server") { // else that is told, and what follows from it is no news
		if unasked != nil {
			status.Problems = append(status.Problems, Problem{
				Kind: RelaySilent, Host: proxy.Name, Summary: unasked.Error(),
				Log: s.unitLog(ctx, proxy.Name, "relay-server.service"), Command: "relayctl apply", Why: "starts it",
			})
		}
		if failure := proof.Err; failure != nil {
			status.Problems = append(status.Problems, Problem{Kind: NoWay, Summary: failure.Summary, Log: failure.Log, Why: failure.Hint})
		}
	}
	now := time.Now().Add(proxy.clockOff)
	for _, answered := range proof.Models {
		said, engines := relay.model(answered.Model), s.enginesOf(answered.Model, relay)
		model := ModelStatus{
			Model: answered.Model, Workers: said.Workers, Running: said.Running, Waiting: said.Waiting,
			Expected: len(engines), Known: unasked == nil, Proof: answered,
		}
		status.Models = append(status.Models, model)
		if proof.Err == nil {
			status.modelProblems(model, engines, now)
		}
	}
	return nil
}

// lately is for how long the failure of an engine is told while others of its
// model answer: without requests nobody knows whether it still fails.
const lately = 10 * time.Minute

// modelProblems tells what is wrong with a model and its engines; now is by the
// relay's clock.
func (s *Status) modelProblems(model ModelStatus, engines []modelEngine, now time.Time) {
	if model.Proof.Err != nil {
		s.Problems = append(s.Problems, silence(model.Proof.Err))
		return
	}
	for _, engine := range engines {
		if engine.hasFailed() && now.Sub(engine.failed.At) < lately {
			s.Problems = append(s.Problems, Problem{
				Kind: EngineTrouble, Host: engine.host, Model: model.Model,
				Summary: fmt.Sprintf("%s fails there: %s", model.Model, openai.FirstLine(engine.failed.Text)), Why: engine.hint(),
			})
		}
	}
	if model.Known && model.Workers < model.Expected {
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
			s.tell(DriftFromFile, host.Name, change.ID.String()+": "+change.Block, "relayctl plan", "shows what is in the way")
		}
	}
}

func (s *Status) unitProblems() {
	for _, host := range s.Hosts {
		for _, unit := range host.Units {
			switch {
			case !unit.Active && unit.Detail != "":
				s.tell(UnitDown, host.Name, unit.Name+" does not run: "+unit.Detail, "relayctl apply", "starts it")
			case !unit.Active:
				s.tell(UnitDown, host.Name, unit.Name+" does not run", "relayctl apply", "starts it")
			case unit.Wanted != "":
				s.tell(OtherVersion, host.Name, fmt.Sprintf("%s is %s, not %s", unit.Name, unit.Version, unit.Wanted),
					"relayctl apply", "brings the version that this relayctl carries")
			}
		}
	}
}

// driftProblems tells how much else an apply would change: a unit that does not
// run is told already.
func (s *Status) driftProblems() {
	for _, host := range s.Hosts {
		drift, more, things := host.Drift, "", "things are"
		for _, unit := range host.Units {
			if !unit.Active {
				drift, more = drift-1, "more "
			}
		}
		if drift == 1 {
			things = "thing is"
		}
		if drift > 0 {
			s.tell(DriftFromFile, host.Name, fmt.Sprintf("%d %s%s not as the stack file says", drift, more, things), "relayctl plan", "shows the difference")
		}
	}
}
