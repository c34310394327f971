package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/relayctl/relayctl/internal/openai"
	"github.com/relayctl/relayctl/internal/protocol"
)

// maxRefusal bounds the body of an answer that turns a request away, in bytes.
const maxRefusal = 256 << 10

// turnedAway is an engine's answer by which it does not serve the request: not
// this one, or not now. Another worker's engine may; where there is none, the
// client gets this answer after all.
type turnedAway struct {
	head protocol.ResponseHead
	body []byte
}

func (t *turnedAway) Error() string {
	text := openai.ErrorText(t.body)
	if text == "" {
		text = http.StatusText(t.head.Status)
	}
	return fmt.Sprintf("the engine answered %d: %s", t.head.Status, text)
}

// turnsAway reports whether an answer of that status says nothing of the
// request but that this engine does not serve it: it loads, has no room, is
// broken or no engine, did not get it in time, does not have the model, or does
// not take the worker's key. What the request itself is refused for (400, 422,
// …) would be refused elsewhere too, and 501 is said of a feature.
func turnsAway(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired,
		http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented:
		return false
	}
	return status >= 500
}

// takeRefusal reads the rest of an answer that turns the request away, and
// returns it as a *turnedAway.
func (a *answer) takeRefusal(ctx context.Context, head protocol.ResponseHead) error {
	t := &turnedAway{head: head}
	for {
		chunk, err := a.stream.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return t
		case err != nil:
			return err
		case len(t.body)+len(chunk) > maxRefusal:
			return &protocol.ResetError{Code: protocol.ResetEngine, Text: fmt.Sprintf("answered %d and did not come to an end", head.Status)}
		}
		t.body = append(t.body, chunk...)
	}
}

// judge makes a verdict of t. What an engine says of the worker's key is none of
// the client's business, who would take it for a word on its own.
func (t *turnedAway) judge() verdict {
	v := verdict{elsewhere: true, untouched: true}
	switch t.head.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		v.told = serverError(http.StatusBadGateway, "engine_key_refused", "the model's engine does not take the key that its worker has for it")
		return v.blame(t.Error())
	case http.StatusInternalServerError, http.StatusRequestTimeout, http.StatusGatewayTimeout:
		v.untouched = false
	}
	code := "engine_unavailable"
	if t.head.Status == http.StatusNotFound {
		code = "engine_lacks_model"
	}
	v.engine = &EngineFailure{At: time.Now(), Code: code, Text: t.Error()}
	return v
}

// refusedRetry is when to come back after a refusal that does not say so.
const refusedRetry = 5 * time.Second

// passOn gives the client an engine's refusal as it is, with a time to come
// back.
func (t *turnedAway) passOn(rq *request, w http.ResponseWriter) {
	h := w.Header()
	addFields(h, protocol.ResponseHeader(t.head.Header))
	h.Set("Content-Length", strconv.Itoa(len(t.body)))
	if retry := t.head.Status == http.StatusServiceUnavailable || t.head.Status == http.StatusTooManyRequests; retry && h.Get("Retry-After") == "" {
		h.Set("Retry-After", strconv.Itoa(int(refusedRetry/time.Second)))
	}
	rq.outcome, rq.status = answered, t.head.Status
	w.WriteHeader(t.head.Status)
	n, _ := w.Write(t.body) // a client that left needs no answer
	rq.bytesOut = int64(n)
}
