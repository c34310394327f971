package kind

import (
	"context"

	"github.com/relayctl/relayctl/internal/host/machine"
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
