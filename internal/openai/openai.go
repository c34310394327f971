// Package openai holds the few shapes of the OpenAI API that are touched on
// the way: the request's envelope, error bodies and event streams. All else
// passes byte for byte.
package openai

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// Error is an error body in the shape that OpenAI's clients know, and how it
// travels.
type Error struct {
	Status     int           // HTTP status
	Type       string        // the family, one of the Type constants
	Code       string        // what a program decides by
	Param      string        // the request's member at fault, if one is
	Message    string        // for people
	RetryAfter time.Duration // when to try again, 0 to say nothing; sent in whole seconds, rounded up
}

// The families of errors.
const (
	TypeInvalidRequest = "invalid_request_error"
	TypePermission     = "permission_error"
	TypeServer         = "server_error"
)

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Body is the JSON body of e.
func (e *Error) Body() []byte {
	var body struct {
		Error struct {
			Message string `json:"message"`
			Type    string `json:"type"`
			Param   any    `json:"param"`
			Code    any    `json:"code"`
		} `json:"error"`
	}
	body.Error.Message, body.Error.Type = e.Message, e.Type
	if e.Param != "" {
		body.Error.Param = e.Param
	}
	if e.Code != "" {
		body.Error.Code = e.Code
	}
	data, err := json.Marshal(body)
	if err != nil {
		panic(err) // strings always encode
	}
	return data
}

// Write answers a request with e.
func (e *Error) Write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	if e.RetryAfter > 0 {
		seconds := (e.RetryAfter + time.Second - 1) / time.Second
		h.Set("Retry-After", strconv.Itoa(int(seconds)))
	}
	body := append(e.Body(), '\n')
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(e.Status)
	w.Write(body)
}

// Event is e as an event in a stream that has begun: the one form of error
// that clients see there.
func (e *Error) Event() []byte {
	event := append([]byte("data: "), e.Body()...)
	return append(event, '\n', '\n')
}
