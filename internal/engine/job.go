package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// job is what is done on the hosts of a stack in stages, while it goes on: an
// apply, a rotation, a rollback, a destroy.
type job struct {
	*Session
	planned *Planned
	command string  // what locks and histories call it
	summary string  // what histories take down; empty: how much was changed
	did     string  // what stands on a host that fails; empty: how many of its steps were done
	events  *teller // hears what happens on hosts
	// rotates says that stages have plans of their own: what is left to do need
	// not be a part of what was planned.
	rotates bool

	began   time.Time
	id      string            // tells it from all other jobs
	parts   []*hostApply      // in the order of the plan; the proxy host's is the first
	left    *proposal         // what is to be done, as far as it is known now
	keys    map[string]string // hashes of API keys that were made, by name: only they go on from here
	changed map[string]bool   // hosts on which steps were begun since they were looked at
	outcome *Outcome
	// unproved is why the proof was broken off.
	unproved error
}

// stage is a part of a job. Everything in it but hosts may be left out.
type stage struct {
	hosts []*hostApply // work side by side
	// gate is asked first, and false ends the stages. It is also where a stage
	// holds what the stages before it have led to.
	gate func(context.Context) bool
	// propose works out anew what is left to do, when the hosts that were
	// changed have been looked at again.
	propose func() (*proposal, error)
	only    func(*hostApply, plan.Change) bool // which of the steps belong to the stage
	waits   string                             // what its hosts wait for during the stage before
	last    bool                               // for its hosts: each is finished as soon as it is done
}

func (s *Session) newJob(planned *Planned, command string) *job {
	return &job{
		Session: s, planned: planned, command: command, events: s.teller, began: time.Now(), left: planned.proposal,
		keys: map[string]string{}, changed: map[string]bool{}, outcome: &Outcome{Failed: slices.Clone(planned.Failed)},
	}
}

// mayBegin says why nothing can be done at all.
func (j *job) mayBegin() error {
	switch {
	case j.planned.observed.failed[j.config.Stack.Proxy.Name] != nil:
		return j.planned.Failed // everything else waits for the proxy host
	case len(j.planned.Blocked()) > 0:
		return ErrBlocked
	case len(j.left.keys) > 0 && j.config.Keys == nil:
		return ErrNoDelivery
	}
	return nil
}

// takeAll gives a part to every host that has something to do, and always to
// the proxy host, whose lock is the stack's.
func (j *job) takeAll() {
	for _, h := range j.planned.Hosts {
		seen := j.planned.observed.seen[h.Name]
		leaves := h.Role == plan.RoleDeparted && seen.Facts.Manifest != nil
		if h.Name == j.config.Stack.Proxy.Name || h.Counts().Total() > 0 || leaves || seen.CutOff != nil {
			j.take(j.hosts[h.Name], h.Name, h.Role, h.Counts().Total())
		}
	}
}

// take gives a part to a host. at is the host that it is done on: the proxy
// host, for the worker on its machine.
func (j *job) take(h *host, at string, role plan.Role, steps int) {
	j.parts = append(j.parts, &hostApply{
		host: h, at: at, role: role, events: j.events, did: "nothing was changed there",
		outcome: HostOutcome{Name: h.Name, Steps: steps},
	})
}

// onProxy is the proxy host's part.
func (j *job) onProxy() *hostApply { return j.parts[0] }

// run does a job: under all locks, on hosts as they are by then, stage by
// stage. What was begun is finished, also where it failed.
func (j *job) run(ctx context.Context, stages []stage, show func(*Outcome) error) error {
	if err := j.lockAll(ctx); err != nil {
		return err
	}
	defer j.unlockAll()
	j.lookAgain(ctx)
	if failure := j.onProxy().failure; failure != nil {
		return HostErrors{failure}
	}
	if err := j.makeKeys(); err != nil {
		return err
	}
	j.inStages(ctx, stages)
	sideBySide(j.parts[1:], 0, func(a *hostApply) { j.finish(ctx, a, nil) })
	return j.finishProxy(ctx, show)
}

// runNothing ends a job that has nothing to do on any host.
func (j *job) runNothing(show func(*Outcome) error) error {
	j.outcome.Took = time.Since(j.began)
	return j.result(show(j.outcome))
}

// lookAgain looks again at the hosts, locked by now, to which somebody else
// applied between the plan and the lock. What the other one did is not done
// twice, and a key that the other one made is not made again.
func (j *job) lookAgain(ctx context.Context) {
	for _, a := range j.parts {
		if a.locked && j.planned.observed.isOutdated(a.at, a.last) {
			j.changed[a.at] = true
		}
	}
	if len(j.changed) > 0 {
		j.replan(ctx, func() (*proposal, error) { return j.planned.propose(false) })
		for _, a := range j.parts {
			a.outcome.Steps = j.left.plan(a.at).Counts().Total()
		}
	}
	for _, a := range j.parts {
		a.did = j.did
	}
}

// inStages does stages one after the other. When the proxy host has failed, what
// is left of the others is skipped: they are only finished.
func (j *job) inStages(ctx context.Context, stages []stage) {
	proxy := j.onProxy()
	for i, stage := range stages {
		if proxy.failure == nil && stage.gate != nil && !stage.gate(ctx) {
			return
		}
		if proxy.failure == nil && stage.propose != nil {
			j.replan(ctx, stage.propose)
		}
		if i+1 < len(stages) && stages[i+1].waits != "" {
			for _, a := range stages[i+1].hosts {
				if a.failure == nil {
					a.tell(Event{Phase: Waiting, Text: stages[i+1].waits})
				}
			}
		}
		for _, a := range stage.hosts {
			if a != proxy && proxy.failure != nil && a.failure == nil {
				a.outcome.Skipped = proxy.outcome.Name + " failed"
			}
			j.changed[a.at] = j.changed[a.at] || len(j.steps(a, stage.only)) > 0
		}
		sideBySide(stage.hosts, 0, func(a *hostApply) {
			j.bring(ctx, a, j.steps(a, stage.only))
			if stage.last {
				j.end(ctx, a)
			}
		})
	}
}

// steps are those that are left to do for a part, and belong to a stage.
func (j *job) steps(a *hostApply, only func(*hostApply, plan.Change) bool) []plan.Change {
	var list []plan.Change
	for _, change := range j.left.plan(a.at).Changes {
		if change.Action != plan.Attention && (only == nil || only(a, change)) {
			list = append(list, j.withKey(change))
		}
	}
	return list
}

// bring does steps on a host, unless it has failed already or is skipped.
func (j *job) bring(ctx context.Context, a *hostApply, steps []plan.Change) {
	if a.failure != nil || a.outcome.Skipped != "" {
		return
	}
	a.outcome.Steps = max(a.outcome.Steps, a.outcome.Done+plan.HostPlan{Changes: steps}.Counts().Total())
	if a.putBlobs(ctx, steps, j.blobs(a)) {
		a.do(ctx, steps)
	}
}

// end finishes a host when all its steps are done, and tells so. The proxy
// host's lock is held to the last.
func (j *job) end(ctx context.Context, a *hostApply) {
	if a != j.onProxy() {
		j.finish(ctx, a, nil)
	}
	if a.failure == nil && a.outcome.Skipped == "" && a.outcome.Steps > 0 {
		a.tell(Event{Phase: Finished, Took: time.Since(j.began)})
	}
}

// finish ends a host's part: the host takes it down and is unlocked.
func (j *job) finish(ctx context.Context, a *hostApply, shown []string) {
	if !a.locked {
		return
	}
	ctx = context.WithoutCancel(ctx)
	ending, cancel := context.WithTimeout(ctx, finishTime)
	defer cancel()
	err := a.host.client.Finish(ending, j.report(a, shown))
	if err == nil {
		err = a.unlock(ending)
	}
	if err != nil {
		a.stop(a.host.requestError(ctx, "end the apply", err))
	}
	a.outcome.OK = a.failure == nil && a.outcome.Skipped == ""
}

// finishTime bounds the few exchanges that end an apply, also one that was
// interrupted. That a host has gone silent is found out before.
const finishTime = hostapi.Silence + 15*time.Second

// finishProxy shows the outcome and ends the job where its lock is held to the
// last.
func (j *job) finishProxy(ctx context.Context, show func(*Outcome) error) error {
	j.collect()
	err := show(j.outcome)
	var shown []string
	if err == nil {
		shown = j.outcome.Keys
	}
	before := j.onProxy().failure
	j.finish(ctx, j.onProxy(), shown)
	if failure := j.onProxy().failure; failure != before {
		j.outcome.Failed = append(j.outcome.Failed, failure)
	}
	return j.result(err)
}

// collect fills in the outcome from the parts.
func (j *job) collect() {
	j.outcome.Took = time.Since(j.began)
	j.outcome.Keys = j.storedKeys()
	for _, a := range j.parts {
		a.outcome.OK = a.failure == nil && a.outcome.Skipped == ""
		j.outcome.Hosts = append(j.outcome.Hosts, a.outcome)
		if a.failure != nil {
			j.outcome.Failed = append(j.outcome.Failed, a.failure)
		}
	}
	slices.SortStableFunc(j.outcome.Failed, func(x, y *HostError) int { return j.place(x.Host) - j.place(y.Host) })
}

// result is the job's error: what failed on hosts, then what models said.
func (j *job) result(showing error) error {
	if showing != nil {
		return fmt.Errorf("show the outcome: %w", showing)
	}
	if len(j.outcome.Failed) > 0 {
		return j.outcome.Failed
	}
	return cmp.Or(j.outcome.Proof.failure(), j.unproved)
}
