package cli

import (
	"time"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

// schemaVersion is that of everything that --json prints; docs/json.md says
// what its numbers promise, docs/relayctl.schema.json holds its fields.
const schemaVersion = "1.1"

// The types of documents: the first four end what a command prints.
const (
	typePlan     = "plan"
	typeStatus   = "status"
	typeValidate = "validate"
	typeResult   = "result" // of an apply

	typePlanned    = "planned"
	typeProgress   = "progress"
	typeStepDone   = "step_done"
	typeHostDone   = "host_done"
	typeHostFailed = "host_failed"
	typeHostKey    = "host_key"
	typeOutcome    = "outcome"
	typeProof      = "proof"
)

// jsonHead begins every document.
type jsonHead struct {
	Schema string `json:"schema"`
	Type   string `json:"type"`
}

// jsonEnd is how a command ended: the part that all last documents have.
type jsonEnd struct {
	jsonHead
	Relayctl string `json:"relayctl"`
	File     string `json:"file"`
	Stack    string `json:"stack,omitempty"`
	OK       bool   `json:"ok"`
	ExitCode int    `json:"exit_code"`
}

// jsonPlan is what relayctl plan prints. Without a plan there are errors only.
type jsonPlan struct {
	jsonEnd
	*jsonPlanned
	Errors []jsonError `json:"errors"`
}

// jsonPlanned is a plan with what was seen beside it.
type jsonPlanned struct {
	TookSeconds float64 `json:"took_seconds"`
	jsonChanges
	NewKeys []string     `json:"new_keys"` // API keys that apply will make
	Notices []jsonNotice `json:"notices"`
}

// jsonNotice is something worth knowing that no change is about.
type jsonNotice struct {
	Code         string        `json:"code"`
	Host         string        `json:"host"` // empty: the machine that relayctl runs on
	Message      string        `json:"message"`
	Resource     *jsonResource `json:"resource,omitempty"`      // of the step in which an apply was cut off
	AheadSeconds float64       `json:"ahead_seconds,omitempty"` // of a clock that is off; below 0: behind
}

// jsonError is something that went wrong. Code is what programs go by.
type jsonError struct {
	Code     string        `json:"code"`
	Message  string        `json:"message"`
	Detail   string        `json:"detail,omitempty"`
	Host     string        `json:"host,omitempty"`
	Model    string        `json:"model,omitempty"`
	Resource *jsonResource `json:"resource,omitempty"`
	At       *jsonPlace    `json:"at,omitempty"`
	Log      []string      `json:"log"`
	Hint     string        `json:"hint,omitempty"`
	State    string        `json:"state,omitempty"` // what stands on the host now
}

// jsonPlace is a place in the stack file.
type jsonPlace struct {
	File      string `json:"file"`
	Line      int    `json:"line"`
	Column    int    `json:"column,omitempty"`
	EndLine   int    `json:"end_line,omitempty"`
	EndColumn int    `json:"end_column,omitempty"`
	Block     string `json:"block,omitempty"`
}

type jsonResource struct {
	Kind plan.Kind `json:"kind"`
	Name string    `json:"name"`
}

// jsonStatus is what relayctl status prints.
type jsonStatus struct {
	jsonEnd
	*jsonSeen
	Errors []jsonError `json:"errors"`
}

// jsonSeen is how a stack is.
type jsonSeen struct {
	URL      string            `json:"url"`
	Route    engine.Route      `json:"route,omitempty"` // to the relay; missing: it was not reached
	Detours  []string          `json:"detours"`
	Applied  *jsonApplied      `json:"applied"` // null: never
	Problems []jsonProblem     `json:"problems"`
	Hosts    []jsonHostStatus  `json:"hosts"`
	Models   []jsonModelStatus `json:"models"`

	NotCompared []jsonNotCompared `json:"not_compared"`
}

type jsonNotCompared struct {
	Host     string `json:"host"`
	Block    string `json:"block"`
	Argument string `json:"argument"`
}

type jsonApplied struct {
	Time     time.Time `json:"time"`
	Operator string    `json:"operator"`
}

// jsonProblem is something that needs attention. Code is what programs go by.
type jsonProblem struct {
	Code    string   `json:"code"`
	Host    string   `json:"host,omitempty"`
	Model   string   `json:"model,omitempty"`
	Message string   `json:"message"`
	Log     []string `json:"log"`
	Command string   `json:"command,omitempty"`
	Hint    string   `json:"hint,omitempty"`
}

type jsonHostStatus struct {
	Name   string     `json:"name"`
	Worker string     `json:"worker,omitempty"`
	Role   string     `json:"role"`
	Up     bool       `json:"up"`
	Drift  int        `json:"drift"`
	Units  []jsonUnit `json:"units"`
}

type jsonUnit struct {
	Name          string `json:"name"`
	Running       bool   `json:"running"`
	Version       string `json:"version,omitempty"`
	WantedVersion string `json:"wanted_version,omitempty"`
	Detail        string `json:"detail,omitempty"`
}

// jsonModelStatus is how one model is. The figures that only the relay knows
// are null where it could not be asked.
type jsonModelStatus struct {
	jsonModel
	Workers         *int `json:"workers"`
	ExpectedWorkers int  `json:"expected_workers"`
	Running         *int `json:"running"`
	Waiting         *int `json:"waiting"`
}

// jsonModel is what a model answered when asked for a token.
type jsonModel struct {
	Name              string       `json:"name"`
	OK                bool         `json:"ok"`
	FirstTokenSeconds float64      `json:"first_token_seconds,omitempty"`
	Route             engine.Route `json:"route,omitempty"`
	Detours           []string     `json:"detours"`
	Error             string       `json:"error,omitempty"`
}

// jsonValidate is what relayctl validate prints.
type jsonValidate struct {
	jsonEnd
	Errors []jsonError `json:"errors"`
}

// jsonLine begins every line of an apply but the last.
type jsonLine struct {
	jsonHead
	Time time.Time `json:"time"`
}

type jsonPlannedLine struct {
	jsonLine
	Stack string `json:"stack"`
	jsonPlanned
}

// jsonEvent is something that happens on a host.
type jsonEvent struct {
	jsonLine
	Host      string        `json:"host,omitempty"`
	Phase     engine.Phase  `json:"phase,omitempty"`
	Resource  *jsonResource `json:"resource,omitempty"`
	Action    plan.Action   `json:"action,omitempty"`
	Step      int           `json:"step"`
	Steps     int           `json:"steps"`
	SentBytes int64         `json:"sent_bytes,omitempty"`
	SizeBytes int64         `json:"size_bytes,omitempty"`
	Seconds   float64       `json:"seconds,omitempty"`
	Message   string        `json:"message"`
}

type jsonOutcomeLine struct {
	jsonLine
	Hosts []jsonHostOutcome `json:"hosts"`
}

type jsonHostOutcome struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Done    int    `json:"done"`
	Steps   int    `json:"steps"`
	Created int    `json:"created"`
	Changed int    `json:"changed"`
	Removed int    `json:"removed"`
	Skipped string `json:"skipped,omitempty"` // why its steps were not begun
}

type jsonProofLine struct {
	jsonLine
	URL     string       `json:"url"`
	Route   engine.Route `json:"route,omitempty"` // to the relay; missing: it was not reached
	Detours []string     `json:"detours"`
	Models  []jsonModel  `json:"models"`
}

// jsonResult ends what relayctl apply prints. An apply that stopped before it
// began has errors only.
type jsonResult struct {
	jsonEnd
	*jsonDone
	Errors []jsonError `json:"errors"`
}

type jsonDone struct {
	TookSeconds float64    `json:"took_seconds"`
	URL         string     `json:"url"`
	Created     int        `json:"created"`
	Changed     int        `json:"changed"`
	Removed     int        `json:"removed"`
	NewKeys     []jsonKeys `json:"new_keys"`
}

// jsonKeys says where a new API key is; the key itself is never printed.
type jsonKeys struct {
	Name string `json:"name"`
	File string `json:"file"`
}
