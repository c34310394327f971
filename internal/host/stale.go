package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/plan"
)

// stale lists what a running unit has not loaded as it stands now.
func (h *Host) stale(ctx context.Context, view *look, resource plan.Resource, state machine.UnitState) ([]plan.ID, error) {
	list := owed(view.journal, resource)
	unit := resource.Unit
	if unit == nil {
		return list, nil
	}
	reads := readsOf(unit).All()
	published, err := h.staleSettings(unit, state)
	if err != nil {
		return nil, err
	}
	list = append(list, published...)
	if unit.Program != nil {
		old, err := h.runsOldProgram(*unit.Program, state)
		if err != nil {
			return nil, err
		}
		if old {
			list = append(list, *unit.Program)
		}
	}
	started, err := h.startedOtherwise(view, resource, state)
	if err != nil {
		return nil, err
	}
	list = append(list, started...)
	if unit.Lifecycle == plan.LifecycleCaddy && h.runsOtherCaddyfile(ctx, view) {
		list = append(list, unit.Reload...)
	}
	unpublished := slices.DeleteFunc(reads, func(id plan.ID) bool {
		return publishes(unit, state, id) || unit.Program != nil && id == *unit.Program
	})
	changed, err := h.changedSinceLoaded(ctx, view, resource.Name, unpublished, state)
	if err != nil {
		return nil, err
	}
	list = append(list, changed...)
	slices.SortFunc(list, func(a, b plan.ID) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(list), nil
}

// owed lists what a unit reads and was replaced since it was last seen to run
// with all of it.
func owed(journal *record.Journal, resource plan.Resource) []plan.ID {
	reads := slices.Concat(readsOf(resource.Unit).All(), journal.LoadedBy(resource.Name).Reads.All())
	return slices.DeleteFunc(journal.Owed(resource.Name), func(id plan.ID) bool { return !plan.AnyCovers(reads, id) })
}

// publishedPrefix begins the status of a service that publishes the digest of
// the settings it has loaded.
const publishedPrefix = "settings "

func publishedDigest(state machine.UnitState) (digest string, ok bool) {
	status, ok := strings.CutPrefix(state.StatusText, publishedPrefix)
	digest, _, _ = strings.Cut(status, " ")
	return strings.TrimRight(digest, ",;"), ok
}

// publishes reports whether the unit itself tells if it has loaded id.
func publishes(unit *plan.Unit, state machine.UnitState, id plan.ID) bool {
	_, ok := publishedDigest(state)
	return ok && slices.ContainsFunc(unit.Settings, func(path string) bool {
		return path == id.Name || plan.Covers(id, plan.ID{Kind: plan.KindFile, Name: path})
	})
}

// staleSettings compares what a service publishes with its files. Which of
// them differs the digest does not tell, so all of them are listed.
func (h *Host) staleSettings(unit *plan.Unit, state machine.UnitState) ([]plan.ID, error) {
	published, ok := publishedDigest(state)
	if !ok || len(unit.Settings) == 0 {
		return nil, nil
	}
	present, err := h.settingsDigest(unit.Settings)
	if err != nil {
		return nil, err
	}
	if present == published {
		return nil, nil
	}
	var list []plan.ID
	for _, id := range readsOf(unit).All() {
		if publishes(unit, state, id) {
			list = append(list, id)
		}
	}
	return list, nil
}

// settingsDigest is the digest that a service publishes once it has loaded
// settings: the hex SHA-256 of a line "PATH NUL HEXDIGEST" for each file, in
// the order of the paths, which are relative to the folder of the first file.
// A folder stands for the *.json files in it that are not hidden.
func (h *Host) settingsDigest(settings []string) (string, error) {
	base := filepath.Dir(settings[0])
	var paths []string
	for _, setting := range settings {
		inside, err := h.settingFiles(setting)
		if err != nil {
			return "", err
		}
		for _, path := range inside {
			relative, err := filepath.Rel(base, path)
			if err != nil {
				return "", fmt.Errorf("digest settings: %w", err)
			}
			paths = append(paths, relative)
		}
	}
	slices.Sort(paths)
	whole := sha256.New()
	for _, path := range slices.Compact(paths) {
		content, err := os.ReadFile(h.Path(filepath.Join(base, path)))
		if machine.Gone(err) {
			continue // the service cannot have loaded it: the digests will differ
		}
		if err != nil {
			return "", fmt.Errorf("digest settings: %w", err)
		}
		fmt.Fprintf(whole, "%s\x00%x\n", path, sha256.Sum256(content))
	}
	return hex.EncodeToString(whole.Sum(nil)), nil
}

func (h *Host) settingFiles(setting string) ([]string, error) {
	entries, err := os.ReadDir(h.Path(setting))
	if err != nil {
		return []string{setting}, nil // a file, or nothing
	}
	var paths []string
	for _, entry := range entries {
		if name := entry.Name(); strings.HasSuffix(name, ".json") && !strings.HasPrefix(name, ".") {
			paths = append(paths, filepath.Join(setting, name))
		}
	}
	return paths, nil
}

// runsOldProgram compares the program that a process runs with the one that
// stands installed: equal bytes are the same program, whatever the path.
func (h *Host) runsOldProgram(program plan.ID, state machine.UnitState) (bool, error) {
	if state.MainPID == 0 {
		return false, nil
	}
	running := h.Path(filepath.Join("/proc", strconv.Itoa(state.MainPID), "exe"))
	installed := h.Path(filepath.Join(plan.ProgramsDir, program.Name, "current", program.Name))
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
func (h *Host) changedSinceLoaded(ctx context.Context, view *look, unit string, ids []plan.ID, state machine.UnitState) ([]plan.ID, error) {
	last := view.journal.LoadedBy(unit)
	same := last.Invocation != "" && last.Invocation == state.Invocation
	var list []plan.ID
	for _, id := range ids {
		present, err := h.fingerprint(ctx, view, id)
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
