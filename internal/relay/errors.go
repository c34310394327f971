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

// The errors a client can get. Causes inside the relay are logged, never sent.

func stoppingError() *openai.Error {
	return busyError("relay_stopping", "the relay is restarting, try again in a moment", 2*time.Second)
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

func keyError(reason error) *openai.Error {
	text := map[error]string{
		errNoKey:      "no API key: send it as Authorization: Bearer KEY, or as x-api-key",
		errWrongKey:   "this API key is not good here",
		errExpiredKey: "this API key has expired",
	}[reason]
	return invalidError(http.StatusUnauthorized, "invalid_api_key", "", text)
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

// failure is the error for a request that got no answer because of err.
func failure(err error) *openai.Error {
	var reset *protocol.ResetError
	var own *openai.Error
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(err, errNoWorker), errors.Is(err, errUnknownModel): // unknown since it was admitted: just taken out of the stack
		return busyError("no_worker", "no worker serves this model now", 5*time.Second)
	case errors.Is(err, errQueueFull):
		return busyError("queue_full", "too many requests wait for this model", 5*time.Second)
	case errors.Is(err, errQueueTimeout):
		return busyError("queue_timeout", "every worker of this model is busy", 5*time.Second)
	case errors.Is(err, errStopping):
		return stoppingError()
	case errors.Is(err, errFirstByte):
		return serverError(http.StatusGatewayTimeout, "first_byte_timeout", "the model did not begin to answer in time")
	case errors.Is(err, errIdle):
		return serverError(http.StatusGatewayTimeout, "idle_timeout", "the model stopped answering")
	case errors.Is(err, errRequestTimeout):
		return serverError(http.StatusGatewayTimeout, "request_timeout", "the answer took longer than this relay allows")
	case errors.Is(err, protocol.ErrTooLarge):
		return invalidError(http.StatusRequestHeaderFieldsTooLarge, "headers_too_large", "", "the request's headers are too large")
	case errors.As(err, &reset):
		return resetFailure(reset)
	case errors.Is(err, protocol.ErrCongested):
		return busyError("worker_busy", "the worker does not keep up", 2*time.Second)
	}
	return serverError(http.StatusBadGateway, "worker_lost", "the connection to the worker was lost")
}

func resetFailure(reset *protocol.ResetError) *openai.Error {
	switch reset.Code {
	case protocol.ResetUnreachable:
		return busyError("engine_unreachable", cmp.Or(reset.Text, "the model's engine can't be reached, it may be starting"), 5*time.Second)
	case protocol.ResetRefused:
		return busyError("worker_refused", "the worker takes no requests now", 2*time.Second)
	case protocol.ResetTooLarge:
		return invalidError(http.StatusRequestEntityTooLarge, "request_too_large", "", "the request's body is larger than the worker takes")
	}
	return serverError(http.StatusBadGateway, "engine_failed", cmp.Or(reset.Text, "the model's engine broke off"))
}

// mayGoElsewhere reports whether a request that failed with err before its
// first byte was delivered may be given to another worker.
func mayGoElsewhere(err error) bool {
	var reset *protocol.ResetError
	var away *turnedAway
	switch {
	case errors.As(err, &away):
		return true
	case errors.As(err, &reset):
		return reset.Code == protocol.ResetUnreachable || reset.Code == protocol.ResetRefused || reset.Code == protocol.ResetEngine
	}
	return errors.Is(err, protocol.ErrLost) || errors.Is(err, protocol.ErrCongested)
}

// sawNothing reports whether no engine has worked on a request that failed with
// err.
func sawNothing(err error) bool {
	var reset *protocol.ResetError
	var away *turnedAway
	switch {
	case errors.As(err, &away):
		switch away.head.Status {
		case http.StatusInternalServerError, http.StatusRequestTimeout, http.StatusGatewayTimeout:
			return false
		}
		return true
	case errors.As(err, &reset):
		return reset.Code == protocol.ResetUnreachable || reset.Code == protocol.ResetRefused
	}
	return errors.Is(err, protocol.ErrCongested)
}

// cancelledBy reports whether a client left, rather than the relay ended its
// request.
func cancelledBy(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, errClientGone)
}
