package kind

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/host/store"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// units are systemd units.
type units struct {
	*systemd
	store      *store.Store
	lifecycles lifecycles
}

func (u units) Observe(ctx context.Context, look *Look, resource plan.Resource, fact *plan.Fact) error {
	state, err := look.unit(ctx, resource.Name)
	if err != nil {
		return err
	}
	if fact.Overrides = u.overrides(ctx, look, resource, state); !state.Exists {
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
		fact.Stale, err = u.stale(ctx, look, resource, state)
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

func (u units) Bring(ctx context.Context, step *Step) (Outcome, error) {
	name, runs := step.Resource.Name, step.wants(plan.AttrRunning)
	state, err := u.present(ctx, name)
	switch {
	case err != nil:
		return Outcome{}, err
	case !state.Exists && runs == plan.No:
		return Outcome{}, nil // it was there for one run only, and that has ended
	case !state.Exists:
		return Outcome{}, fmt.Errorf("unit %s has no unit file", name)
	case runs == plan.Yes && state.Masked():
		return Outcome{}, isMasked(name)
	}
	if err := u.enable(ctx, name, step.wants(plan.AttrEnabled), state); err != nil {
		return Outcome{}, err
	}
	switch {
	case runs == plan.No:
		err = u.stop(ctx, step, name, state)
	case runs == plan.Yes && !(state.Running() && step.restartsLater()):
		err = u.follow(ctx, step, state)
	}
	return Outcome{Made: madeFragment(step.Journal, state)}, err
}

// madeFragment reports whether relayctl made a unit's file.
func madeFragment(journal *record.Journal, state machine.UnitState) bool {
	file := journal.Entry(plan.ID{Kind: plan.KindFile, Name: state.Fragment})
	return file != nil && file.Made
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

func (u units) stop(ctx context.Context, step *Step, name string, state machine.UnitState) error {
	if !state.Ended() {
		if err := u.job(ctx, step, machine.StopUnit, name); err != nil {
			return err
		}
	}
	return recordStopped(step.Journal, name)
}

// restartsLater reports whether the step does no more than enable a unit, and a
// later one restarts or reloads it.
func (s *Step) restartsLater() bool {
	starts := slices.ContainsFunc(s.Change.Attributes, func(a plan.AttrChange) bool { return a.Name == plan.AttrRunning })
	if s.Change.Action != plan.Update || starts {
		return false
	}
	return slices.ContainsFunc(s.Later, func(change plan.Change) bool {
		return change.ID == s.Change.ID && (change.Action == plan.Restart || change.Action == plan.Reload)
	})
}

// NotLoadedError means that a unit which ran before does not run with its present
// files.
type NotLoadedError struct {
	Tried machine.JobVerb
	Err   error
}

func (e *NotLoadedError) Error() string { return e.Err.Error() }

func (e *NotLoadedError) Unwrap() error { return e.Err }

// follow has a unit run with its present files, by the least that does it. The
// error is a *NotLoadedError where it ran before and does not take them.
func (u units) follow(ctx context.Context, step *Step, state machine.UnitState) error {
	verb, err := u.neededJob(ctx, step, state)
	if err != nil {
		return err
	}
	if verb == "" {
		return u.recordLoaded(ctx, step, state)
	}
	err = u.load(ctx, step, verb)
	if err == nil || !state.Running() {
		return err
	}
	return &NotLoadedError{Tried: verb, Err: err}
}

// load has a unit take its present files by a job, sees that it does, and
// writes that down.
func (u units) load(ctx context.Context, step *Step, verb machine.JobVerb) error {
	name, lives := step.Resource.Name, u.lifecycles.ofUnit(step.Resource.Unit)
	var err error
	switch verb {
	case machine.ReloadUnit:
		err = lives.reload(ctx, step)
	case machine.RestartUnit:
		u.drain(ctx, step)
		fallthrough
	default:
		err = u.job(ctx, step, verb, name)
	}
	if err != nil && !errors.Is(err, machine.ErrJobFailed) {
		return err
	}
	state, err := u.staysUp(ctx, step, err)
	if err == nil {
		state, err = lives.ready(ctx, step, state)
	}
	if err != nil {
		return err
	}
	return u.recordLoaded(ctx, step, state)
}

// LoadAgain has a unit run with the files that were put back, after a job has
// failed.
func (u units) LoadAgain(ctx context.Context, step *Step, verb machine.JobVerb) error {
	name := step.Resource.Name
	state, err := u.present(ctx, name)
	if err != nil {
		return err
	}
	if !state.Running() {
		verb = machine.RestartUnit
	}
	step.tell(hostapi.Progress{What: strings.TrimSuffix(name, ".service") + " takes its former files again"})
	return u.load(ctx, step, verb)
}

// Reads reports whether a thing decides how a unit runs: what it reads, its
// drop-ins, and what its service keeps itself.
func (u units) Reads(unit plan.Resource, id plan.ID) bool {
	if plan.AnyCovers(readsOf(unit.Unit).All(), id) {
		return true
	}
	isUnitFile := slices.Contains(machine.DropInFolders(unit.Name), filepath.Base(filepath.Dir(id.Name))) || filepath.Base(id.Name) == unit.Name
	return id.Kind == plan.KindFile && (isUnitFile || u.lifecycles.ofUnit(unit.Unit).keeps(id.Name))
}

// neededJob is what has to be done so that a unit runs with its present files;
// empty: nothing.
func (u units) neededJob(ctx context.Context, step *Step, state machine.UnitState) (machine.JobVerb, error) {
	if !state.Running() {
		if state.Active == "activating" {
			return machine.RestartUnit, nil // it goes round and round: a start would only wait for it
		}
		return machine.StartUnit, nil
	}
	need, err := u.stale(ctx, step.Look(), step.Resource, state)
	if err != nil {
		return "", err
	}
	reads := readsOf(step.Resource.Unit)
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

// Remove stops a unit for good; its file is a resource of its own.
func (u units) Remove(ctx context.Context, step *Step) (Outcome, error) {
	name := step.Change.ID.Name
	state, err := u.Unit(ctx, name)
	if err != nil {
		return Outcome{}, err
	}
	if err := u.stop(ctx, step, name, state); err != nil {
		return Outcome{}, err
	}
	if state.Enabled() {
		if err := u.Systemd.Configure(ctx, machine.DisableUnit, name); err != nil {
			return Outcome{}, err
		}
	}
	if state.Active == "failed" {
		if err := u.Systemd.Configure(ctx, machine.ResetFailed, name); err != nil {
			return Outcome{}, err
		}
	}
	return Outcome{}, recordStopped(step.Journal, name)
}

// Follow has systemd read what was changed, and units that stay take the files
// that were put back.
func (u units) Follow(ctx context.Context, step *Step, restored []string) error {
	var err error
	if u.unread {
		err = u.read(ctx)
	}
	for unit, reads := range step.Journal.Readers() {
		for _, path := range restored {
			id := plan.ID{Kind: plan.KindFile, Name: path}
			if !plan.AnyCovers(reads.All(), id) {
				continue
			}
			if failed := u.followRestored(ctx, step, unit, plan.AnyCovers(reads.Restart, id)); err == nil && failed != nil {
				err = fmt.Errorf("%s was put back: %w", path, failed)
			}
			break
		}
	}
	return err
}

// followRestored has a unit take a file that was put back.
func (u units) followRestored(ctx context.Context, step *Step, unit string, restarts bool) error {
	if err := recordStopped(step.Journal, unit); err != nil {
		return err
	}
	state, err := u.Unit(ctx, unit)
	if err != nil || !state.Running() {
		return err
	}
	if restarts {
		return u.job(ctx, step, machine.RestartUnit, unit)
	}
	reader := *step
	reader.Resource = plan.Resource{ID: plan.ID{Kind: plan.KindUnit, Name: unit}}
	if entry := step.Journal.Entry(reader.Resource.ID); entry != nil && entry.As != nil {
		reader.Resource = *entry.As
	}
	return u.lifecycles.ofUnit(reader.Resource.Unit).reload(ctx, &reader)
}

// IsMade reports whether relayctl made a unit, by its file, which others bring
// too.
func (u units) IsMade(ctx context.Context, journal *record.Journal, name string) (bool, error) {
	state, err := u.Unit(ctx, name)
	return madeFragment(journal, state), err
}
