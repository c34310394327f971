package host

import (
	"context"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/plan"
)

// kindWorker is what relay-host can do with one kind of resource.
type kindWorker interface {
	// observe fills in a fact whose ID and Applied are set. It changes
	// nothing on the machine.
	observe(ctx context.Context, view *look, resource plan.Resource, fact *plan.Fact) error
	// bring makes the machine so as step.resource says.
	bring(ctx context.Context, b *batch, step step) (outcome, error)
	// remove takes away what step.now found. It is not called for things that
	// are gone, or that were found and not made.
	remove(ctx context.Context, b *batch, step step) error
}

// step is a change about to be made.
type step struct {
	index    int
	change   plan.Change
	resource plan.Resource // with all values settled; only the ID for a removal
	now      plan.Fact     // as the thing is now
	applied  *plan.Applied // the manifest's entry; nil: none
}

// outcome is what a step left that the next look can't tell.
type outcome struct {
	made bool   // relayctl made it: it may be removed one day
	kept string // where the original is kept; empty: nowhere
}

func (h *Host) worker(kind plan.Kind) (kindWorker, bool) {
	switch kind {
	case plan.KindPackage:
		return packages{h}, true
	case plan.KindUser:
		return users{h}, true
	case plan.KindDirectory:
		return directories{h}, true
	case plan.KindCA:
		return authorities{h}, true
	case plan.KindSecret:
		return secrets{h}, true
	case plan.KindKey:
		return keys{h}, true
	case plan.KindProgram:
		return programs{h}, true
	case plan.KindFile:
		return files{h}, true
	case plan.KindUnit:
		return units{h}, true
	}
	return nil, false
}

// The forms of names. Names reach commands as arguments of their own and
// never a shell; these forms keep them from being taken for options or for
// another path.
var (
	packageName = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`)
	userName    = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)
	storedName  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
)

// checkName refuses a name that the kind can't have.
func checkName(id plan.ID) error {
	ok := false
	switch id.Kind {
	case plan.KindPackage:
		ok = packageName.MatchString(id.Name)
	case plan.KindUser:
		ok = userName.MatchString(id.Name)
	case plan.KindDirectory, plan.KindFile:
		ok = id.Name != "/" && filepath.IsAbs(id.Name) && filepath.Clean(id.Name) == id.Name &&
			!strings.ContainsFunc(id.Name, func(r rune) bool { return r < ' ' || r == 0x7f })
	case plan.KindCA, plan.KindSecret, plan.KindKey, plan.KindProgram:
		ok = storedName.MatchString(id.Name)
	case plan.KindUnit:
		ok = machine.IsUnitName(id.Name)
	default:
		return badRequest("unknown kind of resource %q", id.Kind)
	}
	if !ok {
		return badRequest("%q cannot be the name of a %s", id.Name, id.Kind)
	}
	return nil
}
