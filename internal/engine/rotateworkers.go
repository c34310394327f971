package engine

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/desired"
	"github.com/relayctl/relayctl/internal/plan"
)

// workerRotation is a rotation of workers' secrets while it runs. Which stage a
// worker is in follows from the facts each time, so that one which was cut off
// anywhere is gone on with.
type workerRotation struct {
	*job
	rotated *Rotated
	before  relayStatus     // when it began
	known   bool            // the relay could be asked then
	moves   map[string]bool // workers that are in the stage
}

// newWorkerRotation gives a part to each worker. One on the proxy's machine has
// a part of its own, over the proxy's conversation and under the proxy's lock.
func newWorkerRotation(j *job, planned *Rotation, rotated *Rotated) *workerRotation {
	var names []string
	for _, worker := range planned.Workers {
		names = append(names, worker.Name)
		at := j.hostOf(worker.Name)
		block, _ := j.config.Stack.Worker(worker.Name)
		h := *j.hosts[at]
		h.Target = targetOf(&block.Host) // failures are told of the worker's block
		j.take(&h, at, plan.RoleWorker, 0)
	}
	j.summary = "worker secrets rotated: " + strings.Join(names, ", ")
	return &workerRotation{job: j, rotated: rotated}
}

// stages bring all workers through the rotation together: the relay is reloaded
// twice, however many they are.
func (r *workerRotation) stages() []stage {
	proxy, workers := r.parts[:1], r.parts[1:]
	all := func(desired.Rotating) bool { return true }
	return []stage{
		// Workers make their next secret, and the relay takes it beside the present one.
		r.stage(workers, desired.RotateBegin, isFresh, r.count),
		r.stage(proxy, desired.RotateKeep, isMoving, nil),
		// Workers use the next secret, and it takes the place of the present one.
		r.stage(workers, desired.RotateSwitch, isMoving, r.introduced),
		r.stage(workers, desired.RotateEnd, isMoving, r.await),
		// The relay takes the new secrets only.
		r.stage(proxy, desired.RotateKeep, all, nil),
		{gate: r.revoked},
	}
}

// stage brings the workers that choose picks to a stage of the rotation.
func (r *workerRotation) stage(hosts []*hostApply, to desired.Rotation, choose func(desired.Rotating) bool, gate func(context.Context) bool) stage {
	propose := func() (*proposal, error) {
		p := r.proposer()
		p.prepared, p.rotate, r.moves = true, map[string]desired.Rotation{}, map[string]bool{}
		for _, a := range r.going() {
			if name := a.outcome.Name; choose(r.state(a)) {
				p.rotate[name], r.moves[name] = to, true
			}
		}
		return p.propose(r.planned.observed)
	}
	return stage{hosts: hosts, gate: gate, propose: propose, only: r.belongs}
}

// belongs reports whether a change is a part of the rotation of a worker that is
// in the stage: on its own host, or on the proxy host for all of them.
func (r *workerRotation) belongs(a *hostApply, change plan.Change) bool {
	for name := range r.moves {
		if (a == r.onProxy() || a.outcome.Name == name) && desired.Rotates(name, change) {
			return true
		}
	}
	return false
}

// going are the workers that nothing went wrong with.
func (r *workerRotation) going() []*hostApply {
	return slices.DeleteFunc(slices.Clone(r.parts[1:]), func(a *hostApply) bool { return a.failure != nil })
}

// state tells how far a worker's rotation is, by the last look.
func (r *workerRotation) state(a *hostApply) desired.Rotating {
	return desired.RotationOf(r.planned.observed.input(r.proposer()), a.outcome.Name)
}

func isMoving(state desired.Rotating) bool { return state.Next != "" }

func isFresh(state desired.Rotating) bool { return !state.Unfinished() }

// count asks the relay how many requests have ended before the rotation.
func (r *workerRotation) count(ctx context.Context) bool {
	before, err := r.proxy().relayStatus(ctx)
	r.before, r.known = before, err == nil
	return true
}

// introduced tells which next secrets the relay takes beside the present ones.
func (r *workerRotation) introduced(context.Context) bool {
	for _, a := range r.going() {
		if isMoving(r.state(a)) {
			r.teller.tell(Event{Host: a.outcome.Name, Phase: Reached, Text: "new secret made, known to the relay beside the old one"})
		}
	}
	return true
}

// await holds that the relay sees every worker with its new secret and nobody
// with the old one, and that a token comes.
func (r *workerRotation) await(ctx context.Context) bool {
	sideBySide(r.going(), 0, func(a *hostApply) {
		state := r.state(a)
		a.stop(r.awaitWorker(ctx, a, cmp.Or(state.Next, state.Present)))
	})
	if len(r.going()) == 0 {
		return false
	}
	r.prove(ctx)
	r.outcome.Proof.Models = slices.DeleteFunc(r.outcome.Proof.Models, func(m ModelProof) bool {
		return !slices.ContainsFunc(r.going(), func(a *hostApply) bool { return r.hasModel(a, m.Model) })
	})
	for _, a := range r.going() {
		a.stop(r.unproven(ctx, a))
	}
	return len(r.going()) > 0
}

func (r *workerRotation) hasModel(a *hostApply, model string) bool {
	return slices.ContainsFunc(r.enginesOf(model, relayStatus{}), func(e modelEngine) bool { return e.worker.Name == a.outcome.Name })
}

// unproven says why a worker's new secret is not proved; nil: it is.
func (r *workerRotation) unproven(ctx context.Context, a *hostApply) *HostError {
	if ctx.Err() != nil {
		return a.host.interrupted(ctx)
	}
	for _, model := range r.outcome.Proof.Models {
		if model.Err != nil && r.hasModel(a, model.Model) {
			return a.host.fail("its old secret was not revoked: "+model.Err.Error(), model.Err)
		}
	}
	return nil
}

// revoked tells that the old secrets are worth nothing, and how many requests
// ended meanwhile. Both figures are those of one run of the relay, or they are
// not told.
func (r *workerRotation) revoked(ctx context.Context) bool {
	if len(r.going()) == 0 {
		return false
	}
	for _, a := range r.going() {
		r.rotated.Workers = append(r.rotated.Workers, a.outcome.Name)
	}
	r.teller.tell(Event{Host: "relay", Phase: Reached, Text: "old secrets revoked; nobody used them any more"})
	after, err := r.proxy().relayStatus(ctx)
	if r.known && err == nil && after.Started.Equal(r.before.Started) && !after.Started.IsZero() {
		r.rotated.Counted = true
		r.rotated.Requests, r.rotated.Broken = int(after.Ended-r.before.Ended), int(after.Failed-r.before.Failed)
	}
	return true
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
func (r *workerRotation) awaitWorker(ctx context.Context, a *hostApply, hash string) *HostError {
	began, told := time.Now(), time.Now()
	last := began.Add(r.config.Stack.Proxy.Relay.RequestTimeout + reconnectTime)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		status, err := r.proxy().relayStatus(ctx)
		renewed, older := status.secretsOf(a.outcome.Name, hash)
		switch waited := time.Since(began); {
		case err == nil && renewed && !older:
			r.teller.tell(Event{Host: a.outcome.Name, Phase: Reached, Text: "reconnected with the new one", Took: waited})
			return nil
		case err != nil && waited > reconnectTime:
			return a.host.requestError(ctx, "wait for its new connection", err)
		case err == nil && !renewed && waited > reconnectTime:
			failure := a.host.fail("its worker did not come to the relay with its new secret within "+plan.Seconds(reconnectTime), nil)
			failure.Log = r.unitLog(ctx, a.at, "relay-worker.service")
			return failure
		case time.Now().After(last):
			return a.host.fail("its worker still uses the old secret", nil)
		}
		if time.Since(told) >= tellEvery {
			told = time.Now()
			what := "its connection with the new secret"
			if renewed {
				what = "answers that run on its older connection"
			}
			r.teller.tell(Event{Host: a.outcome.Name, Phase: Waiting, Text: what})
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return a.host.interrupted(ctx)
		}
	}
}

// workerSecret is the secret by which the relay knows a worker.
var workerSecret = plan.ID{Kind: plan.KindSecret, Name: plan.SecretWorker}

// describeRotations adds to a plan what is unfinished, with the command that
// finishes it.
func (m *proposal) describeRotations(in desired.Input) {
	for i := range m.Hosts {
		h := &m.Hosts[i]
		if h.Worker == "" || desired.RotationOf(in, h.Worker).Next == "" {
			continue
		}
		h.Changes = append(h.Changes, plan.Change{
			ID: workerSecret, Action: plan.Attention,
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
			if change.Action == plan.Attention && change.ID == workerSecret {
				s.tell(HalfRotated, h.Worker, "the rotation of its secret is not finished, so the old one is still good", finishing(h.Worker), "finishes it")
			}
		}
	}
}
