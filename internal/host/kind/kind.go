// Package kind brings things about on a machine: a handler for each kind of
// resource, which knows how to look at one, to make and change it, and to take it
// away again. It knows nothing of requests, nor of what comes before and after.
package kind

import (
	"context"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/host/store"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// Handler is what relay-host can do with one kind of resource.
type Handler interface {
	// Observe fills in a fact whose ID and Applied are set. It changes
	// nothing on the machine.
	Observe(ctx context.Context, look *Look, resource plan.Resource, fact *plan.Fact) error
	// Bring makes the machine so as step.Resource says.
	Bring(ctx context.Context, step *Step) (Outcome, error)
	// Remove takes away what step.Now found. It is not called for things that
	// are gone, or that were found and not made.
	Remove(ctx context.Context, step *Step) (Outcome, error)
}

// Outcome is what a step left that the next look can't tell.
type Outcome struct {
	Made     bool      // relayctl made it: it may be removed one day
	With     []plan.ID // what came along
	Ended    string    // how the step ended, where not as its action says
	Restored bool      // what stood there before is back
}

// Env is what handlers work with.
type Env struct {
	Machine *machine.Machine
	Store   *store.Store

	// Program is where relay-host's own program can be read, which has Digest.
	// Empty: it has to be put, like any other.
	Program, Digest string
}

// Kinds are the handlers by kind.
type Kinds map[plan.Kind]Handler

// All returns a handler for every kind that relayctl knows.
func All(env Env) Kinds {
	systemd := &systemd{Machine: env.Machine}
	lifecycles := newLifecycles(systemd)
	return Kinds{
		plan.KindPackage:   packages{env.Machine},
		plan.KindUser:      users{env.Machine},
		plan.KindDirectory: directories{env.Machine},
		plan.KindCA:        authorities{env.Machine, env.Store},
		plan.KindSecret:    secrets{env.Store},
		plan.KindKey:       keys{env.Store},
		plan.KindProgram:   programs{env.Machine, env.Store, env.Program, env.Digest},
		plan.KindFile:      files{env.Machine, env.Store, systemd, lifecycles},
		plan.KindUnit:      units{systemd, env.Store, lifecycles},
	}
}

// CheckName refuses a name that the kind can't have, and a kind that nobody
// handles.
func (k Kinds) CheckName(id plan.ID) error {
	if k[id.Kind] == nil {
		return hostapi.BadRequest("unknown kind of resource %q", id.Kind)
	}
	return checkName(id)
}

func checkName(id plan.ID) error {
	if err := id.CheckName(); err != nil {
		return hostapi.BadRequest("%v", err)
	}
	return nil
}
