package host

import (
	"context"

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
	taken    *plan.TakenOver
	kept     string // where what stands there is kept; empty: nowhere
	done     bool   // it is as it should be already
}

// outcome is what a step left that the next look can't tell.
type outcome struct {
	made bool      // relayctl made it: it may be removed one day
	with []plan.ID // what came along
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

// checkName refuses a name that the kind can't have.
func checkName(id plan.ID) error {
	if _, known := (&Host{}).worker(id.Kind); !known {
		return badRequest("unknown kind of resource %q", id.Kind)
	}
	if err := id.CheckName(); err != nil {
		return badRequest("%v", err)
	}
	return nil
}
