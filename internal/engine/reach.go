package engine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"

	"github.com/relayctl/relayctl/internal/openai"
	"github.com/relayctl/relayctl/internal/plan"
)

// relayID is the X-Request-Id of a relay's answers.
var relayID = regexp.MustCompile(`^req_[0-9a-f]{24}$`)

// strangerError is an answer that is not the relay's.
type strangerError struct {
	said string // "200, Server: nginx"
}

func (e *strangerError) Error() string { return "something else answers there: " + e.said }

var errOtherRelay = errors.New("the relay that answers there does not know this stack's probe key")

// reach reports why a way does not lead to the stack's relay. Only that one
// knows the probe key; it lists no models for it, which costs nothing.
func reach(ctx context.Context, w way) error {
	ctx, cancel := context.WithTimeoutCause(ctx, reachTime, fmt.Errorf("no answer within %s", plan.Seconds(reachTime)))
	defer cancel()
	said, err := w.send(ctx, http.MethodGet, "/v1/models", nil)
	if err != nil {
		return causeOf(ctx, err)
	}
	defer said.body.Close()
	ours := relayID.MatchString(said.header("X-Request-Id"))
	switch said.status {
	case http.StatusUnauthorized:
		if ours {
			return errOtherRelay
		}
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		if !ours { // of a proxy with nothing behind it
			return refused(said)
		}
	}
	if ours {
		return nil
	}
	return stranger(said)
}

// stranger tells who answered instead of the relay.
func stranger(said *answer) *strangerError {
	status := strconv.Itoa(said.status)
	for _, name := range []string{"Server", "Location", "Content-Type"} {
		if value := openai.FirstLine(said.header(name)); value != "" {
			return &strangerError{fmt.Sprintf("%s, %s: %s", status, name, value)}
		}
	}
	return &strangerError{status}
}
