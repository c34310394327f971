package engine

import (
	"context"
	"time"

	"github.com/relayctl/relayctl/internal/desired"
	"github.com/relayctl/relayctl/internal/plan"
)

// Apply does what was planned, in three stages: what others wait for on all
// hosts, then the proxy, then the workers; in the end it asks every model for
// a token, also when there was nothing to do. Hosts that depend on nothing that
// failed are finished. When ctx ends, each host finishes the step it is in.
//
// show is called once, when all is done or given up, while the proxy host is
// still locked: it shows the outcome to the user, with the keys that were
// delivered, and when it returns nil the keys are taken down as shown. It is
// not called when the apply stops before it changed anything. The outcome is
// never nil; the error is HostErrors, a *NoToken, or one of the reasons for
// which nothing was done.
func (s *Session) Apply(ctx context.Context, planned *Planned, show func(*Outcome) error) (*Outcome, error) {
	j := s.newJob(planned, "apply")
	if err := j.mayBegin(); err != nil {
		return j.outcome, err
	}
	if planned.Plan.Empty() && len(planned.CutOff) == 0 && !j.remembersOtherwise() {
		j.prove(ctx)
		return j.outcome, j.runNothing(show)
	}
	j.takeAll()
	return j.outcome, j.run(ctx, j.applyStages(), show)
}

// applyStages are the stages of an apply. What files are rendered from is made
// in the first; when that is known, what is left to do is worked out with it.
func (j *job) applyStages() []stage {
	proxy := j.onProxy().outcome.Name
	isPrepared := func(_ *hostApply, change plan.Change) bool {
		return change.Resource != nil && desired.Prepare(*change.Resource)
	}
	return []stage{
		{hosts: j.parts, only: isPrepared},
		{hosts: j.parts[:1], propose: func() (*proposal, error) { return j.planned.propose(true) }, last: true},
		{hosts: j.parts[1:], waits: proxy + " to serve", last: true},
		{gate: j.prove},
	}
}

// Outcome is how an apply ended.
type Outcome struct {
	Hosts  []HostOutcome // in the order of the plan
	Keys   []string      // keys that were made and delivered, to be shown now
	Proof  Proof
	Took   time.Duration
	Failed HostErrors // all that went wrong on hosts, those that could not be reached included
}

// HostOutcome is how an apply ended on one host.
type HostOutcome struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Done    int    `json:"done"`  // of Steps
	Steps   int    `json:"steps"` // planned, restarts and reloads included
	Created int    `json:"created"`
	Changed int    `json:"changed"`
	Removed int    `json:"removed"`
	Skipped string `json:"skipped,omitempty"` // why its steps were not begun: "edge failed"; empty: they were
}
