package engine

import "time"

// Outcome is how an apply ended.
type Outcome struct {
	Hosts  []HostOutcome // in the order of the plan
	Keys   []string      // keys that were made and delivered, to be shown now
	Proof  Proof
	Took   time.Duration
	Failed HostErrors // all that went wrong on hosts, those that could not be reached included
}

// HostOutcome is how an apply ended on one host.
type HostOutcome struct {
	Name                      string
	Created, Changed, Removed int    // done
	Steps                     int    // planned, restarts and reloads included
	Done                      int    // of Steps
	Skipped                   string // why its steps were not begun: "edge failed"; empty: they were
	OK                        bool
}
