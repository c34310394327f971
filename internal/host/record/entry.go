// Package record is what a host remembers of the stack that it belongs to: one
// journal, to which lines are only ever added. What is ours is its fold, what
// was cut off is a beginning without an end, the history is its summary, and
// going back is to read it backwards.
package record

import (
	"time"

	"github.com/relayctl/relayctl/internal/plan"
)

// schema is the newest form of the journal that this relay-host knows. Before
// the journal there was a manifest, with schema 1.
const schema = 2

// line is one line of the journal. All but one of its members are nil.
type line struct {
	At         time.Time   `json:"at"`
	Checkpoint *checkpoint `json:"checkpoint,omitempty"` // the first line, and no other
	Begin      *Apply      `json:"begin,omitempty"`
	Hosts      *hosts      `json:"hosts,omitempty"`
	Change     *Change     `json:"change,omitempty"`
	Changed    *Changed    `json:"changed,omitempty"`
	Loaded     *Loaded     `json:"loaded,omitempty"`
	End        *End        `json:"end,omitempty"`
}

// lasts reports whether a line has to be on the disk before anything else is
// done.
func (l line) lasts() bool {
	switch {
	case l.Change != nil:
		return countsAsChange(l.Change.Action)
	case l.End != nil:
		return l.End.Past != nil
	}
	return l.Hosts != nil || l.Loaded != nil
}

// checkpoint is what all lines before it came to.
type checkpoint struct {
	Schema   int            `json:"schema"`
	Oldest   int            `json:"oldest"` // number of the last apply that is in it: there is no going back to before
	Sequence int            `json:"sequence"`
	Last     int            `json:"last"` // the highest number that an apply has had
	Manifest *plan.Manifest `json:"manifest,omitempty"`
	Past     []plan.Past    `json:"past,omitempty"`
	Loaded   []loadedAt     `json:"loaded,omitempty"`
	Changed  []changedAt    `json:"changed,omitempty"`
}

// Apply is one apply as it begins: whoever holds the host's lock.
type Apply struct {
	Number   int       `json:"apply"`
	Run      string    `json:"run,omitempty"` // the same on all hosts of one apply
	Stack    string    `json:"stack"`
	Version  string    `json:"version"`  // of relayctl
	Operator string    `json:"operator"` // user@machine
	Command  string    `json:"command"`  // apply, rotate-secret, rollback, destroy
	PID      int       `json:"pid"`      // of relay-host
	Since    time.Time `json:"since"`
}

// Past is the apply as the history tells of it before it has done anything.
func (a Apply) Past() plan.Past {
	return plan.Past{
		Number: a.Number, Run: a.Run, Stack: a.Stack, Version: a.Version,
		Operator: a.Operator, Command: a.Command, Began: a.Since,
	}
}

// hosts are the other hosts of the stack, on the proxy host.
type hosts struct {
	Hosts []plan.Member `json:"hosts"`
}

// Change is a change that is about to be made.
type Change struct {
	plan.ID
	Action plan.Action `json:"action"`
	Before plan.Fact   `json:"before"` // as it stands: Exists and Have
	// Kept is where what stands there is kept; empty: nothing does, or it is
	// not replaced.
	Kept  string          `json:"kept,omitempty"`
	As    *plan.Resource  `json:"as,omitempty"`    // as it is to be; nil: it goes
	Taken *plan.TakenOver `json:"taken,omitempty"` // what stands there is somebody else's
	// Replaces says that a service that has loaded the thing has to load it
	// again.
	Replaces bool `json:"replaces,omitempty"`
	// Undoes is the sequence of the first of the changes by this apply that are
	// undone, since a service did not take them; 0: none is. It is no step.
	Undoes int `json:"undoes,omitempty"`
}

// Changed is how the change that was begun last for a thing has ended.
type Changed struct {
	plan.ID
	Error string `json:"error,omitempty"` // first line; empty: it was done
	// Settled says that this was found out later: whoever made the change was
	// cut off.
	Settled bool `json:"settled,omitempty"`
	// Untouched says that it failed before anything was done.
	Untouched bool `json:"untouched,omitempty"`
	// Same says that what a service may have loaded is as it was.
	Same  bool          `json:"same,omitempty"`
	Left  plan.Fact     `json:"left"`            // as it stands now: Exists and Have
	Entry *plan.Applied `json:"entry,omitempty"` // the manifest's from now on; nil: none
}

// Loaded is that a unit was seen to run with all its files as they are now, or
// that it runs no more.
type Loaded struct {
	Unit string `json:"unit"`
	// Invocation is the one that was seen; empty: nothing is known of what the
	// unit has loaded.
	Invocation string            `json:"invocation,omitempty"`
	Reads      Reads             `json:"reads"`
	Digests    map[string]string `json:"digests,omitempty"` // by plan.ID.String
}

// Reads is what a unit reads: what it has to be restarted for, and what a
// reload is enough for.
type Reads struct {
	Restart []plan.ID  `json:"restart,omitempty"`
	Reload  []plan.ID  `json:"reload,omitempty"`
	Unit    *plan.Unit `json:"unit,omitempty"` // as it was then: it may have left since, and run on
}

// End is the end of an apply; without Past it was given up before it did
// anything.
type End struct {
	Past  *plan.Past    `json:"past,omitempty"`
	Shown []string      `json:"shown,omitempty"` // keys that their owner has been shown
	Hosts []plan.Member `json:"hosts,omitzero"`  // of the stack, from now on; nil: as they are
}

type loadedAt struct {
	Loaded
	Sequence int `json:"sequence"`
}

type changedAt struct {
	plan.ID
	Sequence int `json:"sequence"`
}
