package kind

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
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
func (s *systemd) drain(ctx context.Context, step *Step) {
	if step.Resource.Unit == nil || step.Resource.Unit.Drain == "" {
		return
	}
	if _, err := os.Lstat(s.Path(step.Resource.Unit.Drain)); machine.Gone(err) {
		return // no relay runs, so nobody is connected to it
	}
	err := step.while(hostapi.Progress{What: "running answers finish"}, func(func(string)) error {
		return s.tellRelay(ctx, step, "drain", drainTimeout)
	})
	if err != nil {
		step.tell(hostapi.Progress{What: fmt.Sprintf("the relay could not be drained: %v", err)})
	}
}

// resume has the relay use its workers' connections again. It does so by
// itself some time later, so that a failure is no matter.
func (s *systemd) resume(ctx context.Context, step *Step) {
	if step.Resource.Unit != nil && step.Resource.Unit.Drain != "" {
		_ = s.tellRelay(ctx, step, "resume", resumeTimeout)
	}
}

func (s *systemd) tellRelay(ctx context.Context, step *Step, what string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %s", plan.Seconds(timeout)))
	defer cancel()
	response, err := s.Send(ctx, machine.Request{
		Socket: step.Resource.Unit.Drain, Method: http.MethodPost, URL: "http://relay/v1/" + what, User: plan.RelayUser,
	})
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("answered %d", response.StatusCode)
	}
	return nil
}
