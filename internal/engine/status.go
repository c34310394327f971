package engine

import "time"

// Status is how a stack is.
type Status struct {
	Stack    string
	URL      string
	Problems []Problem // the worst first; empty: all well
	Hosts    []HostStatus
	Models   []ModelStatus // by name

	Applied  time.Time // last apply on the proxy host; zero: never
	Operator string    // who applied then: user@machine
}

// Problem is something that needs attention, with what to do about it.
type Problem struct {
	Host    string // empty: the stack as a whole
	Summary string // one line, without the host's name
	Log     []string
	// Command is the next thing to type, such as "relayctl apply"; Why is what
	// it does. Both may be empty.
	Command string
	Why     string
}

// HostStatus is how one host is.
type HostStatus struct {
	Name  string
	Role  string
	Up    bool         // reachable
	Units []UnitStatus // that relayctl manages there
	// Drift is how many things an apply would change.
	Drift int
}

// UnitStatus is how one unit is.
type UnitStatus struct {
	Name    string // without .service
	Version string // that is installed; empty where it is not known
	Wanted  string // another version that it should have; empty: it has it
	Active  bool
	Detail  string // one line of systemd's or of the service itself
}

// ModelStatus is how one model is.
type ModelStatus struct {
	Model            string
	Workers          int  // connected that serve it
	Expected         int  // that should
	Running, Waiting int  // requests
	Known            bool // the relay could be asked: the four figures mean something
	Proof            ModelProof
}
