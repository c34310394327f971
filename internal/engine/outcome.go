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

// Proof is what every model of the stack answered when asked for one token.
type Proof struct {
	URL    string       // that clients use
	Models []ModelProof // by name; empty: nobody was asked
}

// OK reports whether models were asked and all of them answered.
func (p Proof) OK() bool { return false }

// ModelProof is one model's answer.
type ModelProof struct {
	Model      string
	Route      Route
	FirstToken time.Duration
	// Detours say why the routes before Route did not work.
	Detours []string
	// Err says why no token came, by any route; nil: it came.
	Err *NoToken
}

// NoToken is why a model gave no token. It is ErrNoToken.
type NoToken struct {
	Model   string
	Summary string   // one line: "the relay says 503: no worker serves llama3-8b"
	Log     []string // what relay and workers say about it
	Hint    string
}

func (e *NoToken) Error() string { return e.Model + ": " + e.Summary }

// Is makes errors.Is(err, ErrNoToken) true.
func (e *NoToken) Is(target error) bool { return target == ErrNoToken }

// Route is the way on which the proof reached the relay. Another one than
// RouteDomain is worth a warning.
type Route string

// The routes, in the order in which they are tried.
const (
	RouteDomain  Route = "domain"  // as clients go: the domain as DNS gives it
	RouteAddress Route = "address" // the proxy's address, with the domain as server name
	RouteHost    Route = "host"    // from the proxy host to itself
)
