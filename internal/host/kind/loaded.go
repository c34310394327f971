package kind

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/plan"
)

// What a running unit has loaded is known for units that publish it. For the
// others it is written down when relay-host has seen them start or reload.

func readsOf(unit *plan.Unit) record.Reads {
	if unit == nil {
		return record.Reads{}
	}
	reads := record.Reads{Restart: slices.Clone(unit.Restart), Reload: unit.Reload}
	if unit.Program != nil && !slices.Contains(reads.Restart, *unit.Program) {
		reads.Restart = append(reads.Restart, *unit.Program)
	}
	return reads
}

// recordLoaded writes down that a unit runs with its present files, so that it
// owes no restart any more.
func (u units) recordLoaded(ctx context.Context, step *Step, state machine.UnitState) error {
	look, reads := step.Look(), readsOf(step.Resource.Unit)
	loaded := record.Loaded{Unit: step.Resource.Name, Invocation: state.Invocation, Reads: reads, Digests: map[string]string{}}
	for _, id := range reads.All() {
		print, err := u.fingerprint(ctx, look, id)
		if err != nil {
			return err
		}
		loaded.Digests[id.String()] = print.digest
	}
	return step.Journal.Load(loaded)
}

// recordStopped writes down that a unit owes no restart, since it does not run,
// or is about to take what it reads.
func recordStopped(journal *record.Journal, unit string) error {
	if journal.LoadedBy(unit).Invocation == "" && len(journal.Owed(unit)) == 0 {
		return nil
	}
	return journal.Load(record.Loaded{Unit: unit})
}

// fingerprint is a thing's content as a unit may have loaded it.
type fingerprint struct {
	digest  string
	changed time.Time // zero: not known
}

// placed has things whose content stands at a path.
type placed interface{ place(name string) string }

func (u units) fingerprint(ctx context.Context, look *Look, id plan.ID) (fingerprint, error) {
	if err := look.Kinds.CheckName(id); err != nil {
		return fingerprint{}, err
	}
	kept, isPlaced := look.Kinds[id.Kind].(placed)
	switch {
	case isPlaced && id.Kind.Describe().Folder:
		return u.printFolder(kept.place(id.Name))
	case isPlaced:
		return u.printFile(kept.place(id.Name))
	}
	fact, err := look.Observe(ctx, plan.Resource{ID: id})
	if err != nil {
		return fingerprint{}, err
	}
	return fingerprint{digest: fmt.Sprint(fact.Exists, fact.Have, fact.Detail)}, nil
}

// printFile digests a file under this machine's key, since it may be secret.
// Its change time is the one that nobody can set.
func (u units) printFile(path string) (fingerprint, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if machine.Gone(err) {
		return fingerprint{digest: "absent"}, nil
	}
	if err != nil {
		return fingerprint{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return fingerprint{}, err
	}
	if !info.Mode().IsRegular() {
		return fingerprint{digest: machine.DescribeMode(info.Mode())}, nil
	}
	sum, err := u.store.Hasher(plan.MACPrefix)
	if err != nil {
		return fingerprint{}, err
	}
	if _, err := io.Copy(sum, file); err != nil {
		return fingerprint{}, fmt.Errorf("read %s: %w", path, err)
	}
	changed := info.Sys().(*syscall.Stat_t).Ctim
	return fingerprint{digest: hex.EncodeToString(sum.Sum(nil)), changed: time.Unix(changed.Unix())}, nil
}

// printFolder digests the files in a folder, hidden ones left out.
func (u units) printFolder(path string) (fingerprint, error) {
	entries, err := os.ReadDir(path)
	if machine.Gone(err) {
		return fingerprint{digest: "absent"}, nil
	}
	if err != nil {
		return fingerprint{}, err
	}
	whole, sum := fingerprint{}, sha256.New()
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") || !entry.Type().IsRegular() {
			continue
		}
		one, err := u.printFile(filepath.Join(path, entry.Name()))
		if err != nil {
			return fingerprint{}, err
		}
		fmt.Fprintf(sum, "%q %s\n", entry.Name(), one.digest)
		if one.changed.After(whole.changed) {
			whole.changed = one.changed
		}
	}
	// A file that was taken away shows in the folder's own time only.
	info, err := os.Stat(path)
	if err != nil {
		return fingerprint{}, err
	}
	if info.ModTime().After(whole.changed) {
		whole.changed = info.ModTime()
	}
	whole.digest = hex.EncodeToString(sum.Sum(nil))
	return whole, nil
}

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
