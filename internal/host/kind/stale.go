package kind

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/plan"
)

// stale lists what a running unit has not loaded as it stands now.
func (u units) stale(ctx context.Context, look *Look, resource plan.Resource, state machine.UnitState) ([]plan.ID, error) {
	list := owed(look.Journal, resource)
	unit := resource.Unit
	if unit == nil {
		return list, nil
	}
	reads := readsOf(unit).All()
	missing, err := u.lifecycles.ofUnit(unit).missing(ctx, look, unit, state)
	if err != nil {
		return nil, err
	}
	list = append(list, missing...)
	if unit.Program != nil {
		old, err := u.runsOldProgram(look.Kinds[plan.KindProgram].(placed).place(unit.Program.Name), state)
		if err != nil {
			return nil, err
		}
		if old {
			list = append(list, *unit.Program)
		}
	}
	started, err := u.startedOtherwise(look, resource, state)
	if err != nil {
		return nil, err
	}
	list = append(list, started...)
	unpublished := slices.DeleteFunc(reads, func(id plan.ID) bool {
		return publishes(unit, state, id) || unit.Program != nil && id == *unit.Program
	})
	changed, err := u.changedSinceLoaded(ctx, look, resource.Name, unpublished, state)
	if err != nil {
		return nil, err
	}
	list = append(list, changed...)
	slices.SortFunc(list, record.CompareIDs)
	return slices.Compact(list), nil
}

// owed lists what a unit reads and was replaced since it was last seen to run
// with all of it.
func owed(journal *record.Journal, resource plan.Resource) []plan.ID {
	reads := slices.Concat(readsOf(resource.Unit).All(), journal.LoadedBy(resource.Name).Reads.All())
	return slices.DeleteFunc(journal.Owed(resource.Name), func(id plan.ID) bool { return !plan.AnyCovers(reads, id) })
}

// runsOldProgram compares the program that a process runs with the one that
// stands installed: equal bytes are the same program, whatever the path.
func (u units) runsOldProgram(installed string, state machine.UnitState) (bool, error) {
	if state.MainPID == 0 {
		return false, nil
	}
	running := u.Path(filepath.Join("/proc", strconv.Itoa(state.MainPID), "exe"))
	runs, err := os.Stat(running)
	if machine.Gone(err) {
		return false, nil // it ended a moment ago
	}
	if err != nil {
		return false, fmt.Errorf("look at running program: %w", err)
	}
	stands, err := os.Stat(installed)
	if machine.Gone(err) {
		return false, nil // the program is missing: that is told of the program
	}
	if err != nil {
		return false, fmt.Errorf("look at installed program: %w", err)
	}
	if os.SameFile(runs, stands) {
		return false, nil
	}
	if runs.Size() != stands.Size() {
		return true, nil
	}
	one, err := os.ReadFile(running)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read running program: %w", err)
	}
	other, err := os.ReadFile(installed)
	if err != nil {
		return false, fmt.Errorf("read installed program: %w", err)
	}
	return !bytes.Equal(one, other), nil
}

// changedSinceLoaded compares ids with what was written down when the unit was
// last seen to load them. A start that nobody wrote down counts as one that
// loaded what had stopped changing by then.
func (u units) changedSinceLoaded(ctx context.Context, look *Look, unit string, ids []plan.ID, state machine.UnitState) ([]plan.ID, error) {
	last := look.Journal.LoadedBy(unit)
	same := last.Invocation != "" && last.Invocation == state.Invocation
	var list []plan.ID
	for _, id := range ids {
		present, err := u.fingerprint(ctx, look, id)
		if err != nil {
			return nil, err
		}
		loaded, recorded := last.Digests[id.String()]
		switch {
		case same && recorded && loaded != present.digest:
			list = append(list, id)
		case !(same && recorded) && !state.Began.IsZero() && present.changed.After(state.Began):
			list = append(list, id)
		}
	}
	return list, nil
}
