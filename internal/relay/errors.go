package relay

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/relayctl/relayctl/internal/openai"
	"github.com/relayctl/relayctl/internal/protocol"
)

// failure is why a request got no answer, for the log, with what its client is
// told. Causes inside the relay are logged, never sent.
type failure struct {
	reason string
	told   *openai.Error
}

func (f *failure) Error() string { return f.reason }

var (
	errNoKey      = &failure{"no API key in the request", keyError("no API key: send it as Authorization: Bearer KEY, or as x-api-key")}
	errWrongKey   = &failure{"wrong API key", keyError("this API key is not good here")}
	errExpiredKey = &failure{"expired API key", keyError("this API key has expired")}

	// The ways a request gets no slot. A model that is unknown now was admitted: it
	// has just been taken out of the stack.
	errUnknownModel = &failure{"unknown model", errNoWorker.told}
	errNoWorker     = &failure{"no worker serves the model now", busyError("no_worker", "no worker serves this model now", 5*time.Second)}
	errQueueFull    = &failure{"the model's queue is full", busyError("queue_full", "too many requests wait for this model", 5*time.Second)}
	errQueueTimeout = &failure{"no slot came free in time", busyError("queue_timeout", "every worker of this model is busy", 5*time.Second)}

	// Why a request's context ended, where it was not the client.
	errStopping       = &failure{"the relay stops", busyError("relay_stopping", "the relay is restarting, try again in a moment", 2*time.Second)}
	errFirstByte      = &failure{"no first byte in time", serverError(http.StatusGatewayTimeout, "first_byte_timeout", "the model did not begin to answer in time")}
	errIdle           = &failure{"no further byte in time", serverError(http.StatusGatewayTimeout, "idle_timeout", "the model stopped answering")}
	errRequestTimeout = &failure{"not finished in time", serverError(http.StatusGatewayTimeout, "request_timeout", "the answer took longer than this relay allows")}
)

// errClientGone is a client that no longer takes its answer.
var errClientGone = errors.New("the client is gone")

func keyError(text string) *openai.Error {
	return invalidError(http.StatusUnauthorized, "invalid_api_key", "", text)
}

func busyError(code, text string, retry time.Duration) *openai.Error {
	return &openai.Error{Status: http.StatusServiceUnavailable, Type: openai.TypeServer, Code: code, Message: text, RetryAfter: retry}
}

func serverError(status int, code, text string) *openai.Error {
	return &openai.Error{Status: status, Type: openai.TypeServer, Code: code, Message: text}
}

func invalidError(status int, code, param, text string) *openai.Error {
	return &openai.Error{Status: status, Type: openai.TypeInvalidRequest, Code: code, Param: param, Message: text}
}

func unknownModelError(model string) *openai.Error {
	text := "the model " + strconv.Quote(shortened(model)) + " does not exist, or this key may not use it"
	return invalidError(http.StatusNotFound, "model_not_found", "model", text)
}

func shortened(text string) string {
	if len(text) > 128 {
		return text[:128] + "…"
	}
	return text
}

// EngineFailure is how an engine failed a request, for who runs the stack.
type EngineFailure struct {
	At   time.Time `json:"at"`
	Code string    `json:"code"` // one of the codes that clients are told
	Text string    `json:"text"` // where and why, as the worker has it
}

// verdict is what a request's failure comes to.
type verdict struct {
	told      *openai.Error  // what the client is told
	elsewhere bool           // another worker may be asked, as long as nothing was delivered
	untouched bool           // no engine has worked on the request
	engine    *EngineFailure // nil where it is not the engine's doing
}

// blame has the engine's failure, with the code that the client is told, in v.
func (v verdict) blame(text string) verdict {
	v.engine = &EngineFailure{At: time.Now(), Code: v.told.Code, Text: text}
	return v
}

// judge makes a verdict of err.
func judge(err error) verdict {
	var own *openai.Error
	var failed *failure
	var away *turnedAway
	var reset *protocol.ResetError
	switch {
	case errors.As(err, &own):
		return verdict{told: own}
	case errors.As(err, &failed) && (failed == errFirstByte || failed == errIdle):
		return verdict{told: failed.told}.blame(failed.reason)
	case failed != nil:
		return verdict{told: failed.told}
	case errors.As(err, &away):
		return away.judge()
	case errors.As(err, &reset):
		return judgeReset(reset)
	case errors.Is(err, protocol.ErrTooLarge):
		return verdict{told: invalidError(http.StatusRequestHeaderFieldsTooLarge, "headers_too_large", "", "the request's headers are too large")}
	case errors.Is(err, protocol.ErrCongested):
		return verdict{told: busyError("worker_busy", "the worker does not keep up", 2*time.Second), elsewhere: true, untouched: true}
	}
	lost := serverError(http.StatusBadGateway, "worker_lost", "the connection to the worker was lost")
	return verdict{told: lost, elsewhere: errors.Is(err, protocol.ErrLost)}
}

// judgeReset is judge for what a worker says.
func judgeReset(reset *protocol.ResetError) verdict {
	said := cmp.Or(reset.Detail, reset.Text)
	switch reset.Code {
	case protocol.ResetUnreachable:
		told := busyError("engine_unreachable", cmp.Or(reset.Text, "the model's engine can't be reached, it may be starting"), 5*time.Second)
		return verdict{told: told, elsewhere: true, untouched: true}.blame(said)
	case protocol.ResetRefused:
		return verdict{told: busyError("worker_refused", "the worker takes no requests now", 2*time.Second), elsewhere: true, untouched: true}
	case protocol.ResetTooLarge:
		return verdict{told: invalidError(http.StatusRequestEntityTooLarge, "request_too_large", "", "the request's body is larger than the worker takes")}
	}
	told := serverError(http.StatusBadGateway, "engine_failed", cmp.Or(reset.Text, "the model's engine broke off"))
	if reset.Code != protocol.ResetEngine { // no worker's to say
		return verdict{told: told}
	}
	return verdict{told: told, elsewhere: true}.blame(said)
}

// cancelledBy reports whether a client left, rather than the relay ended its
// request.
func cancelledBy(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, errClientGone)
}
