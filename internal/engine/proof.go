package engine

import "time"

// Proof is whether the stack's own relay answers clients, and what every model
// answered when asked for one token.
type Proof struct {
	URL string // that clients use
	// Route led to the relay; empty: none did, or nobody looked.
	Route Route
	// Detours say why the routes before Route did not work.
	Detours []string
	// Err says why no route led to the relay; then every model has an error
	// with this cause.
	Err    *NoRelay
	Models []ModelProof // by name
}

// OK reports whether the relay was reached and all models answered.
func (p Proof) OK() bool {
	for _, model := range p.Models {
		if model.Err != nil {
			return false
		}
	}
	return p.Err == nil && p.Route != ""
}

// NoRelay is why the stack's relay was reached on no route. It is ErrNoRelay.
type NoRelay struct {
	Summary string   // one line: "llm.example.com is answered by something else: 200, Server: nginx"
	Log     []string // what each route led to
	Hint    string
}

func (e *NoRelay) Error() string { return e.Summary }

// Is makes errors.Is(err, ErrNoRelay) true.
func (e *NoRelay) Is(target error) bool { return target == ErrNoRelay }

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
