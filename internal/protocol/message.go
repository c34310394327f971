package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Versions is a range of protocol versions, both ends included.
type Versions struct {
	Min int `json:"min"`
	Max int `json:"max"`
}

// Offer is one model that a worker serves.
type Offer struct {
	Name        string `json:"name"`
	Concurrency int    `json:"concurrency"` // requests it takes at once, 1 to MaxConcurrency
	Kind        string `json:"kind"`        // "chat"
}

// MaxConcurrency and MaxOffers bound what one worker may announce.
const (
	MaxConcurrency = 4096
	MaxOffers      = 256
)

var (
	modelPattern  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$`)
	workerPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
)

// ValidModel reports whether name can be a model's.
func ValidModel(name string) bool {
	return modelPattern.MatchString(name) && !strings.Contains(name, "..")
}

// ValidWorker reports whether name can be a worker's.
func ValidWorker(name string) bool { return workerPattern.MatchString(name) }

// WorkerHello is a worker's first frame.
type WorkerHello struct {
	Protocol Versions `json:"protocol"`
	Program  string   `json:"program"`  // name and version, for people
	Name     string   `json:"name"`     // the worker's name in the stack
	Instance string   `json:"instance"` // random, one per process: tells a second connection of the same worker from another worker under its name
	Window   int      `json:"window"`   // bytes it takes per stream before it returns credit
	Models   []Offer  `json:"models"`
}

// RelayHello answers it.
type RelayHello struct {
	Protocol Versions `json:"protocol"`
	Use      int      `json:"use"` // the version chosen
	Program  string   `json:"program"`
	Window   int      `json:"window"`
	Notes    []string `json:"notes,omitempty"` // for the worker's log: what of its offer was not taken
}

// Field is one header field.
type Field [2]string

// RequestHead is the payload of OPEN.
type RequestHead struct {
	ID     string  `json:"id"` // the relay's request id, for both logs
	Model  string  `json:"model"`
	Method string  `json:"method"`
	Target string  `json:"target"` // path and query exactly as the client sent them
	Header []Field `json:"header,omitempty"`
	Length int64   `json:"length"` // bytes of body that follow
}

// ResponseHead is the payload of HEAD.
type ResponseHead struct {
	Status int     `json:"status"`
	Header []Field `json:"header,omitempty"`
}

// ResetCode says why a stream was given up.
type ResetCode string

// The codes of RESET. The first four are sent by workers.
const (
	ResetUnreachable ResetCode = "engine_unreachable" // no connection to the engine; it saw nothing of the request
	ResetEngine      ResetCode = "engine_failed"      // the engine broke off or answered what can't be passed on
	ResetRefused     ResetCode = "refused"            // the worker does not take this request; the engine saw nothing of it
	ResetTooLarge    ResetCode = "too_large"
	ResetCancelled   ResetCode = "cancelled" // the client is gone
	ResetTimeout     ResetCode = "timeout"
)

// ResetError is the end of a stream by RESET, from either side.
type ResetError struct {
	Code   ResetCode `json:"code"`
	Text   string    `json:"text,omitempty"`   // for the client: names no address
	Detail string    `json:"detail,omitempty"` // for who runs the stack: where and why
}

func (e *ResetError) Error() string {
	if e.Detail != "" {
		return string(e.Code) + ": " + e.Detail
	}
	return "stream reset: " + string(e.Code) + ": " + e.Text
}

// cut bounds texts that came from elsewhere.
func (e *ResetError) cut() { e.Text, e.Detail = cut(e.Text), cut(e.Detail) }

// CloseCode says why a connection was ended on purpose.
type CloseCode string

// The codes of CLOSE.
const (
	CloseVersion  CloseCode = "version"  // no protocol version in common
	CloseName     CloseCode = "name"     // the secret belongs to another worker
	CloseReplaced CloseCode = "replaced" // a newer connection took this worker's name
	CloseRevoked  CloseCode = "revoked"  // the secret is no longer good
	CloseDrained  CloseCode = "drained"  // after DRAIN, the last stream has ended
	CloseShutdown CloseCode = "shutdown" // the sender stops
	CloseProtocol CloseCode = "protocol" // the peer broke a rule of this protocol
)

// CloseError is the end of a connection by CLOSE.
type CloseError struct {
	Code CloseCode `json:"code"`
	Text string    `json:"text,omitempty"`
	Sent bool      `json:"-"` // by this end, not by the peer
}

func (e *CloseError) Error() string { return "connection closed: " + string(e.Code) + ": " + e.Text }

// ComeBack says what becomes of a worker's connection after DRAIN.
type ComeBack string

// The values of Drain.ComeBack.
const (
	// AtOnce, from the relay: open a second connection now. Once it stands the
	// first gets no new streams, and the relay closes it when the last has ended.
	AtOnce ComeBack = "at_once"
	// AfterClose, from the relay: no new streams until further notice; the
	// connection is about to be closed by something in between. Come back then.
	AfterClose ComeBack = "after_close"
	// Never, from the worker: no new streams please; the relay closes the
	// connection when the last has ended.
	Never ComeBack = "never"
)

// Drain is the payload of DRAIN.
type Drain struct {
	ComeBack ComeBack `json:"come_back"`
	WithinMS int      `json:"within_ms,omitempty"` // spread the return over this many milliseconds
}

// ErrTooLarge is returned for a message that does not fit into one frame.
var ErrTooLarge = errors.New("message does not fit into a frame")

// encode makes a frame of v in JSON.
func encode(t Type, stream uint32, v any) ([]byte, error) {
	frame, err := appendJSON(make([]byte, HeaderSize), v)
	if err != nil {
		return nil, err
	}
	return seal(frame, t, stream)
}

// appendJSON appends v without HTML escapes.
func appendJSON(dst []byte, v any) ([]byte, error) {
	buf := bytes.NewBuffer(dst)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), err
}

// encodeText is encode for texts of bounded length, which always encode.
func encodeText(t Type, stream uint32, v any) []byte {
	frame, err := encode(t, stream, v)
	if err != nil {
		panic(fmt.Sprintf("encode frame of type %d: %v", t, err))
	}
	return frame
}

// seal fills in the header of frame, whose payload stands.
func seal(frame []byte, t Type, stream uint32) ([]byte, error) {
	if len(frame)-HeaderSize > MaxPayload {
		return nil, ErrTooLarge
	}
	appendHeader(frame[:0], t, 0, stream, len(frame)-HeaderSize)
	return frame, nil
}

// cut bounds text that came from elsewhere.
func cut(text string) string { return text[:min(len(text), 512)] }

func decode(f Frame, v any) error {
	if err := json.Unmarshal(f.Payload, v); err != nil {
		return fmt.Errorf("%w: type %d: %v", ErrFrame, f.Type, err)
	}
	return nil
}
