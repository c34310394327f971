// Package hostapi is what relayctl and relay-host say to each other: the
// messages, and the codec that carries them over one byte stream.
//
// relay-host speaks first, with a greeting. Then relayctl sends requests, a
// JSON object a line, and relay-host answers each with any number of progress
// lines and one result line under the request's number. Requests are done one
// after the other, in the order in which they came, but for ping and cancel,
// which are answered at once.
package hostapi

import (
	"encoding/json"
	"time"

	"github.com/relayctl/relayctl/internal/plan"
)

// Op names an operation.
type Op string

// The operations, each with its parameters and its result.
const (
	OpPing    Op = "ping"    // nothing -> nothing
	OpCancel  Op = "cancel"  // Cancel -> nothing; the request ends with CodeCancelled after the step it is in
	OpObserve Op = "observe" // Observe -> Observation; changes nothing
	OpLock    Op = "lock"    // Lock -> Locked; held until unlock or the end of the conversation
	OpUnlock  Op = "unlock"  // nothing -> nothing
	OpPut     Op = "put"     // Put and its bytes -> nothing; only under the lock
	OpApply   Op = "apply"   // Apply -> AppliedSteps; only under the lock
	OpFinish  Op = "finish"  // Finish -> nothing; only under the lock
	OpAsk     Op = "ask"     // Ask -> Answer
	OpLog     Op = "log"     // UnitLog -> LogLines
	OpReveal  Op = "reveal"  // Reveal -> Revealed; the probe key, nothing else
	OpHistory Op = "history" // History -> HistoryTold; changes nothing
	OpFormer  Op = "former"  // Former -> FormerTold; changes nothing
)

// Request is one line from relayctl.
type Request struct {
	ID     uint64          `json:"id"` // from 1, rising
	Op     Op              `json:"op"`
	Params json.RawMessage `json:"params,omitempty"`
}

// Response is one line from relay-host. Exactly one of Progress, Result and
// Error is set; the latter two end the request.
type Response struct {
	ID       uint64          `json:"id"`
	Progress *Progress       `json:"progress,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	Error    *Error          `json:"error,omitempty"`
}

// TellEvery is how often at least there is progress while a request waits for
// something.
const TellEvery = 5 * time.Second

// Progress tells what a long request is doing.
type Progress struct {
	Step  int   `json:"step"`  // index into Apply.Steps
	State State `json:"state"` // of that step
	// What goes on: "installing", "waiting for apt (pid 812)". Once Done, how the
	// step ended, where not as its action says.
	What   string        `json:"what,omitempty"`
	By     string        `json:"by,omitempty"`    // what does it: "apt"
	Took   time.Duration `json:"took,omitempty"`  // nanoseconds since What began; once Done, of the step
	Amount plan.Amount   `json:"amount,omitzero"` // how far What is, where that is known
	Line   string        `json:"line,omitempty"`  // that By printed last
}

// State is how far a step is.
type State string

// The states of a step.
const (
	Started State = "started"
	Waiting State = "waiting"
	Done    State = "done"
)

// Hello is the greeting.
type Hello struct {
	Protocol int          `json:"protocol"` // ProtocolVersion
	Version  string       `json:"version"`  // of relay-host
	Digest   string       `json:"digest"`   // plan.Digest of relay-host's own program
	UID      int          `json:"uid"`
	Machine  plan.Machine `json:"machine"`
}

// ProtocolVersion changes when a message changes its meaning.
const ProtocolVersion = 1

// Cancel names the request to be given up.
type Cancel struct {
	ID uint64 `json:"id"`
}

// Observe asks how things are. Beside Resources, everything in the host's
// manifest is looked at.
type Observe struct {
	Resources []plan.Resource `json:"resources"`
}

// Observation is the answer to Observe. MACKey makes the digests of secret
// content comparable: 32 bytes, made by this host; on a host where relayctl
// was never applied it is made for the conversation, and kept by the first
// apply.
type Observation struct {
	Facts  plan.Facts  `json:"facts"`
	MACKey []byte      `json:"mac_key"`
	Holder *LockHolder `json:"holder,omitempty"` // who holds the lock just now
	// CutOff is whose work here ended in the middle; the next lock clears what
	// it left.
	CutOff *LockHolder `json:"cut_off,omitempty"`
	// CutOffAt is the step that was begun then, and of whose end nothing tells;
	// nil: it ended between two steps.
	CutOffAt *plan.StepTaken `json:"cut_off_at,omitempty"`
}

// Lock takes the host's one lock, waiting for at most Wait.
type Lock struct {
	Holder  LockHolder    `json:"holder"`
	Wait    time.Duration `json:"wait"`              // nanoseconds
	Stack   string        `json:"stack"`             // refused with CodeOtherStack when the manifest names another
	Version string        `json:"version,omitempty"` // of relayctl
	// Number is the least that this apply may have, so that it has the same on
	// all hosts.
	Number int `json:"apply,omitempty"`
	// Reached are the other hosts that are about to be worked on: the proxy
	// host remembers them before anything is done to them.
	Reached []plan.Member `json:"reached,omitempty"`
}

// LockHolder is who holds a host's lock.
type LockHolder struct {
	Operator string    `json:"operator"` // user@machine
	PID      int       `json:"pid"`      // of relay-host on this host
	Command  string    `json:"command"`  // apply, rotate-secret
	Since    time.Time `json:"since"`
	Run      string    `json:"run,omitempty"` // the same on all hosts of one apply
}

// Locked is the answer to Lock.
type Locked struct {
	Number int `json:"apply"` // number of the apply that begins
	Last   int `json:"last"`  // number in the manifest; 0: there is none
}

// Put carries a piece of a blob: its line is followed by Size raw bytes. The
// last piece completes the blob, which is checked against its digest.
type Put struct {
	Blob     string   `json:"blob"`   // plan.Digest of the whole plain blob, or its MACPrefix form
	Size     int      `json:"size"`   // of this piece, at most MaxPiece
	Offset   int64    `json:"offset"` // of this piece in what is sent
	Last     bool     `json:"last,omitempty"`
	Encoding Encoding `json:"encoding,omitempty"` // of the whole blob on its way
	// Room is how many bytes the whole blob takes on the host, packed and
	// unpacked together.
	Room int64 `json:"room,omitempty"`
}

// MaxPiece is the longest piece of a blob, in bytes: short enough that a ping
// gets through on a slow line.
const MaxPiece = 256 << 10

// Encoding is how a blob travels.
type Encoding string

// Gzip is the one encoding; the zero Encoding is plain bytes.
const Gzip Encoding = "gzip"

// Apply brings steps about, in order, and stops at the first that fails.
type Apply struct {
	Steps []plan.Change `json:"steps"`
}

// AppliedSteps is the answer to Apply: how the changed things are now, one
// fact per step that was done.
type AppliedSteps struct {
	Facts []plan.Fact `json:"facts"`
}

// Finish ends an apply: the manifest and the history take it down.
type Finish struct {
	Version  string        `json:"version"` // of relayctl
	Operator string        `json:"operator"`
	Stack    string        `json:"stack"`
	OK       bool          `json:"ok"`
	Summary  string        `json:"summary,omitempty"` // what was done; empty: how many steps of which kind
	Why      string        `json:"why,omitempty"`     // what went wrong; its first line is taken down
	Hosts    []plan.Member `json:"hosts,omitzero"`    // the proxy host keeps them; nil: as they are
	// Others are the parts of the other hosts; the proxy host takes them down,
	// with the first line of what went wrong.
	Others []plan.Part `json:"others,omitempty"`
	// Shown lists the keys that their owner has been shown.
	Shown []string `json:"shown,omitempty"`
	// Forget says that this host leaves the stack: nothing of ours stays but
	// what was found.
	Forget bool `json:"forget,omitempty"`
	// KeepTrust leaves on a host that is forgotten what clients trust and are
	// known by: the CA and the hashes of keys.
	KeepTrust bool `json:"keep_trust,omitempty"`
}

// Ask makes relay-host send an HTTP request to this machine. Only loopback
// addresses and local sockets are asked.
type Ask struct {
	Socket  string            `json:"socket,omitempty"` // path of a local socket
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Host    string            `json:"host,omitempty"` // also the TLS server name
	Header  map[string]string `json:"header,omitempty"`
	Probe   bool              `json:"probe,omitempty"`   // send the probe key as Authorization
	RootCA  string            `json:"root_ca,omitempty"` // PEM; trust this and nothing wider
	Body    []byte            `json:"body,omitempty"`
	Timeout time.Duration     `json:"timeout"` // nanoseconds, for the whole exchange; at most MaxAskTime
}

// MaxAskTime is the longest that one Ask may take.
const MaxAskTime = 10 * time.Minute

// Answer is the answer to Ask. Body holds at most MaxAnswer bytes.
type Answer struct {
	Status    int               `json:"status"`
	Header    map[string]string `json:"header,omitempty"`
	Body      []byte            `json:"body,omitempty"`
	FirstByte time.Duration     `json:"first_byte"` // nanoseconds from sending to the first byte of the body
}

// MaxAnswer is the longest body of an Answer, in bytes.
const MaxAnswer = 1 << 20

// UnitLog asks for the last lines of a unit's log.
type UnitLog struct {
	Unit  string `json:"unit"`
	Lines int    `json:"lines"` // at most 200
}

// LogLines is the answer to UnitLog.
type LogLines struct {
	Lines []string `json:"lines"`
}

// Reveal asks for the probe key, so that relayctl can ask for a token itself.
type Reveal struct{}

// Revealed is the answer to Reveal.
type Revealed struct {
	Key string `json:"key"`
}

// History asks for what the host remembers of the applies of a stack.
type History struct {
	Stack string `json:"stack"`
	Last  int    `json:"last"` // how many applies, the newest; at most MaxPast
	// Steps is the number of the apply whose steps are told, too; 0: none.
	Steps int `json:"steps,omitempty"`
}

// MaxPast is how many applies one answer tells.
const MaxPast = 1000

// HistoryTold is the answer to History.
type HistoryTold struct {
	Applies   []plan.Past     `json:"applies"`        // oldest first
	More      bool            `json:"more,omitempty"` // there are older ones
	Originals []plan.Original `json:"originals,omitempty"`
	// Steps are those asked for; nil: no journal of them is kept.
	Steps []plan.StepTaken `json:"steps,omitzero"`
}

// Former asks how things were after an apply that later ones changed.
type Former struct {
	To int `json:"to"` // number of the apply; 0: before the first
}

// FormerTold is the answer to Former.
type FormerTold struct {
	Formers []plan.Former `json:"formers"`
	// Oldest is the number of the oldest apply that the host can go back to.
	Oldest int `json:"oldest"`
	// Last is the number of the last apply that changed anything here; 0: none.
	Last int `json:"last"`
}
