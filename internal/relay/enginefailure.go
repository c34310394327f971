package relay

import (
	"errors"
	"time"

	"github.com/relayctl/relayctl/internal/protocol"
)

// EngineFailure is how an engine failed a request, for who runs the stack.
type EngineFailure struct {
	At   time.Time `json:"at"`
	Code string    `json:"code"` // one of the codes that clients are told
	Text string    `json:"text"` // where and why, as the worker has it
}

// tell takes note of how the slot's engine served a request: err is what came
// of it. What is not the engine's doing says nothing about it.
func (sl *slot) tell(err error) {
	if err == nil {
		if sl.failed.Load() != nil { // which is rare
			sl.failed.Store(nil)
		}
	} else if failed := engineFailure(err); failed != nil {
		sl.failed.Store(failed)
	}
}

func engineFailure(err error) *EngineFailure {
	failed := &EngineFailure{At: time.Now()}
	var away *turnedAway
	var reset *protocol.ResetError
	switch {
	case errors.As(err, &away):
		failed.Code, failed.Text = away.code(), away.Error()
	case errors.As(err, &reset) && (reset.Code == protocol.ResetUnreachable || reset.Code == protocol.ResetEngine):
		failed.Code, failed.Text = failure(err).Code, reset.Detail
		if reset.Detail == "" {
			failed.Text = reset.Text
		}
	case errors.Is(err, errFirstByte), errors.Is(err, errIdle):
		failed.Code, failed.Text = failure(err).Code, err.Error()
	default:
		return nil
	}
	return failed
}
