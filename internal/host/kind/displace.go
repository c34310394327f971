package kind

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/plan"
)

// observeForeign says whether a unit that is not asked to be on is: whether
// anything of it runs, and whether anything starts it at boot.
func (u units) observeForeign(ctx context.Context, state machine.UnitState, fact *plan.Fact) error {
	starters, err := u.bootStarters(ctx, state)
	if err != nil {
		return err
	}
	fact.Have[plan.AttrRunning] = yesNo(!state.Ended())
	fact.Have[plan.AttrEnabled] = yesNo(state.Enabled() || len(starters) > 0)
	fact.Serves = u.Sites(fact.Name)
	fact.StartedBy = slices.Sorted(slices.Values(state.TriggeredBy))
	if !canBeMasked(state) {
		fact.PulledBy = u.lasting(fact.Name, starters)
	}
	return nil
}

// bootStarters lists the units that start a unit at boot: those that pull it,
// and run now or start at boot themselves. What the unit starts by itself needs
// it, but does not start it.
func (u units) bootStarters(ctx context.Context, state machine.UnitState) ([]string, error) {
	if state.Masked() {
		return nil, nil
	}
	names := slices.Compact(slices.Sorted(slices.Values(state.PulledBy)))
	names = slices.DeleteFunc(names, func(name string) bool { return slices.Contains(state.Triggers, name) })
	states, err := u.Systemd.Units(ctx, names)
	if err != nil {
		return nil, fmt.Errorf("ask systemd for units: %w", err)
	}
	var starters []string
	for i, name := range names {
		if !states[i].Ended() || states[i].Enabled() || strings.HasSuffix(name, ".target") {
			starters = append(starters, name)
		}
	}
	return starters, nil
}

// lasting is which of some units go on starting one at boot when it is
// disabled: that takes away only the links of this machine's own making.
func (u units) lasting(name string, starters []string) []string {
	return slices.DeleteFunc(slices.Clone(starters), func(starter string) bool {
		return slices.ContainsFunc([]string{".wants", ".requires", ".upholds"}, func(how string) bool {
			_, err := os.Lstat(u.Path(filepath.Join(plan.UnitsDir, starter+how, name)))
			return err == nil
		})
	})
}

// canBeMasked reports whether there is room for the mask, a link of the unit's
// name.
func canBeMasked(state machine.UnitState) bool { return filepath.Dir(state.Fragment) != plan.UnitsDir }

// keepOff brings about that a unit does not start at boot. One that others
// start then, or that a generator makes of an init script, is masked.
func (u units) keepOff(ctx context.Context, name string, state machine.UnitState) error {
	starters, err := u.bootStarters(ctx, state)
	if err != nil || !state.Enabled() && len(starters) == 0 {
		return err
	}
	lasting := u.lasting(name, starters)
	if len(lasting) > 0 && !canBeMasked(state) {
		return fmt.Errorf("%s would be started again at boot, by %s", name, strings.Join(lasting, ", "))
	}
	if state.FileState != "generated" {
		if err := u.configure(ctx, machine.DisableUnit, name); err != nil {
			return err
		}
	}
	if len(lasting) == 0 {
		return nil
	}
	return u.configure(ctx, machine.MaskUnit, name)
}

// Return has a unit of somebody else as it was before it was taken over.
func (u units) Return(ctx context.Context, step *Step) (Outcome, error) {
	name, before := step.Change.ID.Name, step.Applied.Taken.Before
	state, err := u.present(ctx, name)
	if err != nil || !state.Exists {
		return Outcome{}, err
	}
	if state.Masked() {
		if err := u.configure(ctx, machine.UnmaskUnit, name); err != nil {
			return Outcome{}, err
		}
	}
	if before[plan.AttrEnabled] == plan.Yes && !state.Enabled() {
		if err := u.configure(ctx, machine.EnableUnit, name); err != nil {
			return Outcome{}, err
		}
	}
	if before[plan.AttrRunning] != plan.Yes || state.Running() {
		return Outcome{}, nil
	}
	return Outcome{}, u.job(ctx, step, machine.StartUnit, name)
}
