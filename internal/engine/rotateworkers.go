package engine

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/relayctl/relayctl/internal/desired"
	"github.com/relayctl/relayctl/internal/plan"
)

// workerRotation is a rotation of workers' secrets while it runs. Which stage a
// worker is in follows from the facts each time, so that one which was cut off
// anywhere is gone on with.
type workerRotation struct {
	*apply
	did    *Rotated
	before relayStatus // when it began
	known  bool        // the relay could be asked then
}

// run brings all workers through the stages together: the relay is reloaded
// twice, however many they are.
func (r *workerRotation) run(ctx context.Context, planned *Rotation, show func(*Outcome) error) error {
	var names []string
	for _, worker := range planned.Workers {
		names = append(names, worker.Name)
	}
	r.take(names, r.quiet())
	r.summary = "worker secrets rotated: " + strings.Join(names, ", ")
	if err := r.lockAll(ctx); err != nil {
		return err
	}
	defer r.unlockAll()
	before, err := r.proxy().relayStatus(ctx)
	r.before, r.known = before, err == nil
	for _, stage := range []func(context.Context) error{r.begin, r.introduce, r.change, r.await, r.end, r.revoke} {
		if err := stage(ctx); err != nil {
			r.works[0].stop(r.works[0].host.fail("work out what is left to do: "+err.Error(), err))
		}
		if r.works[0].failure != nil || len(r.going()) == 0 {
			break
		}
	}
	r.count(ctx)
	for _, work := range r.works[1:] {
		r.finish(ctx, work, nil)
	}
	return r.finishProxy(ctx, show)
}

// going are the workers that nothing went wrong with.
func (r *workerRotation) going() []*work {
	return slices.DeleteFunc(slices.Clone(r.works[1:]), func(w *work) bool { return w.failure != nil })
}

// state tells how far a worker's rotation is, by the last look.
func (r *workerRotation) state(work *work) desired.Rotating {
	return desired.RotationOf(r.planned.sight.input(r.proposer()), work.outcome.Name)
}

// at puts the workers that have a next secret, or that choose picks, at a
// stage.
func (r *workerRotation) at(stage desired.Rotation, choose func(desired.Rotating) bool) map[string]desired.Rotation {
	stages := map[string]desired.Rotation{}
	for _, work := range r.going() {
		if choose(r.state(work)) {
			stages[work.outcome.Name] = stage
		}
	}
	return stages
}

func isMoving(state desired.Rotating) bool { return state.Next != "" }

func isFresh(state desired.Rotating) bool { return !state.Unfinished() }

// onWorkers does a stage's steps on the workers that are at it, side by side.
func (r *workerRotation) onWorkers(ctx context.Context, stages map[string]desired.Rotation) error {
	from, err := r.look(ctx, stages)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	for _, work := range r.going() {
		name := work.outcome.Name
		if _, ok := stages[name]; ok {
			running.Go(func() {
				r.bringOnly(ctx, work, from, func(c plan.Change) bool { return desired.Rotates(name, c) })
			})
		}
	}
	running.Wait()
	return nil
}

// onProxy has the relay take the hashes that the workers have now.
func (r *workerRotation) onProxy(ctx context.Context, choose func(desired.Rotating) bool) error {
	from, err := r.look(ctx, nil)
	if err != nil {
		return err
	}
	stages := r.at(desired.RotateKeep, choose)
	r.bringOnly(ctx, r.works[0], from, func(c plan.Change) bool {
		for name := range stages {
			if desired.Rotates(name, c) {
				return true
			}
		}
		return false
	})
	return nil
}

// begin has workers make their next secret.
func (r *workerRotation) begin(ctx context.Context) error {
	if _, err := r.look(ctx, nil); err != nil {
		return err
	}
	return r.onWorkers(ctx, r.at(desired.RotateBegin, isFresh))
}

// introduce has the relay take the next secrets beside the present ones.
func (r *workerRotation) introduce(ctx context.Context) error {
	err := r.onProxy(ctx, isMoving)
	for _, work := range r.going() {
		if err == nil && r.works[0].failure == nil && isMoving(r.state(work)) {
			r.teller.tell(Event{Host: work.outcome.Name, Phase: Reached, Text: "new secret made, known to the relay beside the old one"})
		}
	}
	return err
}

// change has workers use the next secret.
func (r *workerRotation) change(ctx context.Context) error {
	return r.onWorkers(ctx, r.at(desired.RotateSwitch, isMoving))
}

// await holds that the relay sees every worker with its new secret and nobody
// with the old one, and that a token comes.
func (r *workerRotation) await(ctx context.Context) error {
	var waiting sync.WaitGroup
	for _, work := range r.going() {
		state := r.state(work)
		hash := state.Next
		if hash == "" {
			hash = state.Present
		}
		waiting.Go(func() { work.stop(r.awaitWorker(ctx, work, hash)) })
	}
	waiting.Wait()
	if len(r.going()) == 0 {
		return nil
	}
	r.prove(ctx)
	r.outcome.Proof.Models = slices.DeleteFunc(r.outcome.Proof.Models, func(m ModelProof) bool { return !r.serves(m.Model) })
	for _, work := range r.going() {
		if failure := r.unproven(ctx, work); failure != nil {
			work.stop(failure)
		}
	}
	return nil
}

// serves reports whether a model is one of the workers that are rotated.
func (r *workerRotation) serves(model string) bool {
	return slices.ContainsFunc(r.going(), func(w *work) bool { return r.hasModel(w, model) })
}

func (r *workerRotation) hasModel(w *work, model string) bool {
	worker, ok := r.config.Stack.Worker(w.outcome.Name)
	return ok && modelOf(worker, model) != nil
}

// unproven says why a worker's new secret is not proved; nil: it is.
func (r *workerRotation) unproven(ctx context.Context, work *work) *HostError {
	if ctx.Err() != nil {
		return work.host.interrupted(ctx)
	}
	for _, model := range r.outcome.Proof.Models {
		if model.Err != nil && r.hasModel(work, model.Model) {
			return work.host.fail("its old secret was not revoked: "+model.Err.Error(), model.Err)
		}
	}
	return nil
}

// end puts the next secrets in the place of the present ones.
func (r *workerRotation) end(ctx context.Context) error {
	return r.onWorkers(ctx, r.at(desired.RotateEnd, isMoving))
}

// revoke has the relay take the new secrets only.
func (r *workerRotation) revoke(ctx context.Context) error {
	err := r.onProxy(ctx, func(desired.Rotating) bool { return true })
	if err != nil || r.works[0].failure != nil {
		return err
	}
	for _, work := range r.going() {
		r.did.Workers = append(r.did.Workers, work.outcome.Name)
	}
	r.teller.tell(Event{Host: "relay", Phase: Reached, Text: "old secrets revoked; nobody used them any more"})
	return nil
}

// count works out how many requests ended meanwhile. Both figures are those of
// one run of the relay, or they are not told.
func (r *workerRotation) count(ctx context.Context) {
	after, err := r.proxy().relayStatus(ctx)
	if !r.known || err != nil || !after.Started.Equal(r.before.Started) || after.Started.IsZero() {
		return
	}
	r.did.Counted = true
	r.did.Requests, r.did.Broken = int(after.Ended-r.before.Ended), int(after.Failed-r.before.Failed)
}

const (
	// reconnectTime is how long a worker may take to open a connection with
	// its new secret: some tries of a worker that backs off.
	reconnectTime = 60 * time.Second
	lookEvery     = 100 * time.Millisecond
)

// awaitWorker waits until the relay sees a worker with the secret of this hash
// and with no other one. Answers that run on the older connection may take
// their time: nothing is cut.
func (r *workerRotation) awaitWorker(ctx context.Context, work *work, hash string) *HostError {
	began, told := time.Now(), time.Now()
	last := began.Add(r.config.Stack.Proxy.Relay.RequestTimeout + reconnectTime)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		status, err := r.proxy().relayStatus(ctx)
		renewed, older := status.secretsOf(work.outcome.Name, hash)
		switch waited := time.Since(began); {
		case err == nil && renewed && !older:
			r.teller.tell(Event{Host: work.outcome.Name, Phase: Reached, Text: "reconnected with the new one", Took: waited})
			return nil
		case err != nil && waited > reconnectTime:
			return work.host.requestError(ctx, "wait for its new connection", err)
		case err == nil && !renewed && waited > reconnectTime:
			failure := work.host.fail("its worker did not come to the relay with its new secret within "+plan.Seconds(reconnectTime), nil)
			failure.Log = r.journal(ctx, work.at, "relay-worker.service")
			return failure
		case time.Now().After(last):
			return work.host.fail("its worker still uses the old secret", nil)
		}
		if time.Since(told) >= tellEvery {
			told = time.Now()
			r.teller.tell(Event{Host: work.outcome.Name, Phase: Waiting, Text: waitsFor(renewed)})
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return work.host.interrupted(ctx)
		}
	}
}

func waitsFor(renewed bool) string {
	if renewed {
		return "answers that run on its older connection"
	}
	return "its connection with the new secret"
}

// describeRotations adds to a plan what is unfinished, with the command that
// finishes it.
func (m *proposal) describeRotations(in desired.Input) {
	for i := range m.Hosts {
		h := &m.Hosts[i]
		if h.Worker == "" || desired.RotationOf(in, h.Worker).Next == "" {
			continue
		}
		h.Changes = append(h.Changes, plan.Change{
			ID: plan.ID{Kind: plan.KindSecret, Name: plan.SecretWorker}, Action: plan.Attention,
			Reasons: []string{"its rotation is not finished, so the old one is still good"},
			Notes:   []string{"to finish it: " + finishing(h.Worker)},
		})
	}
}

func finishing(worker string) string { return "relayctl rotate-secret --worker " + worker }

// rotationProblems tells what is unfinished.
func (s *Status) rotationProblems(planned *Planned) {
	for _, h := range planned.Hosts {
		for _, change := range h.Changes {
			if change.Action == plan.Attention && change.ID == (plan.ID{Kind: plan.KindSecret, Name: plan.SecretWorker}) {
				s.Problems = append(s.Problems, Problem{
					Kind: HalfRotated, Host: h.Worker, Summary: "the rotation of its secret is not finished, so the old one is still good",
					Command: finishing(h.Worker), Why: "finishes it",
				})
			}
		}
	}
}
