package engine

import (
	"time"

	"github.com/relayctl/relayctl/internal/plan"
)

// Planned is a plan together with what it was made from.
type Planned struct {
	plan.Plan
	Failed HostErrors    // hosts that could not be looked at, in the order of the stack
	Took   time.Duration // from the first connection to the last look
	Keys   []string      // API keys that apply will make
	Stays  []string      // hosts that left the stack and could not be reached: they stay remembered
	Locks  []Lock        // hosts that somebody works on just now
}

// Lock says who holds a host's lock.
type Lock struct {
	Host    string
	Holder  string // user@machine
	Command string
	Since   time.Time
}

// Blocked lists what stops an apply of this plan: changes with a Block.
func (p *Planned) Blocked() []plan.Change { return nil }

// Empty reports whether apply has nothing to do.
func (p *Planned) Empty() bool { return true }

// Texts returns a file's text as it is on the host and as it will be, for a
// diff. It reports false where it may not be shown (secrets), is too long or
// is not known before the apply.
func (p *Planned) Texts(host string, change plan.Change) (before, after string, ok bool) {
	return "", "", false
}
