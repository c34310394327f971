package host

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/relayctl/relayctl/internal/hostapi"
)

// drainTimeout bounds the wait for the answers that run through a relay: a
// little longer than the relay itself waits for them.
const drainTimeout = 45 * time.Second

// drain has the relay tell its workers to come back after their connections
// were closed, and waits until running answers are done. A relay that is not
// there, or does not do it, is told of and does not stop the step: connections
// are lost then, which the workers stand.
func (u units) drain(ctx context.Context, b *batch, step step) {
	if step.resource.Unit == nil || step.resource.Unit.Drain == "" {
		return
	}
	if _, err := os.Stat(u.path(step.resource.Unit.Drain)); gone(err) {
		return // no relay runs, so nobody is connected to it
	}
	text := func(elapsed time.Duration) string {
		return fmt.Sprintf("running answers finish (%d s)", int(elapsed.Seconds()))
	}
	err := b.whileTelling(step.index, text, func() error {
		answer, err := u.Ask(ctx, hostapi.Ask{
			Socket: step.resource.Unit.Drain, Method: http.MethodPost,
			URL: "http://relay/v1/drain", Timeout: drainTimeout,
		})
		if err == nil && answer.Status/100 != 2 {
			err = fmt.Errorf("answered %d", answer.Status)
		}
		return err
	})
	if err != nil {
		b.tell(step.index, fmt.Sprintf("the relay could not be drained: %v", err))
	}
}
