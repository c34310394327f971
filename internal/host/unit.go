package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// units are systemd units.
type units struct{ *Host }

// jobTimeout bounds one start, stop or reload by systemd.
const jobTimeout = 5 * time.Minute

func (u units) observe(ctx context.Context, view *look, resource plan.Resource, fact *plan.Fact) error {
	state, err := view.unit(ctx, resource.Name)
	if err != nil {
		return err
	}
	if fact.Overrides = u.overrides(ctx, view, resource, state); !state.Exists {
		return nil
	}
	fact.Exists = true
	fact.Have = map[string]string{
		plan.AttrEnabled: yesNo(state.Enabled()), plan.AttrRunning: yesNo(state.Running()),
	}
	if resource.Want[plan.AttrRunning] != plan.Known(plan.Yes) {
		if err := u.observeForeign(ctx, state, fact); err != nil {
			return err
		}
	}
	fact.Detail = state.Describe()
	if state.Masked() && u.HasPackagedFile(resource.Name) {
		fact.InWay = "it is masked, which keeps it from starting; to let it, on the host: systemctl unmask " + strings.TrimSuffix(resource.Name, ".service")
	}
	if state.Running() {
		fact.Stale, err = u.stale(ctx, view, resource, state)
	}
	return err
}

// isMasked is the error on a unit that was masked since the plan, or that the
// installation of its package did not let go.
func isMasked(name string) error {
	return &hostapi.Error{
		Code: hostapi.CodeStep, Message: "unit " + name + " is masked, which keeps it from starting",
		Hint: "If it may start, on the host:\n  systemctl unmask " + strings.TrimSuffix(name, ".service"),
	}
}

func (u units) bring(ctx context.Context, b *batch, step step) (outcome, error) {
	name, want := step.resource.Name, wanted(step.resource)
	state, err := u.present(ctx, name)
	if err != nil {
		return outcome{}, err
	}
	switch {
	case !state.Exists && want[plan.AttrRunning] == plan.No:
		return outcome{}, nil // it was there for one run only, and that has ended
	case !state.Exists:
		return outcome{}, fmt.Errorf("unit %s has no unit file", name)
	}
	if runs := want[plan.AttrRunning] == plan.Yes; runs && state.Masked() {
		return outcome{}, isMasked(name)
	}
	if err := u.enable(ctx, name, want[plan.AttrEnabled], state); err != nil {
		return outcome{}, err
	}
	switch {
	case want[plan.AttrRunning] == plan.No:
		err = u.stop(ctx, b, step.index, name, state)
	case want[plan.AttrRunning] == plan.Yes && !(state.Running() && b.restartsLater(step.index)):
		err = u.follow(ctx, b, step, state)
	}
	return outcome{made: madeFragment(u.session.journal, state)}, err
}

// madeFragment reports whether relayctl made a unit's file.
func madeFragment(journal *record.Journal, state machine.UnitState) bool {
	file := journal.Entry(plan.ID{Kind: plan.KindFile, Name: state.Fragment})
	return file != nil && file.Made
}

// present is how a unit is once systemd has read its present file.
func (u units) present(ctx context.Context, name string) (machine.UnitState, error) {
	if u.session.unitFiles {
		if err := u.reloadUnitFiles(ctx); err != nil {
			return machine.UnitState{}, err
		}
	}
	state, err := u.Unit(ctx, name)
	if err == nil && state.NeedsReload {
		if err = u.reloadUnitFiles(ctx); err == nil {
			state, err = u.Unit(ctx, name)
		}
	}
	return state, err
}

func (h *Host) reloadUnitFiles(ctx context.Context) error {
	if err := h.Systemd.Configure(ctx, machine.ReloadUnitFiles, ""); err != nil {
		return err
	}
	h.session.unitFiles = false
	return nil
}

// enable brings about that a unit starts at boot, or that it doesn't; want is
// empty where that does not matter.
func (u units) enable(ctx context.Context, name, want string, state machine.UnitState) error {
	switch {
	case want == plan.Yes && !state.Enabled():
		return u.configure(ctx, machine.EnableUnit, name)
	case want == plan.No:
		return u.keepOff(ctx, name, state)
	}
	return nil
}

func (u units) configure(ctx context.Context, verb machine.ConfigureVerb, name string) error {
	if err := u.Systemd.Configure(ctx, verb, name); err != nil {
		return err
	}
	return u.reloadUnitFiles(ctx)
}

func (u units) stop(ctx context.Context, b *batch, index int, name string, state machine.UnitState) error {
	if state.Ended() {
		return u.recordStopped(name)
	}
	if err := u.job(ctx, b, index, machine.StopUnit, name); err != nil {
		return err
	}
	return u.recordStopped(name)
}

// doing says what systemd is at.
var doing = map[machine.JobVerb]string{machine.StartUnit: "starting", machine.StopUnit: "stopping", machine.RestartUnit: "restarting", machine.ReloadUnit: "reloading"}

// job has systemd do something and tells how long it takes.
func (u units) job(ctx context.Context, b *batch, index int, verb machine.JobVerb, name string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, jobTimeout, fmt.Errorf("not done within %s", plan.Seconds(jobTimeout)))
	defer cancel()
	return b.while(index, hostapi.Progress{What: doing[verb], By: "systemd"}, func(func(string)) error { return u.Systemd.Job(ctx, verb, name) })
}

// restartsLater reports whether the step at index does no more than enable a unit,
// and a later one of the batch restarts or reloads it.
func (b *batch) restartsLater(index int) bool {
	now := b.steps[index]
	starts := slices.ContainsFunc(now.Attributes, func(a plan.AttrChange) bool { return a.Name == plan.AttrRunning })
	if now.Action != plan.Update || starts {
		return false
	}
	return slices.ContainsFunc(b.steps[index+1:], func(change plan.Change) bool {
		return change.ID == now.ID && (change.Action == plan.Restart || change.Action == plan.Reload)
	})
}

// follow has a unit run with its present files, by the least that does it. One
// that ran before and does not with those gets its former files back.
func (u units) follow(ctx context.Context, b *batch, step step, state machine.UnitState) error {
	verb, err := u.neededJob(ctx, step.resource, state)
	if err != nil {
		return err
	}
	if verb == "" {
		return u.recordLoaded(ctx, step.resource.Name, readsOf(step.resource.Unit), state)
	}
	err = u.load(ctx, b, step, verb)
	if err == nil || !state.Running() {
		return err
	}
	return u.goBack(ctx, b, step, verb, err)
}

// load has a unit take its present files by a job, sees that it does, and
// writes that down.
func (u units) load(ctx context.Context, b *batch, step step, verb machine.JobVerb) error {
	name, of := step.resource.Name, step.resource.Unit
	isCaddy := of != nil && of.Lifecycle == plan.LifecycleCaddy
	var err error
	switch {
	case verb == machine.ReloadUnit && isCaddy:
		err = u.loadCaddyfile(context.WithoutCancel(ctx), b, step)
	case verb != machine.StartUnit:
		u.drain(ctx, b, step)
		fallthrough
	default:
		err = u.job(ctx, b, step.index, verb, name)
	}
	if err != nil && !errors.Is(err, machine.ErrJobFailed) {
		return err
	}
	state, err := u.verify(ctx, b, step, err)
	if err == nil && isCaddy {
		err = u.mustRunCaddyfile(ctx, b, name)
	}
	if err != nil {
		return err
	}
	return u.recordLoaded(ctx, name, readsOf(of), state)
}

// neededJob is what has to be done so that a unit runs with its present files;
// empty: nothing.
func (u units) neededJob(ctx context.Context, resource plan.Resource, state machine.UnitState) (machine.JobVerb, error) {
	if !state.Running() {
		if state.Active == "activating" {
			return machine.RestartUnit, nil // it goes round and round: a start would only wait for it
		}
		return machine.StartUnit, nil
	}
	need, err := u.stale(ctx, u.look(), resource, state)
	if err != nil {
		return "", err
	}
	reads := readsOf(resource.Unit)
	if len(need) == 0 {
		return "", nil
	}
	for _, id := range need {
		if plan.AnyCovers(reads.Restart, id) || !plan.AnyCovers(reads.Reload, id) {
			return machine.RestartUnit, nil
		}
	}
	return machine.ReloadUnit, nil
}

// remove stops a unit for good; its file is a resource of its own.
func (u units) remove(ctx context.Context, b *batch, step step) error {
	name := step.change.ID.Name
	state, err := u.Unit(ctx, name)
	if err != nil {
		return err
	}
	if err := u.stop(ctx, b, step.index, name, state); err != nil {
		return err
	}
	if state.Enabled() {
		if err := u.Systemd.Configure(ctx, machine.DisableUnit, name); err != nil {
			return err
		}
	}
	if state.Active == "failed" {
		if err := u.Systemd.Configure(ctx, machine.ResetFailed, name); err != nil {
			return err
		}
	}
	return u.recordStopped(name)
}

// followRestored has units that stay take the files that were put back.
func (h *Host) followRestored(ctx context.Context, b *batch) error {
	restored := h.session.restored
	h.session.restored = nil
	if len(restored) == 0 {
		return nil
	}
	for unit, reads := range h.session.journal.Readers() {
		for _, path := range restored {
			id := plan.ID{Kind: plan.KindFile, Name: path}
			if !plan.AnyCovers(reads.All(), id) {
				continue
			}
			if err := h.followRestoredUnit(ctx, b, unit, reads, id); err != nil {
				return fmt.Errorf("%s was put back: %w", path, err)
			}
			break
		}
	}
	return nil
}

func (h *Host) followRestoredUnit(ctx context.Context, b *batch, unit string, reads record.Reads, id plan.ID) error {
	if err := h.recordStopped(unit); err != nil {
		return err
	}
	state, err := h.Unit(ctx, unit)
	if err != nil || !state.Running() {
		return err
	}
	verb, last := machine.ReloadUnit, len(b.steps)-1
	if plan.AnyCovers(reads.Restart, id) {
		verb = machine.RestartUnit
	}
	if verb == machine.ReloadUnit && id.Name == plan.Caddyfile { // it may have Caddy take orders elsewhere than it does
		return units{h}.loadCaddyfile(ctx, b, step{index: last, resource: plan.Resource{ID: plan.ID{Kind: plan.KindUnit, Name: unit}}})
	}
	return units{h}.job(ctx, b, last, verb, unit)
}
