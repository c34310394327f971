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
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Done    int    `json:"done"`  // of Steps
	Steps   int    `json:"steps"` // planned, restarts and reloads included
	Created int    `json:"created"`
	Changed int    `json:"changed"`
	Removed int    `json:"removed"`
	Skipped string `json:"skipped,omitempty"` // why its steps were not begun: "edge failed"; empty: they were
}
