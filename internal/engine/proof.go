package engine

import "time"

// Proof is what every model of the stack answered when asked for one token.
type Proof struct {
	URL    string       // that clients use
	Models []ModelProof // by name; empty: nobody was asked
}

// OK reports whether models were asked and all of them answered.
func (p Proof) OK() bool {
	for _, model := range p.Models {
		if model.Err != nil {
			return false
		}
	}
	return len(p.Models) > 0
}

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

	cause error
}

func (e *NoToken) Error() string { return e.Model + ": " + e.Summary }

// Is makes errors.Is(err, ErrNoToken) true.
func (e *NoToken) Is(target error) bool { return target == ErrNoToken }

// Unwrap returns the cause.
func (e *NoToken) Unwrap() error { return e.cause }

// Route is the way on which the proof reached the relay. Another one than
// RouteDomain is worth a warning.
type Route string

// The routes, in the order in which they are tried.
const (
	RouteDomain  Route = "domain"  // as clients go: the domain as DNS gives it
	RouteAddress Route = "address" // the proxy's address, with the domain as server name
	RouteHost    Route = "host"    // from the proxy host to itself
)
