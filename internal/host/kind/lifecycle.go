package kind

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// lifecycle is what relay-host knows of a service beyond its unit.
type lifecycle interface {
	// check tests the new content of a file that the service reads, at a path.
	check(ctx context.Context, path string) error
	// sites are whose sites the service serves by a file with a text, and what
	// that imports.
	sites(text string) (sites, imports []string)
	// reload has the service load what it reads, if that takes anything.
	reload(ctx context.Context, step *Step) error
	// ready waits until the service, which stays up, runs with what it reads. It
	// is an error that it does not.
	ready(ctx context.Context, step *Step, state machine.UnitState) (machine.UnitState, error)
	// missing lists what the service has not loaded, by its own account.
	missing(ctx context.Context, look *Look, unit *plan.Unit, state machine.UnitState) ([]plan.ID, error)
	// overrides lists by what of others the service runs with something else than
	// its files say, beside the files of its unit.
	overrides(ctx context.Context, look *Look, started started) []plan.Override
	// keeps reports whether the service itself writes a file that it reads.
	keeps(path string) bool
}

// started is how the service of a unit is started.
type started struct {
	unit       string
	state      machine.UnitState
	file       string           // the unit's own
	own, whole machine.Settings // by that, and by all files of the unit
}

type lifecycles map[plan.Lifecycle]lifecycle

func newLifecycles(of *systemd) lifecycles {
	return lifecycles{"": plain{of}, plan.LifecycleRelay: plain{of}, plan.LifecycleCaddy: caddy{plain{of}}}
}

// of is the lifecycle of a name; of one that is unknown no more is known than its
// unit says.
func (l lifecycles) of(name plan.Lifecycle) lifecycle {
	if known := l[name]; known != nil {
		return known
	}
	return l[""]
}

// ofUnit is the lifecycle of a unit; nil: nothing is known of it.
func (l lifecycles) ofUnit(unit *plan.Unit) lifecycle {
	if unit == nil {
		return l[""]
	}
	return l.of(unit.Lifecycle)
}

// keep reports whether any service itself writes a file.
func (l lifecycles) keep(path string) bool {
	for _, one := range l {
		if one.keeps(path) {
			return true
		}
	}
	return false
}

// plain is a service of which no more is known than its unit says, and what it
// publishes: the digest of the settings that it has loaded.
type plain struct{ *systemd }

func (plain) check(context.Context, string) error { return hostapi.BadRequest("unknown check") }

func (plain) sites(string) (sites, imports []string) { return nil, nil }

func (plain) overrides(context.Context, *Look, started) []plan.Override { return nil }

func (plain) keeps(string) bool { return false }

func (p plain) reload(ctx context.Context, step *Step) error {
	p.drain(ctx, step)
	return p.job(ctx, step, machine.ReloadUnit, step.Resource.Name)
}

// settingsTime is how long a service may take to publish the settings that it was
// told to load.
const settingsTime = 15 * time.Second

// ready waits until a service publishes the digest of its present
// settings. One that publishes none is believed.
func (p plain) ready(ctx context.Context, step *Step, state machine.UnitState) (machine.UnitState, error) {
	name, unit, begun := step.Resource.Name, step.Resource.Unit, time.Now()
	if unit == nil || len(unit.Settings) == 0 {
		return state, nil
	}
	err := step.while(hostapi.Progress{What: name + " is loading its settings"}, func(func(string)) error {
		for {
			present, err := p.settingsDigest(unit.Settings)
			if err != nil {
				return err
			}
			if published, ok := publishedDigest(state); !ok || published == present {
				return nil
			}
			if _, why, refused := strings.Cut(state.StatusText, reloadRefused); refused {
				return p.unitError(ctx, step, name, "runs, but refused its new settings: "+why)
			}
			if time.Since(begun) >= settingsTime {
				return p.unitError(ctx, step, name, "runs, but did not take its new settings")
			}
			if err = pause(ctx, lookInterval); err == nil {
				state, err = p.Unit(ctx, name)
			}
			if err != nil {
				return err
			}
		}
	})
	return state, err
}

// reloadRefused begins what a service says of settings that it can't load.
const reloadRefused = "reload refused: "

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

// missing compares what a service publishes with its files. Which of
// them differs the digest does not tell, so all of them are listed.
func (p plain) missing(_ context.Context, _ *Look, unit *plan.Unit, state machine.UnitState) ([]plan.ID, error) {
	published, ok := publishedDigest(state)
	if !ok || len(unit.Settings) == 0 {
		return nil, nil
	}
	present, err := p.settingsDigest(unit.Settings)
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
func (p plain) settingsDigest(settings []string) (string, error) {
	base := filepath.Dir(settings[0])
	var paths []string
	for _, setting := range settings {
		inside, err := p.settingFiles(setting)
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
		content, err := os.ReadFile(p.Path(filepath.Join(base, path)))
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

func (p plain) settingFiles(setting string) ([]string, error) {
	entries, err := os.ReadDir(p.Path(setting))
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
