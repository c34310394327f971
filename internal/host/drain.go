package host

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/hostapi"
)

// Bounds of what a relay is told.
const (
	drainTimeout  = 45 * time.Second // somewhat longer than the relay waits for running answers
	resumeTimeout = 5 * time.Second
)

// drain has the relay tell its workers to come back after their connections
// were closed, and waits until running answers are done. A relay that is not
// there, or does not do it, is told of and does not stop the step: connections
// are lost then, which the workers stand.
func (u units) drain(ctx context.Context, b *batch, step step) {
	if step.resource.Unit == nil || step.resource.Unit.Drain == "" {
		return
	}
	if _, err := os.Lstat(u.Path(step.resource.Unit.Drain)); machine.Gone(err) {
		return // no relay runs, so nobody is connected to it
	}
	err := b.while(step.index, hostapi.Progress{What: "running answers finish"}, func(func(string)) error {
		return u.tellRelay(ctx, step, "drain", drainTimeout)
	})
	if err != nil {
		b.tell(step.index, hostapi.Progress{What: fmt.Sprintf("the relay could not be drained: %v", err)})
	}
}

// resume has the relay use its workers' connections again. It does so by
// itself some time later, so that a failure is no matter.
func (u units) resume(ctx context.Context, step step) {
	if step.resource.Unit != nil && step.resource.Unit.Drain != "" {
		_ = u.tellRelay(ctx, step, "resume", resumeTimeout)
	}
}

func (u units) tellRelay(ctx context.Context, step step, what string, timeout time.Duration) error {
	answer, err := u.Ask(ctx, hostapi.Ask{
		Socket: step.resource.Unit.Drain, Method: http.MethodPost, URL: "http://relay/v1/" + what, Timeout: timeout,
	})
	if err == nil && answer.Status/100 != 2 {
		err = fmt.Errorf("answered %d", answer.Status)
	}
	return err
}
