package plan

import (
	"fmt"
	"strings"
	"time"
)

// Past is one apply as a host remembers it: a line of its history. Times are
// of the host's clock.
type Past struct {
	Number   int       `json:"apply"`
	Run      string    `json:"run,omitempty"` // the same on all hosts of one apply
	Stack    string    `json:"stack"`
	Version  string    `json:"version"`  // of relayctl
	Operator string    `json:"operator"` // user@machine
	Command  string    `json:"command"`  // apply, rotate-secret
	Began    time.Time `json:"began,omitzero"`
	Ended    time.Time `json:"time,omitzero"` // of one that was cut off: when it was last heard of
	State    PastState `json:"state"`
	Steps    int       `json:"steps"`   // how many were begun on this host
	Summary  string    `json:"summary"` // what was done here: "2 created, 1 restarted"
	// Why is the first line of what went wrong; empty where nothing did.
	Why string `json:"why,omitempty"`
	// At is the step that was begun, and of whose end nothing tells: the apply
	// was cut off in it.
	At *StepTaken `json:"at,omitempty"`
	// Others are the other hosts of the apply, as relayctl saw them: on the
	// proxy host only, for those that can't tell themselves.
	Others []Part `json:"others,omitempty"`
}

// Part is another host's part in an apply.
type Part struct {
	Host    string    `json:"host"`
	State   PastState `json:"state"` // done or failed
	Steps   int       `json:"steps"` // how many were done
	Summary string    `json:"summary"`
	Why     string    `json:"why,omitempty"`
}

// PastState is how an apply ended on a host.
type PastState string

// The states. An apply that was cut off never ended itself: relayctl or
// relay-host was killed, or the host lost power. One that runs is only told,
// never written down.
const (
	PastDone    PastState = "done"
	PastFailed  PastState = "failed"
	PastCutOff  PastState = "cut off"
	PastRunning PastState = "running"
)

// StepTaken is a step of an apply, from the journal that its host keeps.
type StepTaken struct {
	ID
	Step   int       `json:"step"` // from 1, through the whole apply
	Action Action    `json:"action"`
	Began  time.Time `json:"began"`
	Ended  time.Time `json:"ended,omitzero"`  // zero: nothing tells of its end
	Error  string    `json:"error,omitempty"` // first line; empty: it was done, or never ended
}

// Done reports whether the step went well.
func (s StepTaken) Done() bool { return !s.Ended.IsZero() && s.Error == "" }

// Original is something of somebody else that an apply took over with --adopt.
type Original struct {
	ID
	TakenOver
	Kept string `json:"kept,omitempty"` // where a file's original is kept on the host
	// HiddenBy is the unit file of ours that hides a unit; empty: none does.
	HiddenBy string `json:"hidden_by,omitempty"`
}

// TakenOver is when something was taken over, and what it was.
type TakenOver struct {
	Number int       `json:"apply"`
	Time   time.Time `json:"time"`
	// Before is a unit's attributes as they were; a file's are those of the
	// original that is kept.
	Before map[string]string `json:"before,omitempty"`
}

// CountTaken counts the steps that were done.
func CountTaken(steps []StepTaken) Counts {
	var n Counts
	for _, step := range steps {
		if step.Done() {
			n.Add(step.Action)
		}
	}
	return n
}

// String says in a few words what was done; "nothing changed" for nothing.
func (c Counts) String() string {
	var parts []string
	for _, part := range []struct {
		n    int
		what string
	}{{c.Create, "created"}, {c.Update, "changed"}, {c.Remove, "removed"}, {c.Restart, "restarted"}, {c.Reload, "reloaded"}} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.what))
		}
	}
	if len(parts) == 0 {
		return "nothing changed"
	}
	return strings.Join(parts, ", ")
}
